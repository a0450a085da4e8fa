package orderdb

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ltp-node/ltp"
)

// workersWritePath is the row of ltp_probe that TryWritePath writes. No component has such a name.
const workersWritePath = "orders/write-path"

// probeWrite is the probe's own order, a small one.
func probeWrite() (*write, error) {
	return newProbeOrder(ltp.Order{Customer: "ltp-probe", Currency: "USD", Lines: []ltp.Line{{SKU: "ltp-probe", Quantity: 1, UnitAmountMinor: 1}}})
}

// newProbeOrder is an order that nobody can have placed, with what another holds: no order's ID
// has a slash. Each has another ID, so that none waits for another.
func newProbeOrder(o ltp.Order) (*write, error) {
	at := time.Now()
	o.ID = "ltp-probe/" + rand.Text()
	w, err := newPut(o, nil)
	if err != nil {
		return nil, err
	}
	w.receipt = asStored(ltp.Receipt{
		Attempt: ltp.RequestFrameID(w.order.ID, 1), Worker: "ltp-probe", BegunAt: at,
		Fence: ltp.Fence{State: ltp.Stable, Epoch: 1, ReadAt: at},
	})
	return w, nil
}

func (p *postgresDB) TryWritePath(ctx context.Context) error {
	w, err := probeWrite()
	if err != nil {
		return err
	}
	return p.statements.retryPrepared(func() error { return p.tryWritePath(ctx, w) })
}

func (p *postgresDB) tryWritePath(ctx context.Context, w *write) (err error) {
	conn, err := p.acquire(ctx)
	if err != nil {
		return unavailable(err)
	}
	defer func() { p.release(conn, err) }()
	watched, over := p.cluster.watch(ctx, conn.Conn().PgConn())
	defer over()
	return postgresWritePath(watched, conn.Conn(), p.tables, p.shop, w, workersWritePath)
}

// postgresWritePath sends all of it at once: the server never waits for us while the order is
// in its tables.
func postgresWritePath(ctx context.Context, conn *pgx.Conn, t tables, shop shop, w *write, row string) error {
	b := &pgx.Batch{}
	b.Queue("BEGIN")
	b.Queue("SAVEPOINT ltp_write_path")
	queuePut(b, t.putSQL(len(shop.statements) > 0), w, shop)
	b.Queue("SET CONSTRAINTS ALL IMMEDIATE").Fn = func(br pgx.BatchResults) error { // as the commit of an order would check them
		_, err := br.Exec()
		if e := new(pgconn.PgError); errors.As(err, &e) && len(shop.statements) > 0 && !t.own(e) {
			return &ownError{err}
		}
		return err
	}
	b.Queue("ROLLBACK TO SAVEPOINT ltp_write_path")
	b.Queue(t.postgresProbeSQL(), row)
	b.Queue("COMMIT")
	err := causeOf(ctx, conn.SendBatch(ctx, b).Close())
	warning := unconfirmed(conn)
	switch {
	case err != nil:
		clean(ctx, conn)
		return ofTheProbe(postgresError(err, shop.rules))
	case warning != nil:
		return unknown(warning)
	}
	return nil
}

// clean ends a transaction that is left open, or the connection.
func clean(ctx context.Context, conn *pgx.Conn) {
	if conn.IsClosed() || conn.PgConn().TxStatus() == 'I' {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pingTimeout)
	defer cancel()
	if _, err := conn.Exec(ctx, "ROLLBACK"); err != nil {
		_ = conn.Close(ctx)
	}
}

func (s *sqliteDB) TryWritePath(ctx context.Context) error {
	w, err := probeWrite()
	if err != nil {
		return err
	}
	return s.tryWritePath(ctx, w)
}

func (s *sqliteDB) tryWritePath(ctx context.Context, w *write) error {
	return s.writes.alone(ctx, func() error {
		conn, err := connect(ctx, s.writer)
		if err != nil {
			return unavailable(err)
		}
		defer conn.Close()
		return sqliteWritePath(ctx, conn, s.shop, w, workersWritePath)
	})
}

func sqliteWritePath(ctx context.Context, conn *sql.Conn, shop shop, w *write, row string) error {
	err := begin(ctx, conn)
	if err != nil {
		return unavailable(err)
	}
	if err = w.tryWritePath(ctx, conn, shop, row); err == nil {
		err = commit(ctx, conn)
	}
	if err != nil {
		rollback(ctx, conn)
	}
	return err
}

// tryWritePath writes an order in the open transaction, takes it back, and writes the probe's
// row.
func (w *write) tryWritePath(ctx context.Context, conn *sql.Conn, shop shop, row string) error {
	if _, err := conn.ExecContext(ctx, "SAVEPOINT ltp_write_path"); err != nil {
		return unavailable(err)
	}
	if _, err := w.into(ctx, conn, shop); err != nil {
		return ofTheProbe(err)
	}
	for _, statement := range []string{"ROLLBACK TO ltp_write_path", "RELEASE ltp_write_path"} {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return unavailable(err)
		}
	}
	if _, err := conn.ExecContext(ctx, sqliteProbeSQL, row, sqliteNow()); err != nil {
		return unavailable(err)
	}
	return nil
}
