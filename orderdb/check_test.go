package orderdb_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/internal/sqlitefile"
	"github.com/ltp-node/ltp/orderdb"
	"github.com/ltp-node/ltp/orderdb/pgtest"
)

func assertProblem(t *testing.T, want orderdb.Problem, words string, err error) {
	t.Helper()
	var e *orderdb.SchemaError
	require.ErrorAs(t, err, &e)
	assert.Equal(t, want, e.Problem, "%v", err)
	assert.Contains(t, err.Error(), words)
	assert.NotContains(t, err.Error(), "\n", "it is one sentence")
	assert.True(t, orderdb.Wrong(err))
}

// within is a safety net.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// TestCheckFindsTablesThatAreMissing, and nothing once they are made.
func TestCheckFindsTablesThatAreMissing(t *testing.T) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			url := b.fresh(t)
			db := open(t, url)
			assertProblem(t, orderdb.SchemaMissing, map[string]string{
				"sqlite": "there is no order database /", "postgres": "the order database has no schema ltp: run ltp setup --orders-db URL",
			}[b.name], db.Check(within(t)))
			b.exec(t, url, map[string]string{"sqlite": "CREATE TABLE mine (id TEXT)", "postgres": "CREATE SCHEMA ltp; CREATE TABLE ltp.mine (id text)"}[b.name])
			assertProblem(t, orderdb.SchemaMissing, "has no tables of ltp: run ltp setup --orders-db ", db.Check(within(t)))
			require.NoError(t, db.Migrate(within(t)), "tables of others may stand beside ours")
			require.NoError(t, db.Check(within(t)))
			mustPut(t, db, ordertest.New("A1"))
		})
	}
}

// TestATableOfSomebodyElseIsLeftAlone: it is named, and nothing is made beside it.
func TestATableOfSomebodyElseIsLeftAlone(t *testing.T) {
	for _, b := range backends {
		for _, table := range []string{"orders", "order_keys", "order_outbox", "ltp_probe"} {
			t.Run(b.name+"/"+table, func(t *testing.T) {
				t.Parallel()
				url := b.fresh(t)
				if b.name == "postgres" {
					b.exec(t, url, "CREATE SCHEMA ltp")
				}
				b.exec(t, url, "CREATE TABLE "+table+" (id integer, total integer)")
				db := open(t, url)
				words := "has a table " + table + " that ltp did not make: name another "
				assertProblem(t, orderdb.SchemaForeign, words, db.Check(within(t)))
				assertProblem(t, orderdb.SchemaForeign, words, db.Migrate(within(t)))
				assert.EqualValues(t, 1, b.count(t, url, map[string]string{
					"sqlite":   "SELECT count(*) FROM sqlite_master",
					"postgres": "SELECT count(*) FROM pg_class WHERE relnamespace = 'ltp'::regnamespace",
				}[b.name]), "what was there is all that is there")
			})
		}
	}
}

// TestTablesThatWereChangedAreNotOurs, and a column that was added is nobody's business.
func TestTablesThatWereChangedAreNotOurs(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		db := open(t, url)
		b.exec(t, url, "ALTER TABLE orders ADD COLUMN region text")
		require.NoError(t, db.Check(within(t)))
		b.exec(t, url, "ALTER TABLE orders RENAME COLUMN fence_state TO gate")
		assertProblem(t, orderdb.SchemaForeign, "has a table orders without the column fence_state", db.Check(within(t)))
		b.exec(t, url, "ALTER TABLE orders RENAME COLUMN gate TO fence_state; ALTER TABLE order_outbox RENAME TO outbox")
		assertProblem(t, orderdb.SchemaForeign, "lacks the table order_outbox", db.Check(within(t)))
		b.exec(t, url, "ALTER TABLE outbox RENAME TO order_outbox; DELETE FROM ltp_migrations")
		assertProblem(t, orderdb.SchemaForeign, "has a table orders that ltp did not make", db.Check(within(t)))
	})
}

// nextBuild is this one with a migration more.
func nextBuild(t *testing.T) (next orderdb.Option, version int) {
	t.Helper()
	files := fstest.MapFS{}
	require.NoError(t, fs.WalkDir(orderdb.Migrations(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(orderdb.Migrations(), path)
		files[path] = &fstest.MapFile{Data: text}
		return err
	}))
	n := 1 + len(files)/2 // migrations are numbered, and there is one for each database
	files[fmt.Sprintf("postgres/%05d_next_build.sql", n)] = &fstest.MapFile{Data: []byte("-- +goose Up\nALTER TABLE {schema}.orders ADD COLUMN next_build text;\n")}
	files[fmt.Sprintf("sqlite/%05d_next_build.sql", n)] = &fstest.MapFile{Data: []byte("-- +goose Up\nALTER TABLE orders ADD COLUMN next_build TEXT;\n")}
	return orderdb.WithMigrations(files), n
}

// TestTablesOfAnotherBuildAreNamed: older ones are brought up to date, newer ones are left.
func TestTablesOfAnotherBuildAreNamed(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		option, version := nextBuild(t)
		this, next := open(t, url), open(t, url, option)
		words := fmt.Sprintf("has version %d of the tables of ltp, and this build needs version %d: run ltp setup --orders-db ", version-1, version)
		assertProblem(t, orderdb.SchemaOlder, words, next.Check(within(t)))
		require.NoError(t, next.Migrate(within(t)))
		require.NoError(t, next.Check(within(t)))
		assert.Zero(t, b.count(t, url, "SELECT count(next_build) FROM orders"))
		words = fmt.Sprintf("has version %d of the tables of ltp, and this build knows version %d: run the newer build", version, version-1)
		assertProblem(t, orderdb.SchemaNewer, words, this.Check(within(t)))
		assertProblem(t, orderdb.SchemaNewer, words, this.Migrate(within(t)))
	})
}

// TestADatabaseThatCannotBeReachedIsNotWrong.
func TestADatabaseThatCannotBeReachedIsNotWrong(t *testing.T) {
	server, url := ownPostgres(t)
	db := open(t, url)
	require.NoError(t, db.Check(within(t)))
	server.Set(t, "default_transaction_read_only", "on")
	awaitSetting(t, url, "default_transaction_read_only", "on")
	require.NoError(t, db.Check(within(t)), "that it takes no writes is for the observer to say")
	server.Stop()
	err := db.Check(within(t))
	require.Error(t, err)
	assert.False(t, orderdb.Wrong(err), "%v", err)
	require.NoError(t, server.Start())
	require.NoError(t, db.Check(within(t)))
	_, name, _ := strings.Cut(url, "/test")
	err = open(t, strings.Replace(url, "/test"+name, "/nosuch?sslmode=disable", 1)).Check(within(t))
	assertProblem(t, orderdb.SchemaMissing, `database "nosuch" does not exist: create it, and run ltp setup`, err)
}

// script is what ltp setup --print prints.
func script(t *testing.T, url, role string, opts ...orderdb.Option) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, orderdb.Script(&b, url, role, opts...))
	return b.String()
}

// role makes one that may connect and nothing else, and returns the URL with it.
func role(t *testing.T, raw, name string) string {
	t.Helper()
	u, err := url.Parse(raw)
	require.NoError(t, err)
	password, _ := u.User.Password()
	pgtest.Exec(t, raw, fmt.Sprintf(`CREATE ROLE "%s" LOGIN PASSWORD '%s'`, name, password))
	u.User = url.UserPassword(name, password)
	return u.String()
}

// uses does once all that worker, observer and audit do.
func uses(t *testing.T, url, id string, opts ...orderdb.Option) error {
	t.Helper()
	ctx := within(t)
	db := open(t, url, opts...)
	var failed []error
	if err := db.Check(ctx); err != nil {
		failed = append(failed, err)
	}
	for range 2 {
		_, err := db.Put(ctx, ordertest.New(id), admit(receipt(id, 1)))
		failed = append(failed, err)
		_, err = db.Withdraw(ctx, ordertest.New(id+"-gone"), cancelled, nil)
		failed = append(failed, err)
	}
	failed = append(failed, db.TryWritePath(ctx), db.Ping(ctx))
	_, err := db.Row(ctx, id)
	failed = append(failed, err)
	_, err = db.Tally(ctx, "")
	failed = append(failed, err)
	_, err = db.Missing(ctx, []string{id})
	failed = append(failed, err)
	ledger, err := orderdb.OpenLedger(ctx, url, opts...)
	require.NoError(t, err)
	defer ledger.Close()
	for _, err := range ledger.Created(ctx, time.Time{}, time.Time{}) {
		failed = append(failed, err)
	}
	for _, err := range ledger.Entries(ctx, []string{id}) {
		failed = append(failed, err)
	}
	for _, err := range ledger.Ghosts(ctx, time.Time{}, time.Time{}) {
		failed = append(failed, err)
	}
	for _, every := range []time.Duration{0, time.Nanosecond} {
		p := openProbe(t, url, append(opts, orderdb.WithWritePathEvery(every))...)
		_, err := p.Probe(ctx)
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// TestWhatIsPrintedSufficesAndNoGrantIsTooMany: the script is run by psql, as a superuser.
// A role with its grants alone does all that a node does; without any one of them something
// fails, and Check prints the very grant that mends it.
func TestWhatIsPrintedSufficesAndNoGrantIsTooMany(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	admin := server.Database(t)
	app := role(t, admin, "order node")
	text := script(t, app, "order node")
	assert.NotContains(t, text, "{schema}")
	runPSQL(t, admin, text)
	require.NoError(t, uses(t, app, "A1"))
	require.NoError(t, open(t, app).Migrate(within(t)), "nothing is left to make")

	grants := regexp.MustCompile(`(?m)^GRANT (.+) ON (.+) TO (.+);$`).FindAllStringSubmatch(text, -1)
	assert.Len(t, grants, 12)
	for i, g := range grants {
		pgtest.Exec(t, admin, fmt.Sprintf("REVOKE %s ON %s FROM %s", g[1], g[2], g[3]))
		err := open(t, app).Check(within(t))
		assertProblem(t, orderdb.SchemaDenied, `the role order node lacks privileges on schema ltp of the order database: `, err)
		_, typed, _ := strings.Cut(err.Error(), "order database: ")
		assert.Equal(t, strings.TrimSuffix(g[0], ";"), typed)
		if !strings.Contains(g[2], "ltp_migrations") { // which only Check reads
			assert.Error(t, uses(t, app, fmt.Sprint("without-", i)), g[0])
		}
		pgtest.Exec(t, admin, typed)
		require.NoError(t, uses(t, app, fmt.Sprint("with-", i)))
	}
}

// runPSQL runs a script as people do.
func runPSQL(t *testing.T, url, text string) {
	t.Helper()
	psql := filepath.Join(pgtest.Needed(t), "psql")
	if _, err := os.Stat(psql); err != nil {
		pgtest.Exec(t, url, text)
		return
	}
	url, _, _ = strings.Cut(url, "&") // connect_timeout is ours
	cmd := exec.Command(psql, "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--file", "-", url)
	cmd.Stdin = strings.NewReader(text)
	said, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", said)
	assert.Empty(t, string(said))
}

// TestTheScriptMakesWhatMigrateMakes, column by column, and does nothing by halves.
func TestTheScriptMakesWhatMigrateMakes(t *testing.T) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			printed, migrated := b.fresh(t), b.fresh(t)
			next, _ := nextBuild(t)
			b.exec(t, printed, strings.ReplaceAll(script(t, printed, "postgres", next), "IF NOT EXISTS ", ""))
			require.NoError(t, open(t, migrated, next).Migrate(within(t)))
			require.NoError(t, open(t, printed, next).Check(within(t)))
			require.NoError(t, open(t, printed, next).Migrate(within(t)))
			assert.Equal(t, shape(t, b, migrated), shape(t, b, printed))
		})
	}
	t.Run("all or nothing", func(t *testing.T) {
		url := pgtest.Shared(t).Database(t)
		pgtest.Exec(t, url, "CREATE SCHEMA ltp", "CREATE TABLE ltp.order_outbox (id int)")
		_, err := pgtest.Connect(t, url).PgConn().Exec(within(t), script(t, url, "postgres")).ReadAll()
		require.Error(t, err)
		assert.EqualValues(t, 1, countPostgres(t, url, "SELECT count(*) FROM pg_class WHERE relnamespace = 'ltp'::regnamespace"))
	})
}

// shape is the definition of everything in the database.
func shape(t *testing.T, b backend, url string) (all []string) {
	t.Helper()
	query := `SELECT format('%s.%s %s %s %s', table_name, column_name, data_type, is_nullable, column_default) FROM information_schema.columns WHERE table_schema = 'ltp'
		UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'ltp'
		UNION ALL SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'ltp'::regnamespace
		UNION ALL SELECT format('version %s', version_id) FROM ltp.ltp_migrations ORDER BY 1`
	if b.name == "sqlite" {
		query = `SELECT m.name || '.' || p.name || ' ' || p.type || ' ' || p."notnull" || ' ' || p.pk FROM sqlite_master AS m, pragma_table_info(m.name) AS p
			UNION ALL SELECT 'version ' || version_id FROM ltp_migrations ORDER BY 1`
		rows, err := sqliteConn(t, url).QueryContext(t.Context(), query)
		require.NoError(t, err)
		return lines(t, rows)
	}
	rows, err := pgtest.Connect(t, url).Query(t.Context(), query)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var line string
		require.NoError(t, rows.Scan(&line))
		all = append(all, line)
	}
	require.NoError(t, rows.Err())
	return all
}

func lines(t *testing.T, rows *sql.Rows) (all []string) {
	t.Helper()
	defer rows.Close()
	for rows.Next() {
		var line string
		require.NoError(t, rows.Scan(&line))
		all = append(all, line)
	}
	require.NoError(t, rows.Err())
	return all
}

// TestTheTablesStandInASchemaOfTheirOwn, of any name, beside tables of the same names: no
// statement goes by the search_path.
func TestTheTablesStandInASchemaOfTheirOwn(t *testing.T) {
	for _, name := range []string{"", "order", "Our-Bücher$1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, in := pgtest.Shared(t).Database(t), orderdb.WithSchema(name)
			for _, table := range []string{"orders", "order_keys", "order_outbox", "ltp_probe", "ltp_migrations"} {
				pgtest.Exec(t, url, "CREATE TABLE public."+table+" (mine int)")
			}
			db := open(t, url, in)
			assertProblem(t, orderdb.SchemaMissing, "has no schema", db.Check(within(t)))
			require.NoError(t, db.Migrate(within(t)))
			require.NoError(t, uses(t, url, "A1", in))
			assertWithdrawn(t, db, 1, 1)
			for _, table := range []string{"orders", "order_keys", "order_outbox", "ltp_probe", "ltp_migrations"} {
				assert.Zero(t, countPostgres(t, url, "SELECT count(*) FROM public."+table))
			}
		})
	}
}

func TestASchemaThatCannotBeUsedIsRefused(t *testing.T) {
	for schema, want := range map[string]string{
		"pg_orders": "Postgres's own", "information_schema": "Postgres's own",
		strings.Repeat("x", 64): "at most 63", "a\x00b": "no name of a schema", `a"; --`: "no name of a schema",
	} {
		_, err := orderdb.Open(t.Context(), "postgres://h/db", orderdb.WithSchema(schema))
		assert.ErrorContains(t, err, want)
		_, err = orderdb.OpenProbe("postgres://h/db", "orders-db", orderdb.WithSchema(schema))
		assert.ErrorContains(t, err, want)
		assert.ErrorContains(t, orderdb.Script(&bytes.Buffer{}, "", "app", orderdb.WithSchema(schema)), want)
	}
	_, err := orderdb.Open(t.Context(), "orders.db", orderdb.WithSchema("mine"))
	assert.ErrorContains(t, err, "an SQLite file has no schemas")
}

// TestARoleThatMayNotCreateIsToldWhoMay.
func TestARoleThatMayNotCreateIsToldWhoMay(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	admin := server.Database(t)
	app := role(t, admin, "app")
	for range 2 { // without a schema, and with one that is not its own
		err := open(t, app).Migrate(within(t))
		assertProblem(t, orderdb.SchemaDenied, "the role app may not create the tables of ltp (permission denied for", err)
		assert.ErrorContains(t, err, "--print")
		pgtest.Exec(t, admin, "CREATE SCHEMA IF NOT EXISTS ltp; GRANT USAGE ON SCHEMA ltp TO app")
	}
	pgtest.Exec(t, admin, "GRANT CREATE ON SCHEMA ltp TO app")
	require.NoError(t, open(t, app).Migrate(within(t)), "it needs nothing on the database where the schema is there")
	require.NoError(t, uses(t, app, "A1"))
}

// TestADamagedFileIsSaidToBe, and nothing is made of it.
func TestADamagedFileIsSaidToBe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "orders.db")
	db := open(t, path)
	require.NoError(t, db.Migrate(t.Context()))
	for i := range 400 {
		mustPut(t, db, ordertest.New(fmt.Sprintf("A%04d", i)))
	}
	require.NoError(t, db.Close())
	// A connection that closes late may leave the log beside the file, whose pages count more.
	raw, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	_, err = raw.ExecContext(t.Context(), "PRAGMA wal_checkpoint(TRUNCATE)")
	require.NoError(t, err)
	require.NoError(t, raw.Close())
	overwrite(t, path, 10)
	again := open(t, path)
	for _, err := range []error{again.Check(within(t)), again.Migrate(within(t))} {
		var damaged *sqlitefile.DamagedError
		require.ErrorAs(t, err, &damaged)
		assert.Contains(t, err.Error(), path+" is damaged")
		assert.True(t, orderdb.Wrong(err))
	}
	require.NoError(t, os.WriteFile(path, []byte(strings.Repeat("no database\n", 1000)), 0o600))
	assert.ErrorContains(t, open(t, path).Check(within(t)), "is damaged")
}

// overwrite puts noise into some pages of a file.
func overwrite(t *testing.T, path string, pages int) {
	t.Helper()
	const page = 4096
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	source := rand.New(rand.NewPCG(1, 2))
	for range pages {
		at := source.IntN(len(content)/page) * page
		for i := range page {
			content[at+i] = byte(source.Uint32())
		}
	}
	require.NoError(t, os.WriteFile(path, content, 0o600))
}
