package orderdb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"time"

	modernc "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/ltp-node/ltp"
)

// sqliteDB writes over one connection, one transaction at a time, so that while one
// waits for the database the next has not begun, and reads over others, which a write
// does not hold up.
type sqliteDB struct {
	path    string
	door    *door
	writer  *sql.DB
	readers *sql.DB
}

func openSQLite(path string) *sqliteDB {
	return &sqliteDB{path: path, door: newDoor(), writer: sqliteHandle(path, "rw", 1), readers: sqliteHandle(path, "rw", 4)}
}

// sqliteHandle opens no file yet. In mode "rw" a file that is not there is an error,
// in mode "rwc" it is created.
//
// synchronous=FULL makes a commit survive a power cut. SQLite's own wait for a lock
// is off: it would also hang where no context is looked at, when a connection is
// opened. See awaitLock.
func sqliteHandle(path, mode string, conns int) *sql.DB {
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + url.Values{
		"mode":    {mode},
		"_txlock": {"immediate"},
		"_pragma": {"busy_timeout(0)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)"},
	}.Encode()
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		panic(err) // only for a driver that is not registered
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db
}

// awaitLock tries until another connection's lock is gone or ctx has ended: a held
// lock makes a write hang, as a sick primary does. The pause stays short, because
// who pauses long never gets a turn beside a busy writer.
func awaitLock(ctx context.Context, try func() error) error {
	const longest = time.Millisecond
	for pause := 100 * time.Microsecond; ; pause = min(2*pause, longest) {
		err := try()
		if !busy(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the lock of another connection: %w", context.Cause(ctx))
		case <-time.After(pause):
		}
	}
}

func sqliteCode(err error) int {
	var e *modernc.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff // the high bits detail the low ones
	}
	return 0
}

func busy(err error) bool { return sqliteCode(err) == sqlite3.SQLITE_BUSY }

func connect(ctx context.Context, db *sql.DB) (*sql.Conn, error) {
	var conn *sql.Conn
	err := awaitLock(ctx, func() (err error) {
		conn, err = db.Conn(ctx)
		return err
	})
	return conn, err
}

// Put uses a transaction rather than one statement with a trigger for the outbox,
// because it separates the wait for the lock, after which nothing is written, from
// the commit, after which nobody knows.
func (s *sqliteDB) Put(ctx context.Context, o ltp.Order, admit func() error) (repeated bool, err error) {
	body, err := json.Marshal(o)
	if err != nil {
		return false, rejected(err, "the order cannot be written as JSON")
	}
	w := &write{ctx: ctx, order: o, body: string(body), admit: admit, ended: make(chan end, 1)}
	return s.door.pass(w, s.transact)
}

// interruptWithin is how long SQLite may take to notice that a context has ended,
// where nothing is wrong with the disk.
const interruptWithin = 500 * time.Millisecond

func begin(ctx context.Context, conn *sql.Conn) error {
	return awaitLock(ctx, func() error {
		_, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE")
		return err
	})
}

// putInto writes both rows within the open transaction, in which nothing is
// certain to stay yet: every failure is a rejection or leaves nothing.
func putInto(ctx context.Context, conn *sql.Conn, o ltp.Order, body string) (repeated bool, err error) {
	hash := o.ContentHash()
	// An order that is there is not inserted again to find that out: the triggers of
	// the first time might refuse it now, and it would be called rejected though it
	// has taken effect.
	var stored string
	err = conn.QueryRowContext(ctx, "SELECT content_hash FROM orders WHERE id = ?", o.ID).Scan(&stored)
	if err == nil {
		return told(stored, hash)
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return false, unavailable(err)
	}
	result, err := conn.ExecContext(ctx, `INSERT INTO orders (id, customer, currency, amount_minor, content_hash, body)
		VALUES (?, ?, ?, ?, ?, ?)`, o.ID, o.Customer, o.Currency, o.AmountMinor(), hash, body)
	if err != nil {
		return false, sqliteRefusal(err)
	}
	if n, err := result.RowsAffected(); err == nil && n == 0 {
		return false, rejected(errSilent, errSilent.Error())
	}
	if _, err := conn.ExecContext(ctx, "INSERT INTO order_outbox (order_id, payload) VALUES (?, ?)", o.ID, body); err != nil {
		return false, sqliteRefusal(err)
	}
	return false, nil
}

// commit classes its error: a rule that is checked at the end refuses for good;
// anything else may have come after the rows were safe.
func commit(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "COMMIT")
	switch {
	case err == nil:
		return nil
	case sqliteCode(err) == sqlite3.SQLITE_CONSTRAINT:
		return sqliteRefusal(err)
	case busy(err):
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

// dressing is what the driver puts around the message of SQLite or of a trigger.
var dressing = regexp.MustCompile(`^constraint failed: | \(\d+\)$`)

func sqliteRefusal(err error) error {
	switch sqliteCode(err) {
	case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG:
		return rejected(err, dressing.ReplaceAllString(err.Error(), ""))
	}
	return unavailable(err)
}

func (s *sqliteDB) Row(ctx context.Context, id string) (Row, error) {
	var body, created string
	err := s.read(ctx, func(conn *sql.Conn) error {
		return conn.QueryRowContext(ctx, "SELECT body, created_at FROM orders WHERE id = ?", id).Scan(&body, &created)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return Row{}, ErrNotFound
	}
	if err != nil {
		return Row{}, fmt.Errorf("reading order %s: %w", id, err)
	}
	row := Row{}
	if row.CreatedAt, err = time.Parse(time.RFC3339, created); err != nil {
		return Row{}, fmt.Errorf("reading order %s: %w", id, err)
	}
	if err := json.Unmarshal([]byte(body), &row.Order); err != nil {
		return Row{}, fmt.Errorf("reading order %s: %w", id, err)
	}
	return row, nil
}

func (s *sqliteDB) Tally(ctx context.Context, prefix string) (Tally, error) {
	var t Tally
	err := s.read(ctx, func(conn *sql.Conn) error {
		return conn.QueryRowContext(ctx, tallySQL("?1", "?2"), prefix, prefix+lastByte).Scan(&t.Orders, &t.Outbox, &t.Duplicates)
	})
	if err != nil {
		return Tally{}, fmt.Errorf("counting orders: %w", err)
	}
	return t, nil
}

func (s *sqliteDB) Missing(ctx context.Context, ids []string) ([]string, error) {
	list, err := json.Marshal(append([]string{}, ids...)) // none is [], not null
	if err != nil {
		return nil, err
	}
	var missing []string
	err = s.read(ctx, func(conn *sql.Conn) error {
		rows, err := conn.QueryContext(ctx, `SELECT value FROM json_each(?) AS asked
			WHERE NOT EXISTS (SELECT 1 FROM orders WHERE id = asked.value) ORDER BY key`, string(list))
		if err != nil {
			return err
		}
		defer rows.Close()
		missing = nil
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				return err
			}
			missing = append(missing, id)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("looking for missing orders: %w", err)
	}
	return missing, nil
}

func (s *sqliteDB) read(ctx context.Context, query func(*sql.Conn) error) error {
	conn, err := connect(ctx, s.readers)
	if err != nil {
		return err
	}
	defer conn.Close()
	return awaitLock(ctx, func() error { return query(conn) })
}

func (s *sqliteDB) Migrate(ctx context.Context) error {
	db := sqliteHandle(s.path, "rwc", 1)
	defer db.Close()
	if err := awaitLock(ctx, func() error { return migrateSQLite(ctx, db) }); err != nil {
		return fmt.Errorf("migrating the order database: %w", err)
	}
	return nil
}

func (s *sqliteDB) Ping(ctx context.Context) error {
	return s.read(ctx, func(conn *sql.Conn) error {
		_, err := conn.ExecContext(ctx, "SELECT 1 FROM orders LIMIT 1")
		return err
	})
}

func (s *sqliteDB) Close() error {
	return closeWithin(func() error { return errors.Join(s.writer.Close(), s.readers.Close()) })
}
