package orderdb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/ltp-node/ltp"
)

// Put uses a transaction rather than one statement with a trigger for the outbox,
// because it separates the wait for the lock, after which nothing is written, from
// the commit, after which nobody knows.
func (s *sqliteDB) Put(ctx context.Context, o ltp.Order, admit func() (ltp.Receipt, error)) (Stored, error) {
	w, err := newPut(o, admit)
	if err != nil {
		return Stored{}, err
	}
	return s.writes.commit(ctx, w, s.transact)
}

func (s *sqliteDB) Withdraw(ctx context.Context, o ltp.Order, end ltp.Ending, admit func() error) (Stored, error) {
	w, err := newWithdrawal(o, end, admit)
	if err != nil {
		return Stored{}, err
	}
	stored, err := s.writes.commit(ctx, w, s.transact)
	return stored, neverRejected(err)
}

// interruptWithin is how long SQLite may take to notice that a context has ended,
// where nothing is wrong with the disk.
const interruptWithin = 500 * time.Millisecond

// transact writes a group.
func (s *sqliteDB) transact(group []*pending) {
	ctx, cancel := untilAllEnd(group)
	defer cancel()
	conn, err := connect(ctx, s.writer)
	if err != nil {
		for _, w := range group {
			w.end(Stored{}, unavailable(err))
		}
		return
	}
	group = admitted(group)
	ended := true
	switch len(group) {
	case 0:
	case 1:
		group[0].end(s.writeOne(group[0].ctx, conn, group[0]))
	default:
		ended = s.writeGroup(ctx, conn, group)
	}
	_ = conn.Close()
	if ended {
		return
	}
	for _, w := range group {
		w.end(s.alone(w))
	}
}

// alone makes a write by itself, on a connection that is well.
func (s *sqliteDB) alone(w *pending) (Stored, error) {
	conn, err := connect(w.ctx, s.writer)
	if err != nil {
		return Stored{}, unavailable(err)
	}
	defer conn.Close()
	if err := w.stillAdmitted(); err != nil {
		return Stored{}, err
	}
	return s.writeOne(w.ctx, conn, w)
}

// writeOne makes a write in a transaction of its own.
func (s *sqliteDB) writeOne(ctx context.Context, conn *sql.Conn, w *pending) (stored Stored, err error) {
	if err := begin(ctx, conn); err != nil {
		return Stored{}, unavailable(err)
	}
	if !w.begin() {
		rollback(ctx, conn)
		return Stored{}, unavailable(context.Cause(ctx))
	}
	stored, err = w.into(ctx, conn, s.shop)
	if err == nil && !stored.Repeated {
		err = commit(ctx, conn)
	}
	if err != nil || stored.Repeated {
		rollback(ctx, conn)
	}
	if err != nil {
		return Stored{}, err
	}
	return stored, nil
}

// writeGroup makes several writes in one transaction, with a savepoint for each, so that
// one that is refused does not take the others with it. It reports whether they have had
// their outcomes; where nothing was written and no single write is known to be at fault,
// each is to be made by itself.
func (s *sqliteDB) writeGroup(ctx context.Context, conn *sql.Conn, group []*pending) (ended bool) {
	outcomes := make([]outcome, len(group))
	err := begin(ctx, conn)
	if err != nil {
		err = unavailable(err)
	}
	for i := 0; i < len(group) && err == nil; i++ {
		var whole error
		if outcomes[i], whole = s.writeAmong(ctx, conn, group[i]); whole != nil {
			rollback(ctx, conn)
			return false
		}
	}
	if err == nil {
		if err = commit(ctx, conn); err != nil {
			rollback(ctx, conn)
		}
		if sqliteCode(err) == sqlite3.SQLITE_CONSTRAINT { // of one of them
			return false
		}
	}
	for i, w := range group {
		if err != nil && outcomes[i].err == nil {
			outcomes[i] = outcome{err: err}
		}
		w.end(outcomes[i].stored, outcomes[i].err)
	}
	return true
}

// writeAmong makes one write of several. An error of whole is one of the transaction.
func (s *sqliteDB) writeAmong(ctx context.Context, conn *sql.Conn, w *pending) (o outcome, whole error) {
	if !w.begin() {
		return outcome{err: unavailable(context.Cause(w.ctx))}, nil
	}
	if _, err := conn.ExecContext(ctx, "SAVEPOINT one"); err != nil {
		return outcome{}, err
	}
	if o.stored, o.err = w.into(ctx, conn, s.shop); o.err != nil {
		if _, err := conn.ExecContext(ctx, "ROLLBACK TO one"); err != nil {
			return outcome{}, err
		}
	}
	_, err := conn.ExecContext(ctx, "RELEASE one")
	return o, err
}

// into writes within the open transaction, in which nothing is certain to stay yet: every
// failure is a rejection or leaves nothing.
//
// A key that is there is read before anything is inserted: the triggers of the first time
// might refuse the order now, and it would be called rejected though it has taken effect.
func (w *write) into(ctx context.Context, conn *sql.Conn, shop shop) (Stored, error) {
	var k key
	err := conn.QueryRowContext(ctx, "SELECT kind, content_hash, reason FROM order_keys WHERE id = ?", w.order.ID).
		Scan(&k.kind, &k.hash, &k.reason)
	switch {
	case err == nil:
		return w.found(k, func() (ltp.Receipt, error) { return readSQLiteReceipt(ctx, conn, w.order.ID) })
	case !errors.Is(err, sql.ErrNoRows):
		return Stored{}, unavailable(err)
	}
	k = key{kind: orderKind, hash: w.hash}
	if w.tombstone != nil {
		k.kind, k.reason = string(w.tombstone.State), w.tombstone.Reason
	}
	if err := insert(ctx, conn, shop.rules, "INSERT INTO order_keys (id, kind, content_hash, reason) VALUES (?, ?, ?, ?)",
		w.order.ID, k.kind, k.hash, k.reason); err != nil {
		return Stored{}, err
	}
	if w.tombstone != nil {
		return w.written(), nil
	}
	r := w.receipt
	if err := insert(ctx, conn, shop.rules, `INSERT INTO orders (id, customer, currency, amount_minor, content_hash, body, `+receiptColumns+`)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		w.order.ID, w.order.Customer, w.order.Currency, w.order.AmountMinor(), w.hash, string(w.body),
		r.Attempt, r.Fence.Epoch, string(r.Fence.State), sqliteMoment(r.BegunAt), sqliteMoment(r.Fence.ReadAt), r.Worker); err != nil {
		return Stored{}, err
	}
	if err := insert(ctx, conn, shop.rules, "INSERT INTO order_outbox (order_id, payload) VALUES (?, ?)", w.order.ID, string(w.body)); err != nil {
		return Stored{}, err
	}
	for _, own := range shop.statements {
		if _, err := conn.ExecContext(ctx, own.sql, own.sqliteArgs(w)...); err != nil {
			return Stored{}, sqliteError(&ownError{err}, shop.rules)
		}
	}
	return w.written(), nil
}

// insert inserts one row, and has an error where a trigger drops it.
func insert(ctx context.Context, conn *sql.Conn, rules Rules, statement string, args ...any) error {
	result, err := conn.ExecContext(ctx, statement, args...)
	if err != nil {
		return sqliteError(err, rules)
	}
	if n, err := result.RowsAffected(); err == nil && n == 0 {
		return unavailable(errSilent)
	}
	return nil
}

// sqliteError classes an error of a statement before the commit.
func sqliteError(err error, rules Rules) error {
	if rules.sqlite(err) {
		message, _ := messageAndCode(err)
		return rejected(err, message)
	}
	return unavailable(err)
}

// begin begins a transaction. The driver may answer with the error of a context that ends
// just then although the statement has run: the connection never goes back with a
// transaction open, which would lock the database for as long as this process lives.
func begin(ctx context.Context, conn *sql.Conn) error {
	err := awaitLock(ctx, func() error {
		_, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE")
		return err
	})
	if err != nil {
		rollback(ctx, conn)
	}
	return err
}

// commit classes its error: where a foreign key is checked at the end, or a lock is held,
// nothing is written; anything else may have come after the rows were safe.
func commit(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "COMMIT")
	switch {
	case err == nil:
		return nil
	case sqliteCode(err) == sqlite3.SQLITE_CONSTRAINT, busy(err):
		return unavailable(err)
	}
	return unknown(err)
}

// rollback leaves the connection without a transaction; where that fails, as after a
// commit that did, the connection is discarded.
func rollback(ctx context.Context, conn *sql.Conn) {
	if _, err := conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK"); err != nil {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	}
}

func readSQLiteReceipt(ctx context.Context, conn *sql.Conn, id string) (ltp.Receipt, error) {
	var row receiptRow[sql.NullString]
	err := conn.QueryRowContext(ctx, "SELECT "+receiptColumns+" FROM orders WHERE id = ?", id).Scan(row.columns()...)
	if errors.Is(err, sql.ErrNoRows) {
		err = fmt.Errorf("%w, though its key is", ErrNotFound)
	}
	if err != nil {
		return ltp.Receipt{}, err
	}
	return sqliteReceipt(row)
}

// sqliteMoment is a time of a receipt as SQLite keeps it.
func sqliteMoment(t time.Time) sql.NullString {
	return sql.NullString{String: t.UTC().Format(sqliteTime), Valid: !t.IsZero()}
}

func sqliteReceipt(row receiptRow[sql.NullString]) (ltp.Receipt, error) {
	begunAt, err := parseSQLite(row.begunAt)
	if err != nil {
		return ltp.Receipt{}, fmt.Errorf("begun_at: %w", err)
	}
	readAt, err := parseSQLite(row.readAt)
	if err != nil {
		return ltp.Receipt{}, fmt.Errorf("read_at: %w", err)
	}
	return row.receipt(begunAt, readAt), nil
}

// parseSQLite reads a time that may be missing.
func parseSQLite(s sql.NullString) (time.Time, error) {
	if !s.Valid {
		return time.Time{}, nil
	}
	return time.Parse(time.RFC3339, s.String)
}
