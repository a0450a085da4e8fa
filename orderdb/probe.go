package orderdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	sqlite3 "modernc.org/sqlite/lib"
)

// Probe makes the smallest write that waits for all that an order waits for: locks,
// the disk, the standby. It updates one row in a table of its own, over a connection
// of its own, so that it is never held up by orders that queue for one. Reading
// would not do: a primary whose writes hang still answers reads.
//
// It costs the database one commit, which is 0.2 ms of SQLite on a common disk.
type Probe struct {
	dial func(ctx context.Context) (prober, error)
	// turn holds the connection, which is nil while there is none; whoever has taken
	// it out may write.
	turn chan prober
}

// prober is one connection.
type prober interface {
	write(ctx context.Context) error
	facts() map[string]string
	close()
}

// OpenProbe returns a probe of the order database that the URL names, see [Open],
// on behalf of one component. It does not connect.
func OpenProbe(url, component string) (*Probe, error) {
	kind, where, err := parse(url)
	if err != nil {
		return nil, err
	}
	p := &Probe{turn: make(chan prober, 1)}
	p.turn <- nil
	if kind == sqlite {
		p.dial = func(ctx context.Context) (prober, error) { return dialSQLite(ctx, where, component) }
		return p, nil
	}
	config, cluster, err := postgresConfig(where)
	if err != nil {
		return nil, err
	}
	p.dial = func(ctx context.Context) (prober, error) {
		return dialPostgres(ctx, config.ConnConfig, cluster, component)
	}
	return p, nil
}

// Probe connects if need be, writes, and returns what is known of the server that
// took the write. It hangs as long as the write hangs, or until ctx ends. After an
// error the next call connects anew, and so finds the new leader after an election.
// Every error is a [*Fault].
func (p *Probe) Probe(ctx context.Context) (map[string]string, error) {
	var conn prober
	select {
	case conn = <-p.turn:
	case <-ctx.Done():
		return nil, fault(context.Cause(ctx))
	}
	var err error
	if conn == nil {
		if conn, err = p.dial(ctx); err != nil {
			p.turn <- nil
			return nil, fault(err)
		}
	}
	facts := conn.facts()
	if err := conn.write(ctx); err != nil {
		conn.close()
		p.turn <- nil
		return facts, fault(err)
	}
	p.turn <- conn
	return facts, nil
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
	conn      *pgx.Conn
	cluster   *cluster
	component string
	known     map[string]string
}

func dialPostgres(ctx context.Context, config *pgx.ConnConfig, cluster *cluster, component string) (prober, error) {
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	p := &postgresProber{conn: conn, cluster: cluster, component: component, known: map[string]string{
		"database": "postgres",
		"leader":   conn.PgConn().Conn().RemoteAddr().String(),
	}}
	// The timeline goes up with every promotion. Servers that do not show it are probed
	// all the same.
	if at, known, _ := position(ctx, conn.PgConn()); known {
		p.known["timeline"] = fmt.Sprint(at.timeline)
	}
	return p, nil
}

func (p *postgresProber) write(ctx context.Context) error {
	ctx, over := p.cluster.watch(ctx, p.conn.PgConn())
	defer over()
	_, err := p.conn.Exec(ctx, `INSERT INTO ltp_probe (component, n, at) VALUES ($1, 1, now())
		ON CONFLICT (component) DO UPDATE SET n = ltp_probe.n + 1, at = excluded.at`, p.component)
	if warning := unconfirmed(p.conn); err == nil {
		err = warning
	}
	return why(ctx, err)
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
	component string
	path      string
}

func dialSQLite(ctx context.Context, path, component string) (prober, error) {
	db := sqliteHandle(path, "rw", 1)
	conn, err := connect(ctx, db)
	if err != nil {
		_ = db.Close()
		return nil, err
	}
	return &sqliteProber{db: db, component: component, path: path}, conn.Close()
}

func (p *sqliteProber) write(ctx context.Context) error {
	return awaitLock(ctx, func() error {
		_, err := p.db.ExecContext(ctx, `INSERT INTO ltp_probe (component, n, at) VALUES (?, 1, ?)
			ON CONFLICT (component) DO UPDATE SET n = n + 1, at = excluded.at`,
			p.component, time.Now().UTC().Format(time.RFC3339Nano))
		return err
	})
}

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

// Reason is the error in a few words for people: "DB Is Read-Only".
func (f *Fault) Reason() string { return f.reason }

func fault(err error) *Fault {
	reason, definite := postgresFault(err)
	if reason == "" {
		reason, definite = sqliteFault(err)
	}
	switch {
	case reason != "":
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
	return fmt.Sprintf("DB Write Failed (%s)", e.Code), false
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
	return "DB Write Failed", false
}
