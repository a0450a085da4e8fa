package orderdb

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ltp-node/ltp"
)

// Ledger reads an order database row by row, for audits. It changes nothing, reads a
// page at a time and keeps no transaction open between pages.
type Ledger interface {
	// Created yields the orders that were created from one moment to another, both
	// included, in order of ID. A zero to is open. An error ends it.
	Created(ctx context.Context, from, to time.Time) iter.Seq2[Entry, error]
	// Entries yields those of ids that are there, in no order.
	Entries(ctx context.Context, ids []string) iter.Seq2[Entry, error]
	// Ghosts yields the IDs, in their order, of outbox rows that were created in that time
	// and whose order is not there. An error ends it.
	Ghosts(ctx context.Context, from, to time.Time) iter.Seq2[string, error]
	// Close closes the connections.
	Close() error
}

// database is what each of the two is.
type database interface {
	DB
	Ledger
}

// Entry is a row of the order database as it stands, column by column. The columns may
// contradict each other; the audit compares them.
type Entry struct {
	ID, Customer, Currency string
	AmountMinor            int64
	ContentHash            string
	// Body is the order as JSON, as far as the database keeps its form.
	Body      []byte
	CreatedAt time.Time
	// Receipt is of its write, see [Stored].
	Receipt ltp.Receipt
	// Outbox is how many rows the outbox has of the order, and OutboxDiffers how many of
	// them have another payload than Body.
	Outbox, OutboxDiffers int
	// ErasedAt is when its customer's data was erased, see [DB.Erase]; zero where it was not.
	ErasedAt time.Time
}

// columns are those of entriesSQL before the receipt.
func (e *Entry) columns(createdAt, erasedAt any) []any {
	return []any{&e.ID, &e.Customer, &e.Currency, &e.AmountMinor, &e.ContentHash, &e.Body, createdAt, &e.Outbox, &e.OutboxDiffers, erasedAt}
}

// OpenLedger opens the order database that the URL names, as Open does.
func OpenLedger(ctx context.Context, url string, opts ...Option) (Ledger, error) {
	return open(ctx, url, opts...)
}

// ledgerPage is how many rows are read at once.
const ledgerPage = 500

// pageWithin is how long a page may take: a database that hangs is one that cannot be
// read.
const pageWithin = 30 * time.Second

// erasedAt reads when the order with an ID was erased.
func (t tables) erasedAt(id string) string {
	return "(SELECT erased_at FROM " + t.keys + " AS k WHERE k.id = " + id + ")"
}

func (t tables) entriesSQL() string {
	return `SELECT id, customer, currency, amount_minor, content_hash, body, created_at,
	(SELECT count(*) FROM ` + t.outbox + ` WHERE order_id = o.id),
	(SELECT count(*) FROM ` + t.outbox + ` WHERE order_id = o.id AND payload <> o.body),
	` + t.erasedAt("o.id") + `,
	` + receiptColumns + ` FROM ` + t.orders + ` AS o `
}

// ghostsSQL reads a page of outbox rows without an order, with the names of its parameters.
func (t tables) ghostsSQL(after, from, to, limit string) string {
	return `SELECT DISTINCT order_id FROM ` + t.outbox + ` WHERE order_id > ` + after + `
		AND created_at >= ` + from + ` AND created_at <= ` + to + `
		AND NOT EXISTS (SELECT 1 FROM ` + t.orders + ` WHERE id = order_id)
		ORDER BY order_id LIMIT ` + limit
}

// endOfTime is later than any order.
var endOfTime = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)

// pages yields page after page of what has an id.
func pages[T any](to time.Time, id func(T) string, page func(after string, to time.Time) ([]T, error)) iter.Seq2[T, error] {
	if to.IsZero() {
		to = endOfTime
	}
	return func(yield func(T, error) bool) {
		after := ""
		for {
			found, err := page(after, to)
			if err != nil {
				var none T
				yield(none, fmt.Errorf("reading the order database row by row: %w", err))
				return
			}
			for _, e := range found {
				if !yield(e, nil) {
					return
				}
				after = id(e)
			}
			if len(found) < ledgerPage {
				return
			}
		}
	}
}

func entryID(e Entry) string { return e.ID }

func ghostID(id string) string { return id }

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
	return pages(to, entryID, func(after string, to time.Time) ([]Entry, error) {
		return p.entries(ctx, "WHERE id > $1 AND created_at >= $2 AND created_at <= $3 ORDER BY id LIMIT $4", after, from, to, ledgerPage)
	})
}

func (p *postgresDB) Entries(ctx context.Context, ids []string) iter.Seq2[Entry, error] {
	return entries(ids, func(ids []string) ([]Entry, error) { return p.entries(ctx, "WHERE id = ANY($1)", ids) })
}

func (p *postgresDB) Ghosts(ctx context.Context, from, to time.Time) iter.Seq2[string, error] {
	return pages(to, ghostID, func(after string, to time.Time) (ids []string, err error) {
		ctx, cancel := context.WithTimeout(ctx, pageWithin)
		defer cancel()
		err = p.read(ctx, func(conn *pgxpool.Conn) error {
			rows, err := conn.Query(ctx, p.tables.ghostsSQL("$1", "$2", "$3", "$4"), after, from, to, ledgerPage)
			if err != nil {
				return err
			}
			ids, err = pgx.CollectRows(rows, pgx.RowTo[string])
			return err
		})
		return ids, err
	})
}

func (p *postgresDB) entries(ctx context.Context, where string, args ...any) (found []Entry, err error) {
	ctx, cancel := context.WithTimeout(ctx, pageWithin)
	defer cancel()
	err = p.read(ctx, func(conn *pgxpool.Conn) error {
		rows, err := conn.Query(ctx, p.tables.entriesSQL()+where, args...)
		if err != nil {
			return err
		}
		found, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (e Entry, err error) {
			var receipt receiptRow[*time.Time]
			var erased *time.Time
			err = row.Scan(append(e.columns(&e.CreatedAt, &erased), receipt.columns()...)...)
			e.CreatedAt, e.ErasedAt, e.Receipt = e.CreatedAt.UTC(), postgresTime(erased), postgresReceipt(receipt)
			return e, err
		})
		return err
	})
	return found, err
}

// sqliteTime is how SQLite keeps created_at: text that sorts as the times do.
const sqliteTime = "2006-01-02T15:04:05.000Z"

func (s *sqliteDB) Created(ctx context.Context, from, to time.Time) iter.Seq2[Entry, error] {
	return pages(to, entryID, func(after string, to time.Time) ([]Entry, error) {
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

func (s *sqliteDB) Ghosts(ctx context.Context, from, to time.Time) iter.Seq2[string, error] {
	return pages(to, ghostID, func(after string, to time.Time) (ids []string, err error) {
		ctx, cancel := context.WithTimeout(ctx, pageWithin)
		defer cancel()
		err = s.read(ctx, func(conn *sql.Conn) error {
			rows, err := conn.QueryContext(ctx, sqliteTables.ghostsSQL("?1", "?2", "?3", "?4"),
				after, from.UTC().Format(sqliteTime), to.UTC().Format(sqliteTime), ledgerPage)
			if err != nil {
				return err
			}
			defer rows.Close()
			ids = nil // it may be read again: see awaitLock
			for rows.Next() {
				var id string
				if err := rows.Scan(&id); err != nil {
					return err
				}
				ids = append(ids, id)
			}
			return rows.Err()
		})
		return ids, err
	})
}

func (s *sqliteDB) entries(ctx context.Context, where string, args ...any) (found []Entry, err error) {
	ctx, cancel := context.WithTimeout(ctx, pageWithin)
	defer cancel()
	err = s.read(ctx, func(conn *sql.Conn) error {
		rows, err := conn.QueryContext(ctx, sqliteTables.entriesSQL()+where, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		found = nil // it may be read again: see awaitLock
		for rows.Next() {
			var (
				e       Entry
				at      string
				erased  sql.NullString
				receipt receiptRow[sql.NullString]
			)
			if err := rows.Scan(append(e.columns(&at, &erased), receipt.columns()...)...); err != nil {
				return err
			}
			if e.CreatedAt, err = time.Parse(time.RFC3339, at); err != nil {
				return fmt.Errorf("order %s: created_at: %w", e.ID, err)
			}
			if e.ErasedAt, err = parseSQLite(erased); err != nil {
				return fmt.Errorf("order %s: erased_at: %w", e.ID, err)
			}
			if e.Receipt, err = sqliteReceipt(receipt); err != nil {
				return fmt.Errorf("order %s: %w", e.ID, err)
			}
			found = append(found, e)
		}
		return rows.Err()
	})
	return found, err
}
