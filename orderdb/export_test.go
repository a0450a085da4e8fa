package orderdb

// AtTheDoor is how many writes wait for an SQLite database to be free.
func AtTheDoor(db DB) int {
	d := db.(*sqliteDB).door
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.waiting)
}

// Together is the most orders that are written in one transaction.
const Together = together
