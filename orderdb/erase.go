package orderdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ltp-node/ltp"
)

// Erasure asks for what the order database holds of an order's customer to be erased.
type Erasure struct {
	ID string
	// ContentHash, where it is known, is [ltp.Order.ContentHash] of the order: another order
	// under the ID is not touched.
	ContentHash string
	// Tombstone is the state in which the order has ended, where it was not executed:
	// CANCELLED, EXPIRED or REJECTED. A tombstone is written where nothing stands under the
	// order's key, so that no repeat is executed that comes when Temporal has forgotten the
	// order. It takes a ContentHash. Empty writes none.
	Tombstone ltp.OrderState
	// By and Why are kept beside the key.
	By, Why string
}

// Erased is what the order database holds of an order after an [Erasure].
type Erased struct {
	// At is when it was erased first, by the clock of the database, and Before says that
	// that was earlier.
	At     time.Time
	Before bool
	// Row says that the table orders has a row of the order, and Outbox is how many rows of
	// the outbox were deleted now.
	Row    bool
	Outbox int64
	// Tombstone is the state of the tombstone that stands under the key; empty for an order.
	Tombstone ltp.OrderState
	// Traces says that the SQLite file may hold the bytes of what was erased until its
	// write-ahead log is written back: somebody else reads it.
	Traces bool
}

const (
	// emptyBody takes the place of an erased order's JSON. What is erased must not break the
	// constraints of NOT NULL.
	emptyBody = "{}"
	// eraseColumns are read of a key.
	eraseColumns = "kind, content_hash, erased_at"
)

// check refuses an erasure that cannot be carried out.
func (e Erasure) check() error {
	switch e.Tombstone {
	case "", ltp.Cancelled, ltp.Expired, ltp.Rejected:
	default:
		return fmt.Errorf("an order cannot be withdrawn as %q", e.Tombstone)
	}
	if e.Tombstone != "" && e.ContentHash == "" {
		return errors.New("a tombstone takes the content hash of the order")
	}
	return nil
}

// judgeKey judges the key that is there.
func (e Erasure) judgeKey(kind, hash string, erasedBefore bool) (Erased, error) {
	if e.ContentHash != "" && hash != e.ContentHash {
		return Erased{}, ErrConflict
	}
	found := Erased{Before: erasedBefore}
	if kind != orderKind {
		found.Tombstone = ltp.OrderState(kind)
	}
	return found, nil
}

func (p *postgresDB) Erase(ctx context.Context, e Erasure) (erased Erased, err error) {
	if err := e.check(); err != nil {
		return Erased{}, err
	}
	err = p.statements.retryPrepared(func() error {
		erased, err = p.erase(ctx, e)
		return err
	})
	var refused *pgconn.PgError
	switch {
	case err == nil:
		return erased, nil
	case errors.As(err, &refused) && refused.Code == "42501":
		return Erased{}, fmt.Errorf("erasing order %s: %s: it takes the role that owns the tables, or one with GRANT UPDATE ON %s, %s and GRANT DELETE ON %s",
			e.ID, messageOf(err), p.tables.keys, p.tables.orders, p.tables.outbox)
	}
	return Erased{}, fmt.Errorf("erasing order %s: %w", e.ID, err)
}

func (p *postgresDB) erase(ctx context.Context, e Erasure) (erased Erased, err error) {
	conn, err := p.acquire(ctx)
	if err != nil {
		return Erased{}, err
	}
	defer func() { p.release(conn, err) }()
	watched, over := p.cluster.watch(ctx, conn.Conn().PgConn())
	defer over()
	err = causeOf(watched, pgx.BeginFunc(watched, conn, func(tx pgx.Tx) error {
		erased, err = p.tables.eraseIn(watched, tx, e)
		return err
	}))
	if err == nil {
		err = unconfirmed(conn.Conn())
	}
	return erased, err
}

func (t tables) eraseIn(ctx context.Context, tx pgx.Tx, e Erasure) (Erased, error) {
	if e.Tombstone != "" {
		if _, err := tx.Exec(ctx, "INSERT INTO "+t.keys+" (id, kind, content_hash) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING",
			e.ID, string(e.Tombstone), e.ContentHash); err != nil {
			return Erased{}, err
		}
	}
	var kind, hash string
	var before *time.Time
	err := tx.QueryRow(ctx, "SELECT "+eraseColumns+" FROM "+t.keys+" WHERE id = $1 FOR UPDATE", e.ID).Scan(&kind, &hash, &before)
	if errors.Is(err, pgx.ErrNoRows) {
		return Erased{}, ErrNotFound
	}
	if err != nil {
		return Erased{}, err
	}
	found, err := e.judgeKey(kind, hash, before != nil)
	if err != nil {
		return Erased{}, err
	}
	err = tx.QueryRow(ctx, `UPDATE `+t.keys+` SET reason = '', erased_at = coalesce(erased_at, now()), erased_by = coalesce(erased_by, $2), erased_why = coalesce(erased_why, $3)
		WHERE id = $1 RETURNING erased_at`, e.ID, e.By, e.Why).Scan(&found.At)
	if err != nil {
		return Erased{}, err
	}
	found.At = found.At.UTC()
	rows, err := tx.Exec(ctx, "UPDATE "+t.orders+" SET customer = '', body = $2 WHERE id = $1", e.ID, emptyBody)
	if err != nil {
		return Erased{}, err
	}
	found.Row = rows.RowsAffected() > 0
	outbox, err := tx.Exec(ctx, "DELETE FROM "+t.outbox+" WHERE order_id = $1", e.ID)
	found.Outbox = outbox.RowsAffected()
	return found, err
}

// Erase has what is freed in the file overwritten, and the log written back.
func (s *sqliteDB) Erase(ctx context.Context, e Erasure) (erased Erased, err error) {
	if err := e.check(); err != nil {
		return Erased{}, err
	}
	err = s.writes.alone(ctx, func() error {
		conn, err := connect(ctx, s.writer)
		if err != nil {
			return err
		}
		defer conn.Close()
		if _, err := conn.ExecContext(ctx, "PRAGMA secure_delete = ON"); err != nil {
			return err
		}
		if err := begin(ctx, conn); err != nil {
			return err
		}
		if erased, err = eraseSQLite(ctx, conn, e); err == nil {
			err = commit(ctx, conn)
		}
		if err != nil {
			rollback(ctx, conn)
			return err
		}
		erased.Traces = !writtenBack(ctx, conn)
		return nil
	})
	if err != nil {
		return Erased{}, fmt.Errorf("erasing order %s: %w", e.ID, err)
	}
	return erased, nil
}

func eraseSQLite(ctx context.Context, conn *sql.Conn, e Erasure) (Erased, error) {
	if e.Tombstone != "" {
		if _, err := conn.ExecContext(ctx, "INSERT INTO order_keys (id, kind, content_hash) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING",
			e.ID, string(e.Tombstone), e.ContentHash); err != nil {
			return Erased{}, err
		}
	}
	var kind, hash, at string
	var before sql.NullString
	err := conn.QueryRowContext(ctx, "SELECT "+eraseColumns+" FROM order_keys WHERE id = ?", e.ID).Scan(&kind, &hash, &before)
	if errors.Is(err, sql.ErrNoRows) {
		return Erased{}, ErrNotFound
	}
	if err != nil {
		return Erased{}, err
	}
	found, err := e.judgeKey(kind, hash, before.Valid)
	if err != nil {
		return Erased{}, err
	}
	err = conn.QueryRowContext(ctx, `UPDATE order_keys SET reason = '', erased_at = coalesce(erased_at, ?2), erased_by = coalesce(erased_by, ?3), erased_why = coalesce(erased_why, ?4)
		WHERE id = ?1 RETURNING erased_at`, e.ID, sqliteNow(), e.By, e.Why).Scan(&at)
	if err != nil {
		return Erased{}, err
	}
	if found.At, err = time.Parse(time.RFC3339, at); err != nil {
		return Erased{}, fmt.Errorf("erased_at: %w", err)
	}
	rows, err := conn.ExecContext(ctx, "UPDATE orders SET customer = '', body = ? WHERE id = ?", emptyBody, e.ID)
	if err != nil {
		return Erased{}, err
	}
	n, err := rows.RowsAffected()
	if err != nil {
		return Erased{}, err
	}
	found.Row = n > 0
	outbox, err := conn.ExecContext(ctx, "DELETE FROM order_outbox WHERE order_id = ?", e.ID)
	if err != nil {
		return Erased{}, err
	}
	found.Outbox, err = outbox.RowsAffected()
	return found, err
}

// writeBackWithin is for how long readers of the file are waited for.
const writeBackWithin = 2 * time.Second

// writtenBack writes the write-ahead log into the file and empties it, and reports whether
// that was done: a reader of the file holds it up.
func writtenBack(ctx context.Context, conn *sql.Conn) bool {
	ctx, cancel := context.WithTimeout(ctx, writeBackWithin)
	defer cancel()
	for ctx.Err() == nil {
		var held, pages, done int
		err := conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&held, &pages, &done)
		if err == nil && held == 0 {
			return true
		}
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
	return false
}
