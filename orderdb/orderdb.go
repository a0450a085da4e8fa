// Package orderdb is the order database: one interface, with SQLite and Postgres
// behind it.
//
// Under an order's key stands the order or a tombstone, never both: a tombstone says that
// the order was withdrawn and will never be written. Whichever is written first stays, is
// never overwritten, and every later [DB.Put] and [DB.Withdraw] returns it. So it is a
// write that decides how an order ends, also where an earlier statement is still on its way
// into the database.
//
// An order's row carries its own receipt: under which attempt it was written, behind which
// fence (a fencing token: the epoch of the orientation that admitted it), when and by whom.
//
// A write has one of four ends, and callers must not mix them up: it is there, it was
// refused for good ([Rejected]), nothing was written ([Unavailable]), or nobody can know
// ([Unknown]). After the last two the same write is repeated under the same ID.
//
// SQLite writes in group commits: what comes while a transaction is under way shares the
// next.
//
// This package also holds the migrations of the database's schema, and the write by which an
// observer probes it ([Probe]).
package orderdb

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/ltp-node/ltp"
)

//go:generate go tool mockgen -source=orderdb.go -destination=mock/mock.go -package=mockdb

// DB is an order database. It is safe for concurrent use.
type DB interface {
	// Put writes the order with its receipt and its outbox row, all or nothing, once. It
	// changes nothing where the same order or a tombstone of it stands already, and returns
	// that. Another order under the same ID is [Rejected] with [ErrConflict].
	//
	// admit is asked when a connection is held, immediately before the write is sent, for
	// the receipt of this write. If it returns an error, nothing is written and the error is
	// wrapped in an [Unavailable] one. A nil admit admits with an empty receipt.
	//
	// Put returns soon after ctx ends, however long the database hangs. Every error
	// is an [*Error].
	Put(ctx context.Context, o ltp.Order, admit func() (ltp.Receipt, error)) (Stored, error)
	// Withdraw writes a tombstone under the order's key, unless the order or a tombstone
	// stands there, and returns what stands there then. It works like Put, and waits like
	// it for a Put of the same order that is under way. No constraint or trigger of the
	// table orders reaches it: it is Rejected with ErrConflict only.
	Withdraw(ctx context.Context, o ltp.Order, end ltp.Ending, admit func() error) (Stored, error)

	// Row returns the order with the given ID, or [ErrNotFound].
	Row(ctx context.Context, id string) (Row, error)
	// Tally counts the orders whose IDs begin with prefix; "" counts all.
	Tally(ctx context.Context, prefix string) (Tally, error)
	// Missing returns those of ids that are not in the order database, in the order
	// given. It is made for tens of thousands of them.
	Missing(ctx context.Context, ids []string) ([]string, error)

	// Migrate brings the schema up to date, and creates an SQLite file that is not
	// there. It may be run again, and by several processes at once.
	Migrate(ctx context.Context) error
	// Ping returns nil when the database answers a read. Only a [Probe] shows that it takes
	// writes.
	Ping(ctx context.Context) error
	// Close closes the connections. Writes that still hang are abandoned after a second.
	Close() error
}

// Stored is what stands under an order's key.
type Stored struct {
	// Repeated says that it stood there before.
	Repeated bool
	// Receipt is of the write that happened, as the order's row holds it: Attempt, Worker,
	// BegunAt, and of the Fence all but LastFit; times are in milliseconds.
	Receipt ltp.Receipt
	// Tombstone is set where the order was withdrawn: it will never be written.
	Tombstone *ltp.Ending
}

// Row is an order as the order database holds it.
type Row struct {
	Order ltp.Order
	// CreatedAt is when it was written, by the clock of the database.
	CreatedAt time.Time
	// Receipt is of its write, see [Stored].
	Receipt ltp.Receipt
}

// Tally is what is in the order database.
type Tally struct {
	Orders int64 `json:"orders"`
	Outbox int64 `json:"outbox"`
	// Withdrawn counts the tombstones.
	Withdrawn int64 `json:"withdrawn"`
	// Duplicates counts the order IDs with more than one row in orders or outbox.
	// The outbox has a key of its own, so a write that took effect twice shows.
	Duplicates int64 `json:"duplicates"`
}

// ErrNotFound says that no order has the ID.
var ErrNotFound = errors.New("no order with this id is in the order database")

// Open returns the order database that the URL names:
//
//	sqlite:///path/orders.db or just path/orders.db
//	postgres://user:password@host:5432/database
//
// It does not connect: a database that is down is no reason not to start. It fails
// only on a URL that cannot be used, and never shows the password in it.
//
// A Postgres URL is understood as libpq does, with two defaults of its own: a
// connection attempt ends after a second (connect_timeout=1), and of several
// hosts the one that takes writes is used (target_session_attrs=read-write). Without
// them, a leader that is frozen, not dead, holds every connection attempt up for as
// long as it is frozen. Of several hosts, a former leader that does not know that it
// is one is passed over, too, where the timeline of another shows it.
func Open(ctx context.Context, url string) (DB, error) { return open(ctx, url) }

func open(ctx context.Context, url string) (database, error) {
	kind, where, err := parse(url)
	if err != nil {
		return nil, err
	}
	if kind == postgres {
		return openPostgres(ctx, where)
	}
	return openSQLite(where), nil
}

type kind int

const (
	sqlite kind = iota
	postgres
)

const howTo = "give sqlite:///path/orders.db or postgres://user:password@host:5432/database"

// parse returns where the database is: a path for SQLite, a URL for Postgres.
func parse(url string) (kind, string, error) {
	scheme, rest, found := strings.Cut(url, "://")
	switch {
	case found && (scheme == "postgres" || scheme == "postgresql"):
		return postgres, url, nil
	case found && scheme == "sqlite" && rest != "":
		return sqlite, rest, nil
	case found:
		return 0, "", fmt.Errorf("the order database URL %s is not understood: %s", Redact(url), howTo)
	case url == "":
		return 0, "", errors.New("no order database is named: " + howTo)
	case strings.ContainsAny(url, ":=?@"):
		// Such a thing is more likely a mistyped URL, perhaps with a password in it,
		// than the name of a file to be created.
		return 0, "", errors.New("the order database URL has no scheme: " + howTo)
	}
	return sqlite, url, nil
}

// Redact returns the URL of an order database as it may be shown: without
// passwords.
func Redact(raw string) string {
	scheme, _, found := strings.Cut(raw, "://")
	if !found {
		if strings.ContainsAny(raw, ":=?@") {
			return "(not shown)"
		}
		return raw
	}
	if scheme == "sqlite" {
		return raw
	}
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" {
		return scheme + "://(not shown)"
	}
	q := u.Query()
	for key := range q {
		if strings.Contains(strings.ToLower(key), "pass") {
			q.Set(key, "xxxxx")
		}
	}
	u.RawQuery = q.Encode()
	return u.Redacted()
}
