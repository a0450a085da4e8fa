package demo

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	_ "github.com/jackc/pgx/v5/stdlib" // the fault of a Postgres order database
	_ "modernc.org/sqlite"             // the fault of an SQLite order database
)

// flicker makes the order database really refuse to write: another connection
// holds what every write needs. Nothing in the product knows of it.
type flicker struct {
	driver, dsn string
	begin       []string
	db          *sql.DB
	conn        *sql.Conn
}

func newFlicker(url string) *flicker {
	if strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://") {
		return &flicker{driver: "pgx", dsn: url, begin: []string{
			"BEGIN", "LOCK TABLE orders, order_outbox, ltp_probe IN EXCLUSIVE MODE",
		}}
	}
	path := strings.TrimPrefix(strings.TrimPrefix(url, "sqlite://"), "file:")
	return &flicker{driver: "sqlite", dsn: "file:" + path + "?_pragma=busy_timeout(10000)", begin: []string{"BEGIN EXCLUSIVE"}}
}

// start returns once writes are not possible any more.
func (f *flicker) start(ctx context.Context) (err error) {
	if f.db, err = sql.Open(f.driver, f.dsn); err == nil {
		f.conn, err = f.db.Conn(ctx)
	}
	for _, statement := range f.begin {
		if err == nil {
			_, err = f.conn.ExecContext(ctx, statement)
		}
	}
	if err != nil {
		f.close()
		return fmt.Errorf("stop the order database's writes: %w", err)
	}
	return nil
}

// end lets writes through again.
func (f *flicker) end(ctx context.Context) error {
	defer f.close()
	if f.conn == nil {
		return nil
	}
	if _, err := f.conn.ExecContext(ctx, "ROLLBACK"); err != nil {
		return fmt.Errorf("let the order database write again: %w", err)
	}
	return nil
}

func (f *flicker) close() {
	if f.conn != nil {
		f.conn.Close()
		f.conn = nil
	}
	if f.db != nil {
		f.db.Close()
		f.db = nil
	}
}
