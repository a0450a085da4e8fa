package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/audit"
	"github.com/ltp-node/ltp/orderdb/pgtest"
	"github.com/ltp-node/ltp/tests/harness"
)

// readme is what the README of an example has its reader type, command by command.
func readme(t *testing.T, example string) (commands []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "examples", example, "README.md"))
	require.NoError(t, err)
	for _, block := range shellBlocks(string(text)) {
		commands = append(commands, strings.Split(strings.TrimSpace(block), "\n")...)
	}
	return commands
}

// shellBlocks are what a document has its reader type.
func shellBlocks(text string) (blocks []string) {
	for _, found := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(text, -1) {
		blocks = append(blocks, found[1])
	}
	return blocks
}

// shell runs commands of a reader in the root of the repository.
type shell struct {
	t   *testing.T
	env []string
}

func newShell(r *rig, db string) shell {
	path := filepath.Dir(harness.Binary(r.T)) + string(filepath.ListSeparator) + pgtest.Needed(r.T) + string(filepath.ListSeparator) + os.Getenv("PATH")
	return shell{r.T, r.Environment("DB="+db, "PATH="+path)}
}

func (s shell) command(line string) *exec.Cmd {
	cmd := exec.CommandContext(s.t.Context(), "sh", "-ec", line)
	cmd.Dir, cmd.Env = "..", s.env
	return cmd
}

func (s shell) run(line string) string {
	s.t.Helper()
	said, err := s.command(line).CombinedOutput()
	require.NoErrorf(s.t, err, "%s\n%s", line, said)
	return string(said)
}

// TestOrdersGoIntoTheTablesOfAShop: what examples/shop has its reader type works, with the
// parts in processes of their own, of which the worker is killed in the middle. Each order
// that was accepted is in the shop, once, or was refused by the stock.
func TestOrdersGoIntoTheTablesOfAShop(t *testing.T) {
	for _, program := range []string{"curl", "psql"} {
		if _, err := exec.LookPath(program); err != nil && os.Getenv("CI") == "" {
			t.Skip(err)
		}
	}
	url := pgtest.Start(t).Database(t)
	r := newRigOn(t, url)
	reader := newShell(r, url)
	commands := readme(t, "shop")
	require.Len(t, commands, 7)
	_, flags, isDev := strings.Cut(commands[3], "ltp dev ")
	require.True(t, isDev)
	for _, line := range commands[1:3] {
		reader.run(line)
	}

	part := func(name string) *process {
		p := launch(t, reader.env, "sh", "-ec", "cd .. && exec ltp "+name+" "+flags+" --dwell 300ms")
		p.Says(&p.Stderr, "runs on Temporal namespace")
		return p
	}
	first := part("worker")
	part("observe")
	api := r.LTP(r.Address, "api", "--api", "127.0.0.1:0", "--admin", "")
	address := api.Says(&api.Stderr, `Order API: http://(\S+)`)[1]
	r.Until(r.Watch(), ltp.Stable)

	customers := reader.command(strings.ReplaceAll(commands[4], "127.0.0.1:8080", address))
	require.NoError(t, customers.Start())
	conn := pgtest.Connect(t, url)
	count := func(query string) (n int) {
		require.NoError(t, conn.QueryRow(t.Context(), query).Scan(&n))
		return n
	}
	require.Eventually(t, func() bool { return count("SELECT count(*) FROM shop.orders") >= 10 }, patience, 5*time.Millisecond)
	first.Kill()
	part("worker")
	require.NoError(t, customers.Wait())

	ended := map[ltp.OrderState]int{}
	for n := range 50 {
		id := "S" + strconv.Itoa(n+1)
		st := r.Ended(id)
		ended[st.State]++
		rows := count("SELECT count(*) FROM shop.orders AS o JOIN shop.order_lines ON order_number = number WHERE sku = 'lamp' AND quantity = 1 AND number = '" + id + "'")
		assert.Equal(t, map[bool]int{true: 1, false: 0}[st.State == ltp.Executed], rows, "%+v", st)
	}
	assert.Equal(t, map[ltp.OrderState]int{ltp.Executed: 47, ltp.Rejected: 3}, ended)
	assert.Equal(t, 47, count("SELECT count(*) FROM shop.orders"))
	assert.Equal(t, 47, count("SELECT count(*) FROM ltp.orders"))
	said := reader.run(commands[5])
	assert.Regexp(t, `lamp +\| +0\b`, said)
	assert.Regexp(t, `ltp-probe +\| +1\b`, said)
	assert.Equal(t, 3, strings.Count(reader.run(commands[6]), "REJECTED"))

	r.auditedButLost("--orders-db", url)
	r.verified()
}

// TestAStatementThatTheDatabaseDoesNotTakeKeepsANodeFromStarting, in the database's words,
// or is waited for, and one that is missing for the orders of all makes them wait.
func TestAStatementThatTheDatabaseDoesNotTakeKeepsANodeFromStarting(t *testing.T) {
	url := pgtest.Start(t).Database(t)
	r := newRigOn(t, url)
	c := r.at()
	file := filepath.Join(t.TempDir(), "insert.sql")
	write := func(sql string) { require.NoError(t, os.WriteFile(file, []byte(sql), 0o600)) }
	write("INSERT INTO shop.orders (number)\nVALUES (@id)")
	const says = `--orders-sql, line 1: the order database does not take the statement: relation "shop.orders" does not exist (42P01): correct it, or make there what it names`
	dev := []string{"dev", "--api", "127.0.0.1:0", "--admin", "", "--ui-port", "0"}
	for _, command := range [][]string{{"worker"}, {"observe"}, dev} {
		assert.Equal(t, "ltp: "+says+"\n", c.sentence(append(command, "--orders-db", url, "--orders-sql", file)...))
	}
	for sql, words := range map[string]string{"": "is empty: write a statement into it", "SELECT @idd": "there is no parameter @idd: use @id, ", "COMMIT": "leave COMMIT out"} {
		wrong := filepath.Join(t.TempDir(), "wrong.sql")
		require.NoError(t, os.WriteFile(wrong, []byte(sql), 0o600))
		assert.Contains(t, c.sentence("worker", "--orders-db", url, "--orders-sql", wrong), words)
	}
	assert.Contains(t, c.sentence("worker", "--orders-sql", file+".none"), "--orders-sql: open ")

	args := []string{"--orders-db", url, "--orders-sql", file, "--wait-for-orders-db", "--dwell", "300ms", "--write-path-every", "250ms"}
	worker, observer := c.start(append([]string{"worker"}, args...)...), c.start(append([]string{"observe"}, args...)...)
	worker.Says(&worker.Stderr, "ltp worker waits for the order database: "+regexp.QuoteMeta(says))
	observer.Says(&observer.Stderr, "ltp observe waits for the order database: "+regexp.QuoteMeta(says))
	pgtest.Exec(t, url, "CREATE SCHEMA shop; CREATE TABLE shop.orders (number text PRIMARY KEY)")
	worker.Says(&worker.Stderr, "runs on Temporal namespace")
	observer.Says(&observer.Stderr, "runs on Temporal namespace")
	r.becomesWith(func() { r.Submit("A1") }, "A1", ltp.Executed)

	// What the shop's table lost stops the orders of all: the observer's own shows it.
	board := r.Watch()
	r.Until(board, ltp.Stable)
	pgtest.Exec(t, url, "ALTER TABLE shop.orders RENAME TO elsewhere")
	fell := r.Until(board, ltp.Unstable)
	assert.Contains(t, fell.Reason, `relation "shop.orders" does not exist (42P01)`)
	r.becomesWith(func() { r.Submit("A2") }, "A2", ltp.Deferred)
	pgtest.Exec(t, url, "ALTER TABLE shop.elsewhere RENAME TO orders")
	r.becomes("A2", ltp.Executed)
	assert.Equal(t, audit.Held, r.audited(0, "--orders-db", url).Claim(audit.RowsAgree).Verdict)
}

// TestAWorkerThatStandsStillHoldsNothingOfTheShop: it is frozen while its transaction waits
// for a row of the shop's, and the transaction commits without it, once.
func TestAWorkerThatStandsStillHoldsNothingOfTheShop(t *testing.T) {
	url := pgtest.Start(t).Database(t)
	r := newRigOn(t, url)
	pgtest.Exec(t, url, `CREATE SCHEMA shop; CREATE TABLE shop.orders (number text PRIMARY KEY);
		CREATE TABLE shop.stock (sku text PRIMARY KEY, units bigint NOT NULL); INSERT INTO shop.stock VALUES ('book', 9)`)
	file := filepath.Join(t.TempDir(), "insert.sql")
	require.NoError(t, os.WriteFile(file, []byte(`UPDATE shop.stock SET units = units - 1 WHERE sku = @lines->0->>'sku'; INSERT INTO shop.orders VALUES (@id)`), 0o600))
	worker := r.worker("--orders-sql", file)
	r.observer("--orders-sql", file)
	r.Until(r.Watch(), ltp.Stable)
	r.becomesWith(func() { r.Submit("A0") }, "A0", ltp.Executed)

	holder, watcher := pgtest.Connect(t, url), pgtest.Connect(t, url)
	count := func(query string) (n int) {
		require.NoError(t, watcher.QueryRow(t.Context(), query).Scan(&n))
		return n
	}
	_, err := holder.Exec(t.Context(), "BEGIN; SELECT FROM shop.stock FOR UPDATE")
	require.NoError(t, err)
	r.Submit("A1")
	require.Eventually(t, func() bool {
		return count("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'") > 0
	}, patience, time.Millisecond)
	worker.Freeze()
	_, err = holder.Exec(t.Context(), "ROLLBACK")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return count("SELECT count(*) FROM shop.orders") == 2 }, patience, 5*time.Millisecond)
	assert.Zero(t, count("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"))
	worker.Thaw()
	r.becomes("A1", ltp.Executed)
	assert.Equal(t, 2, count("SELECT count(*) FROM shop.orders"))
	assert.Equal(t, 7, count("SELECT units FROM shop.stock"))
}
