package orderdb

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Ledger reads an order database row by row, for audits. It changes nothing, reads a
// page at a time and keeps no transaction open between pages.
type Ledger interface {
	// Created yields the orders that were created from one moment to another, both
	// included, in order of ID. A zero to is open. An error ends it.
	Created(ctx context.Context, from, to time.Time) iter.Seq2[Entry, error]
	// Entries yields those of ids that are there, in no order.
	Entries(ctx context.Context, ids []string) iter.Seq2[Entry, error]
	// Close lets go of the database.
	Close() error
}

// Entry is a row of the order database as it stands, column by column. Nothing says
// that the columns agree with each other: to find that out is what it is for.
type Entry struct {
	ID, Customer, Currency string
	AmountMinor            int64
	ContentHash            string
	// Body is the order as JSON, as far as the database keeps its form.
	Body      []byte
	CreatedAt time.Time
	// Outbox is how many rows the outbox has of the order.
	Outbox int
}

// OpenLedger opens the order database that the URL names, as Open does.
func OpenLedger(ctx context.Context, url string) (Ledger, error) { return open(ctx, url) }

// ledgerPage is how many rows are read at once.
const ledgerPage = 500

// pageWithin is how long a page may take: a database that hangs is one that cannot be
// read.
const pageWithin = 30 * time.Second

const entryColumns = `SELECT id, customer, currency, amount_minor, content_hash, body, created_at,
	(SELECT count(*) FROM order_outbox WHERE order_id = orders.id) FROM orders `

// endOfTime is later than any order.
var endOfTime = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)

// created reads page after page.
func created(to time.Time, page func(after string, to time.Time) ([]Entry, error)) iter.Seq2[Entry, error] {
	if to.IsZero() {
		to = endOfTime
	}
	return func(yield func(Entry, error) bool) {
		after := ""
		for {
			found, err := page(after, to)
			if err != nil {
				yield(Entry{}, fmt.Errorf("reading the order database row by row: %w", err))
				return
			}
			for _, e := range found {
				if !yield(e, nil) {
					return
				}
				after = e.ID
			}
			if len(found) < ledgerPage {
				return
			}
		}
	}
}

// entries asks for a page of ids at a time.
func entries(ids []string, page func(ids []string) ([]Entry, error)) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for len(ids) > 0 {
			n := min(len(ids), ledgerPage)
			found, err := page(ids[:n])
			if err != nil {
				yield(Entry{}, fmt.Errorf("reading the order database row by row: %w", err))
				return
			}
			for _, e := range found {
				if !yield(e, nil) {
					return
				}
			}
			ids = ids[n:]
		}
	}
}

func (p *postgresDB) Created(ctx context.Context, from, to time.Time) iter.Seq2[Entry, error] {
	return created(to, func(after string, to time.Time) ([]Entry, error) {
		return p.entries(ctx, "WHERE id > $1 AND created_at >= $2 AND created_at <= $3 ORDER BY id LIMIT $4", after, from, to, ledgerPage)
	})
}

func (p *postgresDB) Entries(ctx context.Context, ids []string) iter.Seq2[Entry, error] {
	return entries(ids, func(ids []string) ([]Entry, error) { return p.entries(ctx, "WHERE id = ANY($1)", ids) })
}

func (p *postgresDB) entries(ctx context.Context, where string, args ...any) (found []Entry, err error) {
	ctx, cancel := context.WithTimeout(ctx, pageWithin)
	defer cancel()
	err = p.read(ctx, func(conn *pgxpool.Conn) error {
		rows, err := conn.Query(ctx, entryColumns+where, args...)
		if err != nil {
			return err
		}
		found, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (e Entry, err error) {
			err = row.Scan(&e.ID, &e.Customer, &e.Currency, &e.AmountMinor, &e.ContentHash, &e.Body, &e.CreatedAt, &e.Outbox)
			e.CreatedAt = e.CreatedAt.UTC()
			return e, err
		})
		return err
	})
	return found, err
}

// sqliteTime is how SQLite keeps created_at: text that sorts as the times do.
const sqliteTime = "2006-01-02T15:04:05.000Z"

func (s *sqliteDB) Created(ctx context.Context, from, to time.Time) iter.Seq2[Entry, error] {
	return created(to, func(after string, to time.Time) ([]Entry, error) {
		return s.entries(ctx, "WHERE id > ? AND created_at >= ? AND created_at <= ? ORDER BY id LIMIT ?",
			after, from.UTC().Format(sqliteTime), to.UTC().Format(sqliteTime), ledgerPage)
	})
}

func (s *sqliteDB) Entries(ctx context.Context, ids []string) iter.Seq2[Entry, error] {
	return entries(ids, func(ids []string) ([]Entry, error) {
		marks := make([]byte, 0, 2*len(ids))
		args := make([]any, len(ids))
		for i, id := range ids {
			marks, args[i] = append(marks, '?', ','), id
		}
		return s.entries(ctx, "WHERE id IN ("+string(marks[:len(marks)-1])+")", args...)
	})
}

func (s *sqliteDB) entries(ctx context.Context, where string, args ...any) (found []Entry, err error) {
	ctx, cancel := context.WithTimeout(ctx, pageWithin)
	defer cancel()
	err = s.read(ctx, func(conn *sql.Conn) error {
		rows, err := conn.QueryContext(ctx, entryColumns+where, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		found = nil // it may be read again: see awaitLock
		for rows.Next() {
			var e Entry
			var at string
			if err := rows.Scan(&e.ID, &e.Customer, &e.Currency, &e.AmountMinor, &e.ContentHash, &e.Body, &at, &e.Outbox); err != nil {
				return err
			}
			if e.CreatedAt, err = time.Parse(time.RFC3339, at); err != nil {
				return fmt.Errorf("order %s: created_at: %w", e.ID, err)
			}
			found = append(found, e)
		}
		return rows.Err()
	})
	return found, err
}
