package orderdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	sqlite3 "modernc.org/sqlite/lib"
)

// Probe writes what waits for all that an order waits for: locks, the disk, the standby.
// Reading would not do: a primary whose writes hang still answers reads.
//
// Every sample writes one row in a table of its own, over a connection of its own, so that
// it is never held up by orders that queue for one. Now and then it goes through the
// orders' own write path as well: it writes an order and takes it back, as [DB.TryWritePath] does. It
// does so every five seconds ([WithWritePathEvery]), in the first sample after it has
// connected, and after a failure until the write path has worked twice in a row. What stops
// orders and nothing else, such as a privilege that is gone, shows there.
//
// A plain sample costs the database one commit, which is 0.2 ms of SQLite on a common disk.
type Probe struct {
	dial           func(ctx context.Context) (prober, error)
	writePathEvery time.Duration
	// turn holds the connection, which is nil while there is none; whoever has taken
	// it out may write, and has the fields below.
	turn chan prober
	// through is when the write path last worked, and owed how often it has to work before
	// plain samples will do again.
	through time.Time
	owed    int
}

// rise is how often the write path has to work after a failure.
const rise = 2

// prober is one connection.
type prober interface {
	// write makes the plain write.
	write(ctx context.Context) error
	// write path goes through the write path of orders; its errors are those of TryWritePath.
	writePath(ctx context.Context) error
	// tryAgain reports whether an error says nothing of the database: the same has to be
	// tried over another connection. fresh is one that was made for this sample.
	tryAgain(err error, fresh bool) bool
	facts() map[string]string
	close()
}

// OpenProbe returns a probe of the order database that the URL names, see [Open],
// on behalf of one component. It does not connect.
func OpenProbe(url, component string, opts ...Option) (*Probe, error) {
	o := optionsOf(opts)
	kind, where, err := o.parse(url)
	if err != nil {
		return nil, err
	}
	p := &Probe{turn: make(chan prober, 1), writePathEvery: o.writePathEvery}
	p.turn <- nil
	if kind == sqlite {
		p.dial = func(ctx context.Context) (prober, error) { return dialSQLite(ctx, where, component, o.shop) }
		return p, nil
	}
	config, cluster, err := postgresConfig(where)
	if err != nil {
		return nil, err
	}
	statements := newStatements(config.ConnConfig)
	p.dial = func(ctx context.Context) (prober, error) {
		config := config.ConnConfig.Copy()
		config.DefaultQueryExecMode = statements.mode()
		return dialPostgres(ctx, config, postgresProber{
			statements: statements, cluster: cluster, tables: tablesIn(o.schema), shop: o.shop, component: component,
		})
	}
	return p, nil
}

// Probe connects if need be, writes, and returns what is known of the server that
// took the write. It hangs as long as the write hangs, or until ctx ends. Where it finds
// its connection closed, it connects anew and writes again: only what that finds counts.
// After an error the next call connects anew, too, and so finds the new leader after an
// election. Every error is a [*Fault].
//
// The fact "write_path" is "orders" where the sample went through the write path of orders, "refused by a
// rule: …" where a rule refused the order of the probe, which shows that the write path answers,
// and "off" where that is switched off.
func (p *Probe) Probe(ctx context.Context) (map[string]string, error) {
	var conn prober
	select {
	case conn = <-p.turn:
	case <-ctx.Done():
		return nil, fault(context.Cause(ctx))
	}
	conn, facts, err := p.sample(ctx, conn)
	if err != nil {
		p.owed = rise
	}
	p.turn <- conn
	if err != nil {
		return facts, fault(err)
	}
	return facts, nil
}

// sample returns the connection that is to be used next, which is nil after an error.
func (p *Probe) sample(ctx context.Context, conn prober) (next prober, facts map[string]string, err error) {
	for {
		fresh := conn == nil
		if fresh {
			if conn, err = p.dial(ctx); err != nil {
				return nil, nil, err
			}
		}
		facts = maps.Clone(conn.facts())
		writePath, err := p.write(ctx, conn, fresh)
		if writePath != "" {
			facts["write_path"] = writePath
		}
		if err == nil {
			return conn, facts, nil
		}
		again := ctx.Err() == nil && conn.tryAgain(err, fresh) // as it is before we close it
		conn.close()
		if !again {
			return nil, facts, err
		}
		conn = nil
	}
}

// write writes over a connection, through the write path of orders where that is due, and says so.
func (p *Probe) write(ctx context.Context, conn prober, fresh bool) (writePath string, err error) {
	switch {
	case p.writePathEvery <= 0:
		return "off", conn.write(ctx)
	case !fresh && p.owed == 0 && time.Since(p.through) < p.writePathEvery:
		return "", conn.write(ctx)
	}
	writePath, err = "orders", conn.writePath(ctx)
	if class, _ := ClassOf(err); class == Rejected {
		writePath, err = "refused by a rule: "+err.Error(), conn.write(ctx)
	}
	if err != nil {
		return "", err
	}
	p.through, p.owed = time.Now(), max(0, p.owed-1)
	return writePath, nil
}

// Close closes the connection. A probe under way must have ended, or be about to:
// Close waits a second for it.
func (p *Probe) Close() error {
	return closeWithin(func() error {
		if conn := <-p.turn; conn != nil {
			conn.close()
		}
		p.turn <- nil
		return nil
	})
}

type postgresProber struct {
	conn       *pgx.Conn
	statements *statements
	cluster    *cluster
	tables     tables
	shop       shop
	component  string
	known      map[string]string
	// unnamed says that the connection prepares no statements.
	unnamed bool
}

// dialPostgres completes a prober.
func dialPostgres(ctx context.Context, config *pgx.ConnConfig, p postgresProber) (prober, error) {
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	p.conn, p.unnamed = conn, config.DefaultQueryExecMode == pgx.QueryExecModeExec
	p.known = map[string]string{
		"database": "postgres",
		"leader":   conn.PgConn().Conn().RemoteAddr().String(),
	}
	// The timeline goes up with every promotion. Servers that do not show it are probed
	// all the same.
	if at, known, _ := position(ctx, conn.PgConn()); known {
		p.known["timeline"] = fmt.Sprint(at.timeline)
	}
	return &p, nil
}

func (t tables) postgresProbeSQL() string {
	return `INSERT INTO ` + t.probe + ` AS p (component, n, at) VALUES ($1, 1, now())
	ON CONFLICT (component) DO UPDATE SET n = p.n + 1, at = excluded.at`
}

func (p *postgresProber) write(ctx context.Context) error {
	ctx, over := p.cluster.watch(ctx, p.conn.PgConn())
	defer over()
	_, err := p.conn.Exec(ctx, p.tables.postgresProbeSQL(), p.component)
	if warning := unconfirmed(p.conn); err == nil {
		err = warning
	}
	return causeOf(ctx, err)
}

func (p *postgresProber) writePath(ctx context.Context) error {
	ctx, over := p.cluster.watch(ctx, p.conn.PgConn())
	defer over()
	w, err := probeWrite()
	if err != nil {
		return err
	}
	return postgresWritePath(ctx, p.conn, p.tables, p.shop, w, p.component)
}

// tryAgain: a closed session is not a closed server, and a prepared statement that is not ours
// is a pooler's.
func (p *postgresProber) tryAgain(err error, fresh bool) bool {
	if !p.unnamed && p.statements.lostPrepared(err) {
		return true
	}
	if fresh || errors.As(err, new(*deposedError)) {
		return false
	}
	var e *pgconn.PgError
	return p.conn.IsClosed() || errors.As(err, &e) && strings.HasPrefix(e.Code, "08")
}

func (p *postgresProber) facts() map[string]string { return p.known }

// close does not wait: a frozen server answers no goodbye until the timeout.
func (p *postgresProber) close() {
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), pingTimeout)
		defer cancel()
		_ = p.conn.Close(ctx)
	}()
}

type sqliteProber struct {
	db        *sql.DB
	shop      shop
	component string
	path      string
}

func dialSQLite(ctx context.Context, path, component string, shop shop) (prober, error) {
	db := sqliteHandle(path, "rw", 1)
	conn, err := connect(ctx, db)
	if err != nil {
		_ = db.Close()
		return nil, err
	}
	return &sqliteProber{db: db, shop: shop, component: component, path: path}, conn.Close()
}

const sqliteProbeSQL = `INSERT INTO ltp_probe (component, n, at) VALUES (?, 1, ?)
	ON CONFLICT (component) DO UPDATE SET n = n + 1, at = excluded.at`

func sqliteNow() string { return time.Now().UTC().Format(time.RFC3339Nano) }

func (p *sqliteProber) write(ctx context.Context) error {
	return awaitLock(ctx, func() error {
		_, err := p.db.ExecContext(ctx, sqliteProbeSQL, p.component, sqliteNow())
		return err
	})
}

func (p *sqliteProber) writePath(ctx context.Context) error {
	conn, err := connect(ctx, p.db)
	if err != nil {
		return unavailable(err)
	}
	defer conn.Close()
	w, err := probeWrite()
	if err != nil {
		return err
	}
	return sqliteWritePath(ctx, conn, p.shop, w, p.component)
}

func (p *sqliteProber) tryAgain(error, bool) bool { return false }

func (p *sqliteProber) facts() map[string]string {
	return map[string]string{"database": "sqlite", "file": p.path}
}

func (p *sqliteProber) close() { _ = p.db.Close() }

// Fault is the error of a probe.
type Fault struct {
	reason   string
	definite bool
	err      error
}

func (f *Fault) Error() string { return f.err.Error() }

func (f *Fault) Unwrap() error { return f.err }

// Definite reports whether the error needs no confirmation by further samples: it shows
// by itself that the database takes no writes.
func (f *Fault) Definite() bool { return f.definite }

// Reason is the error in a few words for people: "DB Is Read-Only", or what the database
// said, with its code: "permission denied for table orders (42501)".
func (f *Fault) Reason() string { return f.reason }

func fault(err error) *Fault {
	reason, definite := postgresFault(err)
	if reason == "" {
		reason, definite = sqliteFault(err)
	}
	switch {
	case reason != "":
	case errors.Is(err, errSilent):
		reason = "DB Drops Orders"
	case errors.Is(err, syscall.ECONNREFUSED):
		reason, definite = "DB Connection Refused", true
	case errors.Is(err, context.DeadlineExceeded):
		reason = "DB Connection Timeout"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		reason = "DB Connection Lost" // the next probe shows whether the server is, too
	case errors.Is(err, pgconn.ErrReadOnlyConnection), errors.As(err, new(*deposedError)):
		reason, definite = "DB Has No Leader", true // every host has answered
	default:
		reason = "DB Write Failed"
	}
	return &Fault{reason, definite, err}
}

func postgresFault(err error) (reason string, definite bool) {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return "", false
	}
	switch e.Code {
	case "25006":
		return "DB Is Read-Only", true
	case "57P01":
		return "DB Shut Down", true
	case "57P02":
		return "DB Crashed", true
	case "57P03":
		return "DB Starting or Stopping", true
	}
	if strings.HasPrefix(e.Code, "08") {
		return "DB Connection Lost", true
	}
	return messageWithCode(e.Message, e.Code), false
}

// messageWithCode is what the database said, for a line.
func messageWithCode(message, code string) string {
	return fmt.Sprintf("%s (%s)", shortened(message), code)
}

func shortened(s string) string {
	const longest = 100 // characters
	if r := []rune(s); len(r) > longest {
		return string(r[:longest-1]) + "…"
	}
	return s
}

func sqliteFault(err error) (reason string, definite bool) {
	switch sqliteCode(err) {
	case 0:
		return "", false
	case sqlite3.SQLITE_CANTOPEN:
		return "DB File Cannot Be Opened", true
	case sqlite3.SQLITE_READONLY:
		return "DB Is Read-Only", true
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return "DB File Is Corrupt", true
	case sqlite3.SQLITE_FULL:
		return "DB Disk Is Full", true
	}
	message, code := messageAndCode(err)
	return messageWithCode(message, code), false
}
