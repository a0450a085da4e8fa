package orderdb

// Queued is how many writes wait for an SQLite database to be free.
func Queued(db DB) int {
	g := db.(*sqliteDB).writes
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.queue)
}

// GroupSize is the most writes that are committed in one transaction.
const GroupSize = groupSize
