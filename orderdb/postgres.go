package orderdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
)

type postgresDB struct {
	pool   *pgxpool.Pool
	config *pgx.ConnConfig
	schema string
	tables tables
	build  build
	shop   shop
	// statements are how they are sent.
	statements *statements
	// cluster is nil where the URL names one host.
	cluster *cluster
	// generation grows when the connections of the pool are discarded together.
	generation atomic.Int64
}

const (
	// maxConns holds unless the URL says pool_max_conns.
	maxConns = 10
	// idleBeforePing is how long an unused connection is trusted; pingTimeout is how
	// long it may take to answer then.
	idleBeforePing = time.Second
	pingTimeout    = time.Second
)

func openPostgres(ctx context.Context, raw string, o options) (*postgresDB, error) {
	config, cluster, err := postgresConfig(raw)
	if err != nil {
		return nil, err
	}
	db := &postgresDB{
		config: config.ConnConfig, schema: o.schema, tables: tablesIn(o.schema), build: o.build, shop: o.shop,
		statements: newStatements(config.ConnConfig), cluster: cluster,
	}
	config.BeforeConnect = func(_ context.Context, config *pgx.ConnConfig) error {
		config.DefaultQueryExecMode = db.statements.mode()
		return nil
	}
	config.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		conn.PgConn().CustomData()[bornKey] = db.generation.Load()
		conn.PgConn().CustomData()[modeKey] = conn.Config().DefaultQueryExecMode
		return nil
	}
	// What the pool does with a connection that does not answer keeps its place
	// taken for up to 15 s; acquire does it at once.
	config.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false }
	db.pool, err = pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("the order database URL %s cannot be used: %w", Redact(raw), err)
	}
	return db, nil
}

// misread reports whether a URL has an @ where none belongs: a password that holds a /, ? or #
// was taken for the end of the host.
func misread(u *url.URL) bool {
	return strings.ContainsRune(u.EscapedPath()+u.RawQuery+u.EscapedFragment(), '@')
}

// postgresConfig applies our defaults to the URL. Its errors do not repeat those of the
// parser, which quote pieces of the URL: with a password that is not encoded, pieces of
// the password.
func postgresConfig(raw string) (*pgxpool.Config, *cluster, error) {
	u, err := url.Parse(raw)
	if err != nil || misread(u) {
		return nil, nil, fmt.Errorf("the order database URL %s is not a URL: give postgres://user:password@host:5432/database, with special characters of the password percent-encoded", Redact(raw))
	}
	q := u.Query()
	if !q.Has("connect_timeout") && os.Getenv("PGCONNECT_TIMEOUT") == "" {
		q.Set("connect_timeout", "1")
	}
	hosts := u.Host
	if q.Has("host") {
		hosts = q.Get("host")
	}
	if strings.Contains(hosts, ",") && !q.Has("target_session_attrs") && os.Getenv("PGTARGETSESSIONATTRS") == "" {
		q.Set("target_session_attrs", "read-write")
	}
	if !q.Has("pool_max_conns") {
		q.Set("pool_max_conns", fmt.Sprint(maxConns))
	}
	u.RawQuery = q.Encode()
	config, err := pgxpool.ParseConfig(u.String())
	if err != nil {
		return nil, nil, fmt.Errorf("the order database URL %s cannot be used: check its hosts, ports and parameters", Redact(raw))
	}
	config.ConnConfig.OnNotice = recordNotice
	if len(config.ConnConfig.Fallbacks) == 0 || !strings.Contains(hosts, ",") {
		return config, nil, nil
	}
	config.ConnConfig.LookupFunc = newHostLookup().lookup
	return config, joinCluster(hosts, config.ConnConfig), nil
}

// Keys of what we know of a connection.
const (
	bornKey        = "ltp.born"        // its generation
	modeKey        = "ltp.mode"        // how it sends statements
	usedKey        = "ltp.used"        // when it was last used
	unconfirmedKey = "ltp.unconfirmed" // a warning that its commit may not last
	positionKey    = "ltp.position"    // where its server writes
)

// recordNotice remembers a warning that makes a commit doubtful.
func recordNotice(conn *pgconn.PgConn, n *pgconn.Notice) {
	if doubtful(n) {
		conn.CustomData()[unconfirmedKey] = n.Message
	}
}

// doubtful recognises the warning by which Postgres acknowledges a commit that the
// synchronous standby did not confirm: it may be lost with the leader. The routine
// has its English name in every locale, the message has not; a RAISE WARNING has the
// same SQLSTATE but not the routine.
func doubtful(n *pgconn.Notice) bool { return n.Routine == "SyncRepWaitForLSN" || n.Code == "57P01" }

// unconfirmed takes the warning of the latest statement.
func unconfirmed(conn *pgx.Conn) error {
	data := conn.PgConn().CustomData()
	message, warned := data[unconfirmedKey]
	if !warned {
		return nil
	}
	delete(data, unconfirmedKey)
	return fmt.Errorf("not confirmed by the standby: %v", message)
}

// acquire returns a connection that is not known to be dead, or to lead to a former
// leader.
func (p *postgresDB) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	for {
		conn, err := p.pool.Acquire(ctx)
		if err != nil {
			return nil, err
		}
		if err := p.cluster.deposed(conn.Conn().PgConn()); err != nil {
			p.release(conn, err)
			continue
		}
		used, _ := conn.Conn().PgConn().CustomData()[usedKey].(time.Time)
		if used.IsZero() || time.Since(used) < idleBeforePing && quiet(conn.Conn().PgConn().Conn()) {
			return conn, nil
		}
		ping, cancel := context.WithTimeout(ctx, pingTimeout)
		err = conn.Ping(ping)
		cancel()
		if err == nil {
			return conn, nil
		}
		p.release(conn, err)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// release returns a connection to the pool. When the connection was lost or leads
// to a server that takes no writes, so do the others of its generation, and all of
// them are discarded together: after a change of leader they would each fail once.
func (p *postgresDB) release(conn *pgxpool.Conn, err error) {
	p.statements.lostPrepared(err) // before others connect anew
	pg := conn.Conn().PgConn()
	if err == nil || !(pg.IsClosed() || discardsConnection(err)) {
		pg.CustomData()[usedKey] = time.Now()
		conn.Release()
		return
	}
	born, _ := pg.CustomData()[bornKey].(int64)
	if p.generation.CompareAndSwap(born, born+1) {
		p.pool.Reset()
	}
	// Hijacking frees the place in the pool at once: closing a connection to a frozen
	// server takes until the timeout.
	abandoned := conn.Hijack()
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), pingTimeout)
		defer cancel()
		_ = abandoned.Close(ctx)
	}()
}

// discardsConnection reports whether an error is of the server behind the connection, which
// stays open, or of what the connection remembers.
func discardsConnection(err error) bool {
	if errors.As(err, new(*deposedError)) {
		return true
	}
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code {
	case "25006", // read-only: a demoted leader
		"0A000", "26000", "42P05": // the prepared statement no longer fits, is gone, or is another's
		return true
	}
	return false
}

func (p *postgresDB) Row(ctx context.Context, id string) (Row, error) {
	var (
		row     Row
		body    []byte
		erased  *time.Time
		receipt receiptRow[*time.Time]
	)
	err := p.read(ctx, func(conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, "SELECT body, created_at, "+p.tables.erasedAt("o.id")+", "+receiptColumns+" FROM "+p.tables.orders+" AS o WHERE o.id = $1", id).
			Scan(append([]any{&body, &row.CreatedAt, &erased}, receipt.columns()...)...)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return Row{}, ErrNotFound
	}
	if err != nil {
		return Row{}, fmt.Errorf("reading order %s: %w", id, err)
	}
	row.CreatedAt, row.ErasedAt = row.CreatedAt.UTC(), postgresTime(erased)
	row.Receipt = postgresReceipt(receipt)
	if err := json.Unmarshal(body, &row.Order); err != nil {
		return Row{}, fmt.Errorf("reading order %s: %w", id, err)
	}
	row.Order.ID = id
	return row, nil
}

func (p *postgresDB) Tally(ctx context.Context, prefix string) (Tally, error) {
	var t Tally
	err := p.read(ctx, func(conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, p.tables.tallySQL("$1", "$2"), prefix, prefix+lastByte).Scan(&t.Orders, &t.Outbox, &t.Withdrawn, &t.Duplicates)
	})
	if err != nil {
		return Tally{}, fmt.Errorf("counting orders: %w", err)
	}
	return t, nil
}

func (p *postgresDB) Missing(ctx context.Context, ids []string) ([]string, error) {
	var missing []string
	err := p.read(ctx, func(conn *pgxpool.Conn) error {
		rows, err := conn.Query(ctx, `SELECT id FROM unnest($1::text[]) WITH ORDINALITY AS asked (id, n)
			WHERE NOT EXISTS (SELECT FROM `+p.tables.orders+` AS o WHERE o.id = asked.id) ORDER BY n`, ids)
		if err != nil {
			return err
		}
		missing, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("looking for missing orders: %w", err)
	}
	return missing, nil
}

func (p *postgresDB) read(ctx context.Context, query func(*pgxpool.Conn) error) error {
	return p.statements.retryPrepared(func() error {
		conn, err := p.acquire(ctx)
		if err != nil {
			return err
		}
		err = query(conn)
		p.release(conn, err)
		return err
	})
}

func (p *postgresDB) Migrate(ctx context.Context) error {
	config := p.config.Copy()
	if !p.statements.fixed { // what is sent once is not worth preparing
		config.DefaultQueryExecMode = pgx.QueryExecModeExec
	}
	db := stdlib.OpenDB(*config)
	defer db.Close()
	if err := p.migrate(ctx, db); err != nil {
		if s := new(SchemaError); errors.As(err, &s) {
			return s
		}
		if e := new(pgconn.PgError); errors.As(err, &e) && e.Code == "42501" {
			return &SchemaError{Problem: SchemaDenied, words: p.mayNotCreate(e)}
		}
		return fmt.Errorf("migrating the order database: %w", err)
	}
	return nil
}

func (p *postgresDB) Ping(ctx context.Context) error {
	return p.read(ctx, func(conn *pgxpool.Conn) error {
		_, err := conn.Exec(ctx, "SELECT 1 FROM "+p.tables.orders+" LIMIT 1")
		return err
	})
}

func (p *postgresDB) Close() error {
	return closeWithin(func() error {
		p.pool.Close()
		return nil
	})
}
