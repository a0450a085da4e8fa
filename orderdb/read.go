package orderdb

import "time"

// lastByte sorts after every character that an order ID may have.
const lastByte = "\x7f"

// tallySQL counts rows with IDs between two parameters.
func (t tables) tallySQL(from, to string) string {
	within := func(column string) string { return column + " >= " + from + " AND " + column + " < " + to }
	return `SELECT
		(SELECT count(*) FROM ` + t.orders + ` WHERE ` + within("id") + `),
		(SELECT count(*) FROM ` + t.outbox + ` WHERE ` + within("order_id") + `),
		(SELECT count(*) FROM ` + t.keys + ` WHERE ` + within("id") + ` AND kind <> '` + orderKind + `'),
		(SELECT count(*) FROM (
			SELECT id FROM ` + t.orders + ` WHERE ` + within("id") + ` GROUP BY id HAVING count(*) > 1
			UNION
			SELECT order_id FROM ` + t.outbox + ` WHERE ` + within("order_id") + ` GROUP BY order_id HAVING count(*) > 1
		) AS twice)`
}

// closeWithin stops waiting for connections that hang; they end with the process
// or with their context, whichever comes first.
func closeWithin(close func() error) error {
	done := make(chan error, 1)
	go func() { done <- close() }()
	select {
	case err := <-done:
		return err
	case <-time.After(time.Second):
		return nil
	}
}
