package tests

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/orderdb/pgtest"
	"github.com/ltp-node/ltp/tests/child"
	"github.com/ltp-node/ltp/tests/harness"
)

// at is a terminal of the rig's: what is typed there reaches its Temporal.
func (r *rig) at() *terminal {
	r.T.Helper()
	env := r.Environment()
	return &terminal{t: r.T, stateDir: filepath.Join(r.T.TempDir(), "state"), env: env}
}

// sentence is what a refused command says, which is one line.
func (c *terminal) sentence(args ...string) string {
	c.t.Helper()
	said := c.refused(args...)
	assert.Equal(c.t, 1, strings.Count(said, "\n"), said)
	return said
}

// asRole is the URL with another role, which is made, and may connect.
func asRole(t *testing.T, raw, role string) string {
	t.Helper()
	u, err := url.Parse(raw)
	require.NoError(t, err)
	password, _ := u.User.Password()
	pgtest.Exec(t, raw, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s'", role, password))
	u.User = url.UserPassword(role, password)
	return u.String()
}

// TestAStartOnAnOrderDatabaseThatIsNotSetUpSaysSo, in a sentence with what to do, and
// leaves nothing there. One that waits goes to work when it is set up.
func TestAStartOnAnOrderDatabaseThatIsNotSetUpSaysSo(t *testing.T) {
	r := newRig(t)
	c := r.at()
	url := pgtest.Start(t).Database(t)
	pgtest.Exec(t, url, "CREATE TABLE public.orders (id serial, total numeric)") // of the shop's
	dev := []string{"dev", "--api", "127.0.0.1:0", "--admin", "", "--ui-port", "0"}
	for _, command := range [][]string{{"worker"}, {"observe"}, dev} {
		for _, b := range []struct{ schema, says string }{
			{"ltp", "the order database has no schema ltp: run ltp setup --orders-db URL"},
			{"public", "schema public of the order database has a table orders that ltp did not make: name another schema with --orders-schema"},
		} {
			assert.Equal(t, "ltp: "+b.says+"\n", c.sentence(append(command, "--orders-db", url, "--orders-schema", b.schema)...))
		}
	}
	said := c.refused("setup", "--orders-db", url, "--orders-schema", "public")
	assert.Contains(t, said, "has a table orders that ltp did not make")
	tables := func(schema string) (n int) {
		require.NoError(t, pgtest.Connect(t, url).QueryRow(t.Context(), "SELECT count(*) FROM pg_tables WHERE schemaname = $1", schema).Scan(&n))
		return n
	}
	assert.Equal(t, 1, tables("public"), "no stray table")

	waiting := c.start("worker", "--orders-db", url, "--wait-for-orders-db", "--dwell", "300ms")
	observing := c.start("observe", "--orders-db", url, "--wait-for-orders-db", "--dwell", "300ms")
	waiting.Says(&waiting.Stderr, "ltp worker waits for the order database: the order database has no schema ltp")
	observing.Says(&observing.Stderr, "ltp observe waits for the order database: ")
	noTemporal := &terminal{t: t, stateDir: c.stateDir, env: child.Environment(t, "TEMPORAL_ADDRESS=127.0.0.1:1")}
	assert.Equal(t, "Made the tables of the order database in schema ltp.\n", noTemporal.run("setup", "--orders-db", url))
	assert.Equal(t, "The order database has all its tables in schema ltp already.\n", noTemporal.run("setup", "--orders-db", url))
	waiting.Says(&waiting.Stderr, "runs on Temporal namespace")
	observing.Says(&observing.Stderr, "runs on Temporal namespace")
	r.becomesWith(func() { r.Submit("A1") }, "A1", ltp.Executed)
	assert.Equal(t, 5, tables("ltp"))
	assert.Equal(t, 1, tables("public"))

	pgtest.Exec(t, url, "INSERT INTO ltp_migrations (version_id, is_applied) VALUES (99, true)")
	assert.Contains(t, c.sentence("worker", "--orders-db", url), "run the newer build")
}

// becomesWith submits, and waits until the order is in a state.
func (r *rig) becomesWith(submit func(), id string, state ltp.OrderState) {
	r.T.Helper()
	submit()
	r.becomes(id, state)
}

// TestARoleThatMayNotCreateRunsANodeOnWhatIsPrinted: a superuser runs that, and the role of
// the node has no more than what it grants.
func TestARoleThatMayNotCreateRunsANodeOnWhatIsPrinted(t *testing.T) {
	r := newRig(t)
	c := r.at()
	admin := pgtest.Start(t).Database(t)
	app := asRole(t, admin, "app")
	said := c.sentence("setup", "--orders-db", app)
	assert.Contains(t, said, "the role app may not create the tables of ltp (permission denied for database test")
	assert.Contains(t, said, "--print")
	c.sentence("worker", "--orders-db", app)

	nowhere := &terminal{t: t, stateDir: c.stateDir, env: child.Environment(t, "TEMPORAL_ADDRESS=127.0.0.1:1")}
	printed := nowhere.run("setup", "--print", "--role", "app", "--orders-db", "postgres://app@127.0.0.1:1/nowhere")
	assert.Equal(t, printed, nowhere.run("setup", "--print"))
	pgtest.Exec(t, admin, printed)
	worker := c.start("worker", "--orders-db", app, "--dwell", "300ms")
	observer := c.start("observe", "--orders-db", app, "--dwell", "300ms")
	worker.Says(&worker.Stderr, "runs on Temporal namespace")
	observer.Says(&observer.Stderr, "runs on Temporal namespace")
	r.becomesWith(func() { r.Submit("A1") }, "A1", ltp.Executed)

	pgtest.Exec(t, admin, "REVOKE INSERT ON order_outbox FROM app")
	worker.Interrupt()
	worker = c.start("worker", "--orders-db", app, "--dwell", "300ms")
	worker.Says(&worker.Stderr, `GRANT INSERT ON \\?"ltp\\?".order_outbox TO \\?"app\\?"`)
	worker.Says(&worker.Stderr, "runs on Temporal namespace")
	r.becomesWith(func() { r.Submit("A2") }, "A2", ltp.Deferred)
	pgtest.Exec(t, admin, "GRANT INSERT ON order_outbox TO app")
	r.becomes("A2", ltp.Executed)
}

// TestAStartGoesOnWhereTheOrderDatabaseCannotBeReached: orders are accepted and wait.
func TestAStartGoesOnWhereTheOrderDatabaseCannotBeReached(t *testing.T) {
	r := newRig(t)
	server := pgtest.Start(t)
	url := server.Database(t)
	migrated(t, url)
	server.Stop()
	c := r.at()
	for _, wait := range [][]string{nil, {"--wait-for-orders-db"}} {
		p := c.start(append([]string{"worker", "--orders-db", url, "--dwell", "300ms"}, wait...)...)
		p.Says(&p.Stderr, "orders wait until it can be reached")
		p.Says(&p.Stderr, "runs on Temporal namespace")
		p.Interrupt()
	}
	p := c.start("worker", "--orders-db", url, "--dwell", "300ms")
	o := c.start("observe", "--orders-db", url, "--dwell", "300ms")
	p.Says(&p.Stderr, "runs on Temporal namespace")
	o.Says(&o.Stderr, "runs on Temporal namespace")
	r.becomesWith(func() { r.Submit("A1") }, "A1", ltp.Deferred)
	require.NoError(t, server.Start())
	r.becomes("A1", ltp.Executed)
}

// TestAnSQLiteFileOfSomebodyElseIsNotTouched, while ltp dev makes one that is not there.
func TestAnSQLiteFileOfSomebodyElseIsNotTouched(t *testing.T) {
	c := newTerminal(t)
	dev := []string{"dev", "--api", "127.0.0.1:0", "--admin", "", "--ui-port", "0", "--orders-db"}
	theirs, ours := filepath.Join(t.TempDir(), "shop.db"), filepath.Join(t.TempDir(), "orders.db")
	r := &rig{Rig: &harness.Rig{T: t, Ctx: t.Context(), Orders: theirs}}
	r.exec("CREATE TABLE orders (id INTEGER PRIMARY KEY, total REAL); INSERT INTO orders VALUES (1, 9.5)")
	before, err := os.ReadFile(theirs)
	require.NoError(t, err)
	assert.Contains(t, c.sentence(append(dev, theirs)...), "shop.db has a table orders that ltp did not make: name another file with --orders-db")
	after, err := os.ReadFile(theirs)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(before, after))

	p := c.start(append(dev, ours)...)
	p.Says(&p.Stdout, `orientation release( --state-dir .+)? --why`)
	p.Interrupt()
	assert.Contains(t, c.sentence("worker", "--orders-db", ours+"-not"), "there is no order database "+ours+"-not: run ltp setup --orders-db "+ours+"-not")
}

// TestTheStateDirectoryMayHaveAnyName.
func TestTheStateDirectoryMayHaveAnyName(t *testing.T) {
	c := newTerminal(t)
	c.stateDir = filepath.Join(t.TempDir(), "a@b:c=d?e#f %41")
	dev := c.start("dev", "--api", "127.0.0.1:0", "--admin", "", "--ui-port", "0", "--dwell", "300ms")
	dev.Says(&dev.Stdout, `orientation release( --state-dir .+)? --why`)
	require.Eventually(t, func() bool { return c.orientation("get").State == ltp.Stable }, patience, 100*time.Millisecond)
	assert.Equal(t, ltp.Executed, c.status("orders", "submit", "-f", c.file("A1"), "--wait", "1m").State)
	dev.Interrupt()
	entries, err := os.ReadDir(filepath.Dir(c.stateDir))
	require.NoError(t, err)
	assert.Len(t, entries, 1, "nothing was made elsewhere")
	assert.FileExists(t, filepath.Join(c.stateDir, "orders.db"))
	assert.FileExists(t, filepath.Join(c.stateDir, "temporal.db"))
}

// TestADamagedFileIsReportedAtTheStart, not when an order needs what is gone.
func TestADamagedFileIsReportedAtTheStart(t *testing.T) {
	for _, name := range []string{"temporal.db", "orders.db"} {
		t.Run(name, func(t *testing.T) {
			c := newTerminal(t)
			args := []string{"dev", "--api", "127.0.0.1:0", "--admin", "", "--ui-port", "0", "--dwell", "300ms"}
			dev := c.start(args...)
			dev.Says(&dev.Stdout, `orientation release( --state-dir .+)? --why`)
			require.Eventually(t, func() bool { return c.orientation("get").State == ltp.Stable }, patience, 100*time.Millisecond)
			c.status("orders", "submit", "-f", c.file("A1"), "--wait", "1m")
			dev.Interrupt()
			path := filepath.Join(c.stateDir, name)
			content, err := os.ReadFile(path)
			require.NoError(t, err)
			const page = 4096
			random := rand.New(rand.NewPCG(1, 2))
			for range 40 {
				at := random.IntN(len(content)/page) * page
				for i := range page {
					content[at+i] = byte(random.Uint32())
				}
			}
			require.NoError(t, os.WriteFile(path, content, 0o600))
			said := c.sentence(args...)
			assert.Contains(t, said, "the file "+path+" is damaged (")
			assert.Contains(t, said, "put a copy of it back")
			c.deserted()
		})
	}
}
