package orderdb_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/internal/pglocal"
	"github.com/ltp-node/ltp/orderdb"
	"github.com/ltp-node/ltp/orderdb/pgtest"
)

// pooled is an order database behind a pooler that has five sessions in it.
func pooled(t *testing.T) (pooler *pglocal.Pooler, url string) {
	t.Helper()
	t.Parallel()
	server := pgtest.Start(t)
	pooler = server.StartPooler(t, 5)
	pgtest.Exec(t, server.URL(), "CREATE DATABASE orders")
	url = pooler.URL("orders") + "&connect_timeout=20&pool_max_conns=30"
	db := open(t, url)
	require.NoError(t, db.Migrate(t.Context()))
	require.NoError(t, db.Check(t.Context()))
	return pooler, url
}

// putAll puts orders at once, each of which must be written at the first call.
func putAll(t *testing.T, dbs []orderdb.DB, prefix string, n int) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			id := fmt.Sprint(prefix, i)
			stored, err := dbs[i%len(dbs)].Put(ctx, ordertest.New(id), admit(receipt(id, 1)))
			assert.NoError(t, err)
			assert.Equal(t, orderdb.Stored{Receipt: inRow(receipt(id, 1))}, stored)
		})
	}
	wg.Wait()
}

// TestOrdersAreWrittenThroughAPooler that lends each transaction another session: prepared
// statements are not there, or are another's, and none of it is seen from outside.
func TestOrdersAreWrittenThroughAPooler(t *testing.T) {
	_, url := pooled(t)
	for _, mode := range []string{"", "&default_query_exec_mode=exec", "&default_query_exec_mode=simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			dbs := []orderdb.DB{open(t, url+mode), open(t, url+mode)}
			prefix := fmt.Sprint("A", len(mode), "-")
			putAll(t, dbs, prefix, 60)
			var wg sync.WaitGroup
			for i := range 30 {
				wg.Go(func() { assert.NoError(t, dbs[i%2].TryWritePath(t.Context())) })
				wg.Go(func() {
					id := fmt.Sprint(prefix, i)
					assert.True(t, mustPut(t, dbs[i%2], ordertest.New(id)))
					row, err := dbs[i%2].Row(t.Context(), id)
					assert.NoError(t, err)
					assert.Equal(t, ordertest.New(id), row.Order)
					missing, err := dbs[i%2].Missing(t.Context(), []string{id, "none"})
					assert.NoError(t, err)
					assert.Equal(t, []string{"none"}, missing)
				})
				wg.Go(func() {
					stored, err := dbs[i%2].Withdraw(t.Context(), ordertest.New(fmt.Sprint(prefix, "W", i)), cancelled, nil)
					assert.NoError(t, err)
					assert.Equal(t, orderdb.Stored{Tombstone: &cancelled}, stored)
				})
			}
			wg.Wait()
			tally, err := dbs[0].Tally(t.Context(), prefix)
			require.NoError(t, err)
			assert.Equal(t, orderdb.Tally{Orders: 60, Outbox: 60, Withdrawn: 30}, tally)
			for _, err := range openLedger(t, url+mode).Created(t.Context(), time.Time{}, time.Time{}) {
				require.NoError(t, err)
			}
		})
	}
}

// TestMoreProcessesMigrateThroughAPoolerThanItHasSessions: none keeps the others from it.
func TestMoreProcessesMigrateThroughAPoolerThanItHasSessions(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	pooler := server.StartPooler(t, 3)
	pgtest.Exec(t, server.URL(), "CREATE DATABASE orders")
	var wg sync.WaitGroup
	for range 8 {
		db := open(t, pooler.URL("orders")+"&connect_timeout=20")
		wg.Go(func() { assert.NoError(t, db.Migrate(t.Context())) })
	}
	wg.Wait()
	putAll(t, []orderdb.DB{open(t, pooler.URL("orders")+"&connect_timeout=20")}, "A", 20)
}

// TestProbesGoThroughAPooler: several of them, beside writes, over the same few sessions.
func TestProbesGoThroughAPooler(t *testing.T) {
	_, url := pooled(t)
	db := open(t, url)
	var wg sync.WaitGroup
	for range 4 {
		p := openProbe(t, url, orderdb.WithWritePathEvery(2*time.Millisecond))
		wg.Go(func() {
			for range 30 {
				_, err := probe(t, p)
				assert.NoError(t, err)
			}
		})
	}
	putAll(t, []orderdb.DB{db}, "A", 60)
	wg.Wait()
	assertTally(t, db, 60)
}

// TestASeveralHostsURLMayNameAPooler: who leads is asked through it.
func TestASeveralHostsURLMayNameAPooler(t *testing.T) {
	_, one := pooled(t)
	url := startedNow(t, one)
	facts, err := probe(t, openProbe(t, url))
	require.NoError(t, err)
	assert.Equal(t, "1", facts["timeline"])
	putAll(t, []orderdb.DB{open(t, url), open(t, url)}, "A", 60)
}

// TestWhatThePoolerDoesToItsConnectionsFailsNoWriteAfterIt, and no sample.
func TestWhatThePoolerDoesToItsConnectionsFailsNoWriteAfterIt(t *testing.T) {
	pooler, url := pooled(t)
	dbs := []orderdb.DB{open(t, url), open(t, url)}
	p := openProbe(t, url)
	putAll(t, dbs, "before-", 60)
	_, err := probe(t, p)
	require.NoError(t, err)
	for name, do := range map[string]func() error{
		"KILL": func() error {
			if err := pooler.Command(t.Context(), "KILL orders"); err != nil {
				return err
			}
			return pooler.Command(t.Context(), "RESUME orders")
		},
		"RECONNECT": func() error { return pooler.Command(t.Context(), "RECONNECT") },
		"restart": func() error {
			pooler.Stop()
			return pooler.Start(t.Context())
		},
	} {
		awaitLogins(t, pooler)
		require.NoError(t, do(), name)
		putAll(t, dbs, name+"-", 60)
		_, err := probe(t, p)
		require.NoError(t, err, name)
	}
	assertTally(t, dbs[0], 240)
}

// awaitLogins returns when no session of the pooler is logging in. One that is ended then
// counts as refused, and the pooler itself refuses everyone for a while.
func awaitLogins(t *testing.T, pooler *pglocal.Pooler) {
	t.Helper()
	conn := pgtest.Connect(t, pooler.URL("pgbouncer")).PgConn()
	require.Eventually(t, func() bool {
		results, err := conn.Exec(t.Context(), "SHOW POOLS").ReadAll()
		require.NoError(t, err)
		column := slices.IndexFunc(results[0].FieldDescriptions, func(f pgconn.FieldDescription) bool { return f.Name == "sv_login" })
		return !slices.ContainsFunc(results[0].Rows, func(row [][]byte) bool { return string(row[column]) != "0" })
	}, 20*time.Second, 5*time.Millisecond)
}

// TestAStatementThatTheSessionForgotIsSentAgain, in the same call.
func TestAStatementThatTheSessionForgotIsSentAgain(t *testing.T) {
	url := sharedPostgres(t)
	db := open(t, url+"&pool_max_conns=1")
	pgtest.Exec(t, url, `CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DEALLOCATE ALL; RETURN NULL; END $$;
		CREATE TRIGGER forget AFTER INSERT ON orders FOR EACH ROW WHEN (NEW.id = 'forget') EXECUTE FUNCTION forget()`)
	mustPut(t, db, ordertest.New("forget"))
	assert.False(t, mustPut(t, db, ordertest.New("A1")))
	assert.True(t, mustPut(t, db, ordertest.New("A1")))
	assertTally(t, db, 2)
}
