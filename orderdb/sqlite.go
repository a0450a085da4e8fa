package orderdb

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	modernc "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/ltp-node/ltp/internal/sqlitefile"
)

// sqliteDB writes over one connection, one transaction at a time, so that while one
// waits for the database the next has not begun, and reads over others, which a write
// does not hold up.
type sqliteDB struct {
	path    string
	build   build
	shop    shop
	writes  *groupCommit
	writer  *sql.DB
	readers *sql.DB
}

func openSQLite(path string, o options) *sqliteDB {
	return &sqliteDB{path: path, build: o.build, shop: o.shop, writes: newGroupCommit(), writer: sqliteHandle(path, "rw", 1), readers: sqliteHandle(path, "rw", 4)}
}

// sqliteHandle opens no file yet. In mode "rw" a file that is not there is an error,
// in mode "rwc" it is created.
//
// synchronous=FULL makes a commit survive a power cut. SQLite's own wait for a lock
// is off: it would also hang where no context is looked at, when a connection is
// opened. See awaitLock.
func sqliteHandle(path, mode string, conns int) *sql.DB {
	db, err := sql.Open("sqlite", sqlitefile.DSN(path, url.Values{
		"mode":    {mode},
		"_txlock": {"immediate"},
		"_pragma": {"busy_timeout(0)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)"},
	}))
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

func (s *sqliteDB) Row(ctx context.Context, id string) (Row, error) {
	var (
		body, created string
		erased        sql.NullString
		receipt       receiptRow[sql.NullString]
	)
	err := s.read(ctx, func(conn *sql.Conn) error {
		return conn.QueryRowContext(ctx, "SELECT body, created_at, "+sqliteTables.erasedAt("o.id")+", "+receiptColumns+" FROM orders AS o WHERE o.id = ?", id).
			Scan(append([]any{&body, &created, &erased}, receipt.columns()...)...)
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
	if row.ErasedAt, err = parseSQLite(erased); err != nil {
		return Row{}, fmt.Errorf("reading order %s: %w", id, err)
	}
	if row.Receipt, err = sqliteReceipt(receipt); err != nil {
		return Row{}, fmt.Errorf("reading order %s: %w", id, err)
	}
	if err := json.Unmarshal([]byte(body), &row.Order); err != nil {
		return Row{}, fmt.Errorf("reading order %s: %w", id, err)
	}
	row.Order.ID = id
	return row, nil
}

func (s *sqliteDB) Tally(ctx context.Context, prefix string) (Tally, error) {
	var t Tally
	err := s.read(ctx, func(conn *sql.Conn) error {
		return conn.QueryRowContext(ctx, sqliteTables.tallySQL("?1", "?2"), prefix, prefix+lastByte).Scan(&t.Orders, &t.Outbox, &t.Withdrawn, &t.Duplicates)
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
	// What is not ours is found before the file is touched, or made.
	if err := s.Check(ctx); !mayMigrate(err) {
		return err
	}
	if _, err := os.Stat(filepath.Dir(s.path)); errors.Is(err, os.ErrNotExist) {
		return &SchemaError{SchemaMissing, fmt.Sprintf("the folder of the order database %s is not there: make it", s.path)}
	}
	db := sqliteHandle(s.path, "rwc", 1)
	defer db.Close()
	if err := awaitLock(ctx, func() error { return migrateSQLite(ctx, db, s.build) }); err != nil {
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
