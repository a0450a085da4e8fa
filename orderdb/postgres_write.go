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
// takes the key back with it. Where the shop's statements follow it, it fails so for a key
// that is there, too, and for one that a trigger dropped: they are sent with it, and must
// not run then.
func (t tables) putSQL(followed bool) string {
	whereKept, from := "", "key"
	if followed {
		whereKept = `
	WHEN new IS NULL THEN '` + droppedMark + `'
	WHEN NOT new THEN '` + standsMark + `'`
		from = "(SELECT) AS one LEFT JOIN key ON true"
	}
	return `
WITH key AS (
	INSERT INTO ` + t.keys + ` (id, kind, content_hash) VALUES ($1, '` + orderKind + `', $5)
	ON CONFLICT (id) DO UPDATE SET id = excluded.id
	RETURNING kind, content_hash, reason, xmax = 0 AS new
), written AS (
	INSERT INTO ` + t.orders + ` (id, customer, currency, amount_minor, content_hash, body, ` + receiptColumns + `)
	SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12 FROM key WHERE new
	RETURNING id
), outbox AS (
	INSERT INTO ` + t.outbox + ` (order_id, payload) SELECT $1, $6 FROM key WHERE new
	RETURNING id
)
SELECT kind, content_hash, reason, new, CAST(CASE` + whereKept + `
	WHEN new AND NOT (EXISTS (SELECT FROM written) AND EXISTS (SELECT FROM outbox)) THEN '` + droppedMark + `'
	ELSE '0' END AS int)
FROM ` + from
}

// invalidText is the SQLSTATE of a cast that fails.
const invalidText = "22P02"

// One of these stands in the message of the failed cast, in every locale.
const (
	droppedMark = "ltp: dropped"
	standsMark  = "ltp: stands"
)

// errStands says that the key is there, and that nothing was done.
var errStands = errors.New("the order or a tombstone of it is there")

// touchSQL reads a key that is there, and writes on every try, as putSQL does.
func (t tables) touchSQL() string {
	return `UPDATE ` + t.keys + ` SET id = id WHERE id = $1 RETURNING kind, content_hash, reason, false, 0`
}

// withdrawSQL writes on every try, as putSQL does.
func (t tables) withdrawSQL() string {
	return `
INSERT INTO ` + t.keys + ` (id, kind, content_hash, reason) VALUES ($1, $2, $3, $4)
ON CONFLICT (id) DO UPDATE SET id = excluded.id
RETURNING kind, content_hash, reason, xmax = 0, 0`
}

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

// together reports whether statements of the shop's go with a write.
func (p *postgresDB) together(w *write) bool { return w.tombstone == nil && len(p.shop.statements) > 0 }

// statement is the write's own.
func (p *postgresDB) statement(w *write) string {
	if w.tombstone != nil {
		return p.tables.withdrawSQL()
	}
	return p.tables.putSQL(p.together(w))
}

// prepare prepares all that a write sends, and returns its statement by the name that it
// is prepared under.
func (p *postgresDB) prepare(ctx context.Context, conn *pgx.Conn, w *write) (statement string, err error) {
	statement = p.statement(w)
	if !p.together(w) {
		name := "ltp_put"
		if w.tombstone != nil {
			name = "ltp_withdraw"
		}
		_, err = conn.Prepare(ctx, name, statement)
		return name, err
	}
	// These are prepared under names that are made of their text: a session that somebody
	// else prepared something in may lack one of them, and has none that means another.
	all := []string{"BEGIN", statement, "COMMIT"}
	for _, own := range p.shop.statements {
		all = append(all, own.sql)
	}
	for _, text := range all {
		if _, err = conn.Prepare(ctx, text, text); err != nil {
			return "", err
		}
	}
	return statement, nil
}

// queuePut adds to a batch that is in a transaction the order and the shop's statements.
func queuePut(b *pgx.Batch, statement string, w *write, shop shop) (k *key) {
	k = new(key)
	b.Queue(statement, w.postgresArgs()...).QueryRow(func(row pgx.Row) (err error) {
		*k, _, err = scanKey(row)
		if e := new(pgconn.PgError); errors.As(err, &e) && e.Code == invalidText && strings.Contains(e.Message, standsMark) {
			return errStands
		}
		return err
	})
	for _, own := range shop.statements {
		b.Queue(own.sql, own.postgresArgs(w)...).Fn = func(br pgx.BatchResults) error {
			if _, err := br.Exec(); err != nil {
				return &ownError{err}
			}
			return nil
		}
	}
	return k
}

// send makes a write.
//
// The shop's statements are sent with it, all at once: the server never waits for us while
// rows of the shop's are locked, however long this process stands still. A transaction that
// is begun by itself keeps a procedure of the shop's from committing half of it.
func (p *postgresDB) send(ctx context.Context, conn *pgx.Conn, statement string, w *write) (k key, isNew bool, err error) {
	if !p.together(w) {
		return scanKey(conn.QueryRow(ctx, statement, w.postgresArgs()...))
	}
	b := &pgx.Batch{}
	b.Queue("BEGIN")
	found := queuePut(b, statement, w, p.shop)
	b.Queue("COMMIT")
	if err = conn.SendBatch(ctx, b).Close(); err == nil {
		return *found, true, nil
	}
	clean(ctx, conn)
	if errors.Is(err, errStands) {
		return scanKey(conn.QueryRow(ctx, p.tables.touchSQL(), w.order.ID))
	}
	return key{}, false, err
}

// postgresArgs are complete once the write is admitted.
func (w *write) postgresArgs() []any {
	if w.tombstone != nil {
		return []any{w.order.ID, string(w.tombstone.State), w.hash, w.tombstone.Reason}
	}
	r := w.receipt
	return []any{
		w.order.ID, w.order.Customer, w.order.Currency, w.order.AmountMinor(), w.hash, string(w.body), // text is JSON, bytes are not
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
	err = p.statements.retryPrepared(func() error {
		stored, err = p.tryWrite(ctx, w)
		return err
	})
	return stored, err
}

func (p *postgresDB) tryWrite(ctx context.Context, w *write) (stored Stored, err error) {
	conn, err := p.acquire(ctx)
	if err != nil {
		return Stored{}, unavailable(err)
	}
	defer func() { p.release(conn, err) }()
	// Preparing asks the server once for every connection and writes nothing, so what can
	// fail before the write is admitted does.
	statement := p.statement(w)
	if conn.Conn().PgConn().CustomData()[modeKey] == pgx.QueryExecModeCacheStatement {
		if statement, err = p.prepare(ctx, conn.Conn(), w); err != nil {
			return Stored{}, unavailable(err)
		}
	}
	if err = w.stillAdmitted(); err != nil {
		return Stored{}, err
	}
	watched, over := p.cluster.watch(ctx, conn.Conn().PgConn())
	defer over()
	k, isNew, err := p.send(watched, conn.Conn(), statement, w)
	err = causeOf(watched, err)
	warning := unconfirmed(conn.Conn())
	switch {
	case err != nil:
		return Stored{}, postgresError(err, p.shop.rules)
	case warning != nil:
		return Stored{}, unknown(warning)
	case isNew:
		return w.written(), nil
	}
	return w.found(k, func() (ltp.Receipt, error) {
		receipt, err := p.readReceipt(watched, conn, w.order.ID)
		return receipt, causeOf(watched, err)
	})
}

// scanKey reads the row that putSQL and withdrawSQL return.
func scanKey(row pgx.Row) (k key, isNew bool, err error) {
	var zero int
	err = row.Scan(&k.kind, &k.hash, &k.reason, &isNew, &zero)
	if errors.Is(err, pgx.ErrNoRows) { // not even the key
		err = errSilent
	}
	return k, isNew, err
}

// readReceipt reads the row of an order that is committed.
func (p *postgresDB) readReceipt(ctx context.Context, conn *pgxpool.Conn, id string) (ltp.Receipt, error) {
	var row receiptRow[*time.Time]
	err := conn.QueryRow(ctx, "SELECT "+receiptColumns+" FROM "+p.tables.orders+" WHERE id = $1", id).Scan(row.columns()...)
	if errors.Is(err, pgx.ErrNoRows) {
		err = fmt.Errorf("%w, though its key is", ErrNotFound)
	}
	return postgresReceipt(row), err
}

func postgresReceipt(row receiptRow[*time.Time]) ltp.Receipt {
	return row.receipt(postgresTime(row.begunAt), postgresTime(row.readAt))
}

// postgresTime is a time that may be missing.
func postgresTime(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

// postgresError classes an error that came after the statement was sent.
func postgresError(err error, rules Rules) error {
	if errors.Is(err, errSilent) {
		return unavailable(err)
	}
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		if pgconn.SafeToRetry(err) { // true only of what never left this process
			return unavailable(err)
		}
		return unknown(err)
	}
	class := e.Code[:min(2, len(e.Code))]
	switch {
	case e.SeverityUnlocalized != "ERROR":
		return unknown(err) // FATAL and PANIC may come after the commit was written
	case class == "08" || class == "58" || class == "XX" || e.Code == "40003":
		return unknown(err) // what a proxy or a damaged server says may come after it, too
	case e.Code == invalidText && strings.Contains(e.Message, droppedMark) && !errors.As(err, new(*ownError)):
		return unavailable(errSilent)
	case rules.postgres(e):
		return rejected(err, e.Message)
	}
	return unavailable(err) // an ERROR rolls the statement back
}
