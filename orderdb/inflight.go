package orderdb

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
)

// InFlight counts transactions by their locks, which any role may read: those that write
// into the tables of orders or wait to, in every session, and prepared ones that belong to
// none. A commit that waits for its standby still has them.
func (p *postgresDB) InFlight(ctx context.Context) (n int, err error) {
	err = p.read(ctx, func(conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, `SELECT count(DISTINCT virtualtransaction) FROM pg_locks
			WHERE locktype = 'relation' AND mode = 'RowExclusiveLock'
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
			AND relation IN ($1::text::regclass, $2::text::regclass)`, p.tables.orders, p.tables.keys).Scan(&n)
	})
	if err != nil {
		return 0, fmt.Errorf("counting the writes in flight: %w", err)
	}
	return n, nil
}

// InFlight asks for the one lock that every write needs: whoever has it is one write, of
// one order or of a group of them.
func (s *sqliteDB) InFlight(ctx context.Context) (int, error) {
	conn, err := s.readers.Conn(ctx)
	if err == nil {
		defer conn.Close()
		if _, err = conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err == nil {
			_, err = conn.ExecContext(ctx, "SELECT 1 FROM "+sqliteTables.orders+" LIMIT 1")
		}
		rollback(ctx, conn)
	}
	switch {
	case busy(err):
		return 1, nil
	case err != nil:
		return 0, fmt.Errorf("counting the writes in flight: %w", err)
	}
	return 0, nil
}
