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
// refused for what it is ([Rejected]), nothing was written ([Unavailable]), or nobody can
// know ([Unknown]). After the last two the same write is repeated under the same ID.
//
// An order is Rejected where a trigger says so, or what the operator has named
// ([WithRejectOn]). A constraint that fails, a privilege that is missing or a disk that is
// full is no word about the order: orders that fail on it are written when it is mended.
//
// Statements of the shop's own may run in the transaction of each order ([WithSQL]), once.
//
// SQLite writes in group commits: what comes while a transaction is under way shares the
// next.
//
// Whether the database takes orders shows only where an order is written. [DB.TryWritePath] and
// [Probe] write one of their own, by the statement of every order, and take it back before
// it commits.
//
// Our tables stand in a schema of their own in Postgres ([WithSchema]), and every statement
// names it. [DB.Migrate] makes them, [Script] prints what does, with the privileges that a
// role needs, and [DB.Check] says in a sentence why a database cannot be used as it is.
package orderdb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
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
	// admit is asked again where the write has to be made anew, at once, a moment after it
	// was admitted: nothing was written until then.
	//
	// Put returns soon after ctx ends, however long the database hangs. Every error
	// is an [*Error].
	Put(ctx context.Context, o ltp.Order, admit func() (ltp.Receipt, error)) (Stored, error)
	// Withdraw writes a tombstone under the order's key, unless the order or a tombstone
	// stands there, and returns what stands there then. It works like Put, and waits like
	// it for a Put of the same order that is under way. No constraint or trigger of the
	// table orders reaches it: it is Rejected with ErrConflict only.
	Withdraw(ctx context.Context, o ltp.Order, end ltp.Ending, admit func() error) (Stored, error)

	// TryWritePath writes an order of its own exactly as Put does, and takes it back before it
	// commits; a row of the probe's commits in its stead. So it waits and fails where an
	// order would, and leaves nothing but that row, a number less in the sequence of
	// the outbox, and what triggers do outside of the transaction. It returns nil where the
	// write path works, and otherwise an [*Error] of the class that a Put's would have. SQLite
	// checks deferred foreign keys at a commit only, so TryWritePath does not find them broken.
	//
	// Statements of the shop's are run for that order as well, whose customer and article
	// are "ltp-probe", and taken back. What they say of its values, such as that there is no
	// such customer, is Rejected here: only an order can show what it would be for one. A
	// privilege that is missing, a table that is not there or a full disk is what it is.
	TryWritePath(ctx context.Context) error
	// TryLatest does the same with what orders hold that were written last: at most three,
	// of different customers. It returns nil where one goes through, and where none says
	// anything: the outbox has none, a rule refuses it, or it meets what is taken. Else it
	// is the error by which our tables refuse what they have taken before (a constraint, or
	// a type of a column, that was added since), or that kept it from being tried.
	TryLatest(ctx context.Context) error

	// InFlight counts the writes of orders that the database has under way at this moment,
	// whoever makes them, also those that wait for a lock: of Postgres the transactions, of
	// SQLite 1 while anybody has the write lock. A probe's own order is among them for as
	// long as it takes. A write that is still on its way to the database is not seen.
	InFlight(ctx context.Context) (int, error)

	// Row returns the order with the given ID, or [ErrNotFound].
	Row(ctx context.Context, id string) (Row, error)
	// Tally counts the orders whose IDs begin with prefix; "" counts all.
	Tally(ctx context.Context, prefix string) (Tally, error)
	// Missing returns those of ids that are not in the order database, in the order
	// given. It is made for tens of thousands of them.
	Missing(ctx context.Context, ids []string) ([]string, error)

	// Erase erases what our tables hold of an order's customer, in one transaction: the
	// customer and the body of its row, its rows of the outbox, and what a tombstone says.
	// What stays is the key with the content hash, so that a repeat is recognised and
	// nothing is written twice, and of the row the amount, the receipt and the times. It may
	// be run again. The shop's own tables are not touched. It returns [ErrNotFound] where
	// nothing stands under the key, and [ErrConflict] where that is of another order. It is
	// for orders that have ended, and takes privileges that workers do not have.
	Erase(ctx context.Context, e Erasure) (Erased, error)

	// Migrate makes our tables or brings them up to date, and creates the schema, or an
	// SQLite file, that is not there. It may be run again, and by several processes at
	// once. It leaves a database alone that has a table of another's under the name of
	// one of ours, or that a newer build has migrated: that is a [*SchemaError], as is a
	// role that may not create.
	Migrate(ctx context.Context) error
	// Check returns a [*SchemaError] where orders cannot be written for what the database
	// says of its tables: they are not there, not ours, older or newer than this build, or
	// the role lacks a privilege on them; and a [*sqlitefile.DamagedError] of an SQLite
	// file that is damaged. [Wrong] recognises both. Any other error says that the database
	// could not be asked. It reads only, for as long as ctx lasts.
	Check(ctx context.Context) error
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
	// ErasedAt is when its customer's data was erased; zero where it was not. Of the Order
	// there is the ID then.
	ErasedAt time.Time
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
//	sqlite:///path/orders.db, sqlite://orders.db, or just path/orders.db
//	postgres://user:password@host:5432/database
//
// It does not connect: a database that is down is no reason not to start. It fails
// only on a URL or an option that cannot be used, and never shows the password in it.
//
// Prepared statements are used until the first of them is not there, or is another's: then
// a pooler hands out sessions by the transaction (PgBouncer does, and keeps track of prepared
// statements from 1.21 on), and statements are sent unnamed from then on. A URL that
// names default_query_exec_mode decides itself.
//
// A Postgres URL is understood as libpq does, with two defaults of its own: a
// connection attempt ends after a second (connect_timeout=1), and of several
// hosts the one that takes writes is used (target_session_attrs=read-write). Without
// them, a leader that is frozen, not dead, holds every connection attempt up for as
// long as it is frozen. Of several hosts, a former leader that does not know that it
// is one is passed over, too, where the timeline of another shows it.
func Open(ctx context.Context, url string, opts ...Option) (DB, error) {
	return open(ctx, url, opts...)
}

func open(ctx context.Context, url string, opts ...Option) (database, error) {
	o := optionsOf(opts)
	kind, where, err := o.parse(url)
	if err != nil {
		return nil, err
	}
	if kind == postgres {
		return openPostgres(ctx, where, o)
	}
	return openSQLite(where, o), nil
}

// Option changes what Open, OpenLedger and OpenProbe return.
type Option func(*options)

type options struct {
	schema         string
	build          build
	shop           shop
	sql            string
	writePathEvery time.Duration
}

// WithSchema names the schema of our tables in Postgres, in place of [DefaultSchema]; ""
// changes nothing. An SQLite file has no schemas, and Open refuses another name for it.
func WithSchema(name string) Option {
	return func(o *options) { o.schema = cmp.Or(name, o.schema) }
}

// WithRejectOn has errors that the rules name reject an order for good. Without it, only
// a trigger that raises an error does.
func WithRejectOn(rules Rules) Option { return func(o *options) { o.shop.rules = rules } }

// WithSQL has statements of the shop's run for every order that is new, in the transaction
// that writes it, after our rows, in their order; "" is none. All of it commits, or nothing
// does. A repeat of an order runs none of them, and no tombstone does. How many rows they
// touch is their own affair, none too. What they raise is classed as what a trigger raises.
// A probe's order runs them, too: see [DB.TryWritePath].
//
// The text has at most [MaxSQL] bytes and 32 statements, each SELECT, INSERT, UPDATE,
// DELETE or WITH, in Postgres MERGE or CALL, in SQLite REPLACE. They take the order by
// name, in Postgres with these types, in SQLite with what stands for them:
//
//	@id @customer @currency           text
//	@total_minor                      bigint: the sum of the lines, in the minor unit
//	@lines @depends_on                jsonb: arrays, as in the order's JSON
//	@attributes                       jsonb, or NULL
//	@priority                         bigint: 1 to 5
//	@risk                             text: high, or NULL
//	@ordering_key                     text, or NULL
//	@deadline                         timestamptz, or NULL
//	@order                            jsonb: the whole order
//
// Open and OpenProbe refuse other text and other names, and [DB.Check] statements that the
// database does not take.
func WithSQL(text string) Option { return func(o *options) { o.sql = text } }

// WithWritePathEvery has a [Probe] write through the write path of orders at least as often, 5 s by
// default; 0 is never. Triggers on the tables of orders run each time. It changes
// nothing of a DB.
func WithWritePathEvery(d time.Duration) Option { return func(o *options) { o.writePathEvery = d } }

func optionsOf(opts []Option) options {
	o := options{schema: DefaultSchema, build: thisBuild, writePathEvery: 5 * time.Second}
	for _, set := range opts {
		set(&o)
	}
	return o
}

type kind int

const (
	sqlite kind = iota
	postgres
)

const howTo = "give sqlite:///path/orders.db or postgres://user:password@host:5432/database"

// parse returns where the database is: a path for SQLite, a URL for Postgres.
func parse(url string) (kind, string, error) {
	if isPath(url) {
		return sqlite, filepath.Clean(url), nil
	}
	scheme, rest, found := strings.Cut(url, "://")
	switch {
	case found && (scheme == "postgres" || scheme == "postgresql"):
		return postgres, url, nil
	case found && scheme == "sqlite" && rest != "":
		return sqlite, filepath.Clean(rest), nil // of two slashes at its beginning one is meant
	case found:
		return 0, "", fmt.Errorf("the order database URL %s is not understood: %s", Redact(url), howTo)
	case url == "":
		return 0, "", errors.New("no order database is named: " + howTo)
	case strings.ContainsAny(url, ":=?@"):
		// Such a thing is more likely a mistyped URL, perhaps with a password in it,
		// than the name of a file to be created.
		return 0, "", errors.New("the order database URL has no scheme: " + howTo)
	}
	return sqlite, filepath.Clean(url), nil
}

// parse refuses a schema that cannot be used, too, and statements of the shop's, which it
// keeps.
func (o *options) parse(url string) (kind, string, error) {
	k, where, err := parse(url)
	switch {
	case err != nil:
		return 0, "", err
	case k == sqlite && o.schema != DefaultSchema:
		return 0, "", fmt.Errorf("an SQLite file has no schemas: leave the schema %s out", o.schema)
	case k == postgres:
		err = validSchema(o.schema)
	}
	if err == nil && o.sql != "" {
		o.shop.statements, err = parseSQL(o.sql, k)
	}
	return k, where, err
}

// isPath reports whether something is a path, whatever characters it has: one that begins
// as no URL does, or a file that is there.
func isPath(s string) bool {
	if filepath.IsAbs(s) || strings.HasPrefix(s, "./") || strings.HasPrefix(s, "../") {
		return true
	}
	info, err := os.Stat(s)
	return err == nil && !info.IsDir()
}

// File returns the path of the SQLite file that a URL names, and false for any other.
func File(url string) (path string, ok bool) {
	k, where, err := parse(url)
	if err != nil || k != sqlite {
		return "", false
	}
	return where, true
}

// Redact returns the URL of an order database as it may be shown: without
// passwords.
func Redact(raw string) string {
	if isPath(raw) {
		return raw
	}
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
	if err != nil || u.Opaque != "" || misread(u) || strings.Count(raw, "@") > 1 {
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
