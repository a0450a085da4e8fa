package orderdb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ltp-node/ltp"
)

// putSQL is one statement, so that there is no COMMIT of its own whose failure pgx might
// call safe to retry.
//
// A key that is there is touched by an UPDATE: a statement that writes nothing is
// acknowledged by a former leader that nobody follows, and waits for no standby. Where the
// key of a concurrent write is not visible yet, ON CONFLICT waits for it; xmax is 0 only in
// a row that is new. The INSERTs of order and outbox are left out for a key that is there,
// so that triggers which refuse an order now cannot deny one that has taken effect.
//
// A trigger may drop a row without an error. The statement then fails in the cast, and
// takes the key back with it.
const putSQL = `
WITH key AS (
	INSERT INTO order_keys (id, kind, content_hash) VALUES ($1, '` + orderKind + `', $5)
	ON CONFLICT (id) DO UPDATE SET id = excluded.id
	RETURNING kind, content_hash, reason, xmax = 0 AS new
), written AS (
	INSERT INTO orders (id, customer, currency, amount_minor, content_hash, body, ` + receiptColumns + `)
	SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12 FROM key WHERE new
	RETURNING id
), outbox AS (
	INSERT INTO order_outbox (order_id, payload) SELECT $1, $6 FROM key WHERE new
	RETURNING id
)
SELECT kind, content_hash, reason, new, CAST(CASE
	WHEN new AND NOT (EXISTS (SELECT FROM written) AND EXISTS (SELECT FROM outbox)) THEN '` + droppedMark + `'
	ELSE '0' END AS int)
FROM key`

// droppedMark stands in the message of the failed cast, in every locale.
const droppedMark = "ltp: dropped"

// withdrawSQL writes on every try, as putSQL does.
const withdrawSQL = `
INSERT INTO order_keys (id, kind, content_hash, reason) VALUES ($1, $2, $3, $4)
ON CONFLICT (id) DO UPDATE SET id = excluded.id
RETURNING kind, content_hash, reason, xmax = 0, 0`

func (p *postgresDB) Put(ctx context.Context, o ltp.Order, admit func() (ltp.Receipt, error)) (Stored, error) {
	w, err := newPut(o, admit)
	if err != nil {
		return Stored{}, err
	}
	return p.write(ctx, w)
}

func (p *postgresDB) Withdraw(ctx context.Context, o ltp.Order, end ltp.Ending, admit func() error) (Stored, error) {
	w, err := newWithdrawal(o, end, admit)
	if err != nil {
		return Stored{}, err
	}
	stored, err := p.write(ctx, w)
	return stored, neverRejected(err)
}

// postgresStatement is the write's statement, by the name that it is prepared under.
func (w *write) postgresStatement() (name, sql string) {
	if w.tombstone != nil {
		return "ltp_withdraw", withdrawSQL
	}
	return "ltp_put", putSQL
}

// postgresArgs are complete once the write is admitted.
func (w *write) postgresArgs() []any {
	if w.tombstone != nil {
		return []any{w.order.ID, string(w.tombstone.State), w.hash, w.tombstone.Reason}
	}
	r := w.receipt
	return []any{
		w.order.ID, w.order.Customer, w.order.Currency, w.order.AmountMinor(), w.hash, w.body,
		r.Attempt, r.Fence.Epoch, string(r.Fence.State), orNull(r.BegunAt), orNull(r.Fence.ReadAt), r.Worker,
	}
}

func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func (p *postgresDB) write(ctx context.Context, w *write) (stored Stored, err error) {
	conn, err := p.acquire(ctx)
	if err != nil {
		return Stored{}, unavailable(err)
	}
	defer func() { p.release(conn, err) }()
	// Preparing asks the server once for every connection and writes nothing, so what can
	// fail before the write is admitted does.
	name, sql := w.postgresStatement()
	if _, err = conn.Conn().Prepare(ctx, name, sql); err != nil {
		return Stored{}, unavailable(err)
	}
	if err = w.admitted(); err != nil {
		return Stored{}, err
	}
	watched, over := p.cluster.watch(ctx, conn.Conn().PgConn())
	defer over()
	var (
		k     key
		isNew bool
		zero  int
	)
	err = conn.QueryRow(watched, name, w.postgresArgs()...).Scan(&k.kind, &k.hash, &k.reason, &isNew, &zero)
	err = why(watched, err)
	warning := unconfirmed(conn.Conn())
	switch {
	case errors.Is(err, pgx.ErrNoRows): // not even the key
		return Stored{}, rejected(errSilent, errSilent.Error())
	case err != nil:
		return Stored{}, postgresError(err)
	case warning != nil:
		return Stored{}, unknown(warning)
	case isNew:
		return w.written(), nil
	}
	return w.found(k, func() (ltp.Receipt, error) {
		receipt, err := readPostgresReceipt(watched, conn, w.order.ID)
		return receipt, why(watched, err)
	})
}

// readPostgresReceipt reads the row of an order that is committed.
func readPostgresReceipt(ctx context.Context, conn *pgxpool.Conn, id string) (ltp.Receipt, error) {
	var row receiptRow[*time.Time]
	err := conn.QueryRow(ctx, "SELECT "+receiptColumns+" FROM orders WHERE id = $1", id).Scan(row.columns()...)
	if errors.Is(err, pgx.ErrNoRows) {
		err = fmt.Errorf("%w, though its key is", ErrNotFound)
	}
	return postgresReceipt(row), err
}

func postgresReceipt(row receiptRow[*time.Time]) ltp.Receipt {
	at := func(t *time.Time) time.Time {
		if t == nil {
			return time.Time{}
		}
		return t.UTC()
	}
	return row.receipt(at(row.begunAt), at(row.readAt))
}

// postgresError classes an error that came after the statement was sent.
func postgresError(err error) error {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		if pgconn.SafeToRetry(err) { // true only of what never left this process
			return unavailable(err)
		}
		return unknown(err)
	}
	class := e.Code[:min(2, len(e.Code))]
	switch {
	case e.Code == "22P02" && strings.Contains(e.Message, droppedMark):
		return rejected(errSilent, errSilent.Error())
	case class == "22" || class == "23" || e.Code == "P0001":
		return rejected(err, e.Message)
	case e.SeverityUnlocalized != "ERROR":
		return unknown(err) // FATAL and PANIC may come after the commit was written
	case class == "08" || class == "58" || class == "XX" || e.Code == "40003":
		return unknown(err) // what a proxy or a damaged server says may come after it, too
	}
	return unavailable(err) // an ERROR rolls the statement back
}
