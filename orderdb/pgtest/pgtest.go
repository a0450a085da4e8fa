// Package pgtest gives tests real Postgres servers of package pglocal: on a free port
// of the loopback interface, in a temporary directory, gone when the test is.
//
// Where no Postgres is installed, or no PgBouncer, a test that needs it is skipped; on CI, which sets the environment
// variable CI, it fails.
package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ltp-node/ltp/internal/pglocal"
)

// options are those of every server. One password suits all, so that one URL may name
// several.
var options = pglocal.Options{NoSync: true, Password: rand.Text()}

// slack is for test machines, which stall.
const slack = "&connect_timeout=20"

// Server is a Postgres server. fsync is off: it is as quick as it is careless.
type Server struct{ *pglocal.Server }

var shared struct {
	sync.Mutex
	server *Server
}

// Shared returns a server that all tests of a package share. It is started at the
// first call; the package must stop it with [Main].
func Shared(t testing.TB) *Server {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		// Not with the context of this test, which others outlive.
		server, err := pglocal.Start(context.Background(), options)
		must(t, err)
		shared.server = &Server{server}
	}
	return shared.server
}

// Main runs the tests of a package and stops the shared server; it is for
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
func Main(m *testing.M) int {
	defer func() {
		shared.Lock()
		defer shared.Unlock()
		if shared.server != nil {
			shared.server.Remove()
		}
	}()
	return m.Run()
}

// Start returns a server of the test's own, which it may stop and freeze.
func Start(t testing.TB) *Server {
	t.Helper()
	server, err := pglocal.Start(t.Context(), options)
	must(t, err)
	t.Cleanup(server.Remove)
	return &Server{server}
}

// StartPair returns a leader and a synchronous standby of the test's own. What set
// changes of the options, it changes for both.
func StartPair(t testing.TB, set ...func(*pglocal.Options)) *pglocal.Pair {
	t.Helper()
	o := options
	for _, f := range set {
		f(&o)
	}
	pair, err := pglocal.StartPair(t.Context(), o)
	must(t, err)
	t.Cleanup(pair.Remove)
	return pair
}

// StartPooler puts a pooler of the test's own before the server, with a number of sessions
// in each database.
func (s *Server) StartPooler(t testing.TB, sessions int) *pglocal.Pooler {
	t.Helper()
	pooler, err := pglocal.StartPooler(t.Context(), s.Server, sessions)
	must(t, err)
	t.Cleanup(pooler.Remove)
	return pooler
}

// Needed returns where the programs of Postgres are, for a test that starts servers in
// a process of its own.
func Needed(t testing.TB) (bin string) {
	t.Helper()
	bin, err := pglocal.Binaries()
	must(t, err)
	return bin
}

// must ends the test when a server could not be started.
func must(t testing.TB, err error) {
	t.Helper()
	missing := errors.Is(err, pglocal.ErrNotInstalled) || errors.Is(err, pglocal.ErrNoPooler)
	if missing && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// URL connects to the database postgres as superuser.
func (s *Server) URL() string { return s.Server.URL("postgres") + slack }

var databases atomic.Int64

// Database creates an empty database and returns its URL.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test%d", databases.Add(1))
	Exec(t, s.URL(), "CREATE DATABASE "+name)
	return s.Server.URL(name) + slack
}

// Start starts a server that was stopped, on its port and with its data.
func (s *Server) Start() error { return s.Server.Start(context.Background()) }

// Set changes a setting of the whole server, and has it take the new value; an empty
// one is the default. Sessions notice soon, not at once.
func (s *Server) Set(t testing.TB, name, value string) {
	t.Helper()
	must(t, s.Server.Set(name, value))
}

// Freeze stops every process of the server where it is: nothing is refused and
// nothing is answered, until Thaw.
func (s *Server) Freeze(t testing.TB) {
	t.Helper()
	must(t, s.Server.Freeze())
}

// Exec runs statements over a connection of their own, one after the other. See [Connect].
func Exec(t testing.TB, url string, statements ...string) {
	t.Helper()
	conn := Connect(t, url)
	defer conn.Close(context.Background())
	for _, statement := range statements {
		if _, err := conn.PgConn().Exec(t.Context(), statement).ReadAll(); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// Connect returns a connection that is closed with the test. It finds the tables of an
// order database by their bare names; connections of the product's have no such help.
func Connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	if config.Database != "pgbouncer" { // its console has no settings
		config.RuntimeParams["search_path"] = "ltp, public"
	}
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	})
	return conn
}
