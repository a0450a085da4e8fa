package orderdb

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	modernc "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/ltp-node/ltp"
)

const (
	// latestTried is how many contents TryLatest tries at most, each of another customer.
	latestTried = 3
	// latestRead is among how many of the newest orders it looks for them.
	latestRead = 20
)

// OfContent reports whether an error with this code may be about what an order holds: a
// value that a column does not take, or a constraint.
func OfContent(code string) bool {
	return len(code) == 5 && (code[:2] == "22" || code[:2] == "23") || code == "SQLITE_CONSTRAINT"
}

// ofOneRow are the codes of constraints that one row alone meets or breaks: NOT NULL, CHECK.
var ofOneRow = []string{"23502", "23514"}

// ofContent reports whether an error of a try is about what the order holds, or a rule.
func ofContent(err error) bool {
	var e *Error
	return errors.As(err, &e) && (e.Class == Rejected || OfContent(e.Code))
}

// latestSQL reads the orders that were written last, the newest first. The outbox has them
// by an index; who empties it leaves none to try.
func (t tables) latestSQL(limit string) string {
	return `SELECT o.body FROM (SELECT id, order_id FROM ` + t.outbox + ` ORDER BY id DESC LIMIT ` + limit + `) AS newest
		JOIN ` + t.orders + ` AS o ON o.id = newest.order_id ORDER BY newest.id DESC`
}

// tryLatest tries the write path with the contents of the newest orders. It is nil where one of
// them goes through, or where none says anything: there is none, or a rule refuses it, or
// it meets what is taken. What stops it otherwise is its error.
func (t tables) tryLatest(bodies [][]byte, try func(*write) error) (refused error) {
	var customers []string
	for _, body := range bodies {
		var o ltp.Order
		if json.Unmarshal(body, &o) != nil || slices.Contains(customers, o.Customer) {
			continue
		}
		w, err := newProbeOrder(o)
		if err != nil {
			continue
		}
		switch err = try(w); {
		case err == nil:
			return nil
		case t.refuse(err), errors.As(err, new(*ownError)) && ofContent(err): // of the latter nobody knows
			refused = err
		case !ofContent(err): // it could not be tried
			return err
		}
		if customers = append(customers, o.Customer); len(customers) == latestTried {
			break
		}
	}
	return refused
}

// refuse reports whether an error says that our tables do not take what an order holds.
// Whether a value is taken yet, and whether it meets a table of another's, is not decided by
// the order alone.
func (t tables) refuse(err error) bool {
	var p *pgconn.PgError
	if errors.As(err, &p) {
		inFunction := p.Where != "" // of a trigger, which may look at anything
		return strings.HasPrefix(p.Code, "22") && !inFunction || slices.Contains(ofOneRow, p.Code) && t.own(p)
	}
	var s *modernc.Error
	if errors.As(err, &s) {
		return s.Code() == sqlite3.SQLITE_CONSTRAINT_CHECK || s.Code() == sqlite3.SQLITE_CONSTRAINT_NOTNULL
	}
	return false
}

func (p *postgresDB) TryLatest(ctx context.Context) error {
	return p.statements.retryPrepared(func() error {
		bodies, err := p.latest(ctx)
		if err != nil {
			return err
		}
		return p.tables.tryLatest(bodies, func(w *write) error { return p.tryWritePath(ctx, w) })
	})
}

func (p *postgresDB) latest(ctx context.Context) (bodies [][]byte, err error) {
	conn, err := p.acquire(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	defer func() { p.release(conn, err) }()
	rows, err := conn.Query(ctx, p.tables.latestSQL("$1"), latestRead)
	if err == nil {
		bodies, err = pgx.CollectRows(rows, pgx.RowTo[[]byte])
	}
	if err != nil {
		return nil, unavailable(err)
	}
	return bodies, nil
}

func (s *sqliteDB) TryLatest(ctx context.Context) error {
	bodies, err := s.latest(ctx)
	if err != nil {
		return unavailable(err)
	}
	return sqliteTables.tryLatest(bodies, func(w *write) error { return s.tryWritePath(ctx, w) })
}

func (s *sqliteDB) latest(ctx context.Context) (bodies [][]byte, err error) {
	rows, err := s.readers.QueryContext(ctx, sqliteTables.latestSQL("?"), latestRead)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var body []byte
		if err := rows.Scan(&body); err != nil {
			return nil, err
		}
		bodies = append(bodies, body)
	}
	return bodies, rows.Err()
}
