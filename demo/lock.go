package demo

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib" // the lock of a Postgres order database
	_ "modernc.org/sqlite"             // the lock of an SQLite order database

	"github.com/ltp-node/ltp/internal/sqlitefile"
	"github.com/ltp-node/ltp/orderdb"
)

// Lock is the fault of an order database that is not ours to kill: another connection
// holds what every write needs, and holds it for as long as the fault lasts. The schema is
// that of its tables in Postgres.
func Lock(url, schema string) Fault {
	l := newLock(url, schema)
	return Fault{
		Name: "lock", Begins: "the order database takes no writes", Ends: "the order database takes writes again",
		Begin: l.begin, End: l.end, After: func(context.Context) error { return l.close() },
	}
}

type lock struct {
	driver, dsn string
	statements  []string
	db          *sql.DB
	conn        *sql.Conn
}

// LockedTables are what a lock holds in a Postgres order database.
const LockedTables = "orders, order_outbox, order_keys, ltp_probe"

func newLock(raw, schema string) *lock {
	if path, ok := orderdb.File(raw); ok {
		dsn := sqlitefile.DSN(path, url.Values{"_pragma": {"busy_timeout(10000)"}})
		return &lock{driver: "sqlite", dsn: dsn, statements: []string{"BEGIN EXCLUSIVE"}}
	}
	var tables []string
	for table := range strings.SplitSeq(LockedTables, ", ") {
		tables = append(tables, pgx.Identifier{schema, table}.Sanitize())
	}
	return &lock{driver: "pgx", dsn: raw, statements: []string{"BEGIN", "LOCK TABLE " + strings.Join(tables, ", ") + " IN EXCLUSIVE MODE"}}
}

func (l *lock) begin(ctx context.Context) (err error) {
	if l.db, err = sql.Open(l.driver, l.dsn); err == nil {
		l.conn, err = l.db.Conn(ctx)
	}
	for _, statement := range l.statements {
		if err == nil {
			_, err = l.conn.ExecContext(ctx, statement)
		}
	}
	if err != nil {
		return errors.Join(fmt.Errorf("stop the order database's writes: %w", err), l.close())
	}
	return nil
}

func (l *lock) end(ctx context.Context) error {
	_, err := l.conn.ExecContext(ctx, "ROLLBACK")
	if err != nil {
		err = fmt.Errorf("let the order database write again: %w", err)
	}
	return errors.Join(err, l.close())
}

// close lets go of the lock, if it is held.
func (l *lock) close() (err error) {
	if l.conn != nil {
		err = l.conn.Close()
	}
	if l.db != nil {
		err = errors.Join(err, l.db.Close())
	}
	l.conn, l.db = nil, nil
	return err
}
