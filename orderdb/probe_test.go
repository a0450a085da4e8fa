package orderdb_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/orderdb"
	"github.com/ltp-node/ltp/orderdb/pgtest"
)

func openProbe(t *testing.T, url string, opts ...orderdb.Option) *orderdb.Probe {
	t.Helper()
	p, err := orderdb.OpenProbe(url, "orders-db", opts...)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, p.Close()) })
	return p
}

// probe probes within seconds.
func probe(t *testing.T, p *orderdb.Probe) (map[string]string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return p.Probe(ctx)
}

func assertFault(t *testing.T, err error, definite bool, reason string) {
	t.Helper()
	var f *orderdb.Fault
	require.ErrorAs(t, err, &f)
	assert.Equal(t, definite, f.Definite(), "%v", err)
	assert.Equal(t, reason, f.Reason())
}

func TestAProbeWritesAndTellsWhoTookIt(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		p := openProbe(t, url)
		for range 3 {
			facts, err := probe(t, p)
			require.NoError(t, err)
			assert.Equal(t, b.name, facts["database"])
			if b.name == "postgres" {
				assert.Regexp(t, `^127\.0\.0\.1:\d+$`, facts["leader"])
				assert.Equal(t, "1", facts["timeline"])
			}
		}
		assert.EqualValues(t, 3, b.count(t, url, "SELECT n FROM ltp_probe WHERE component = 'orders-db'"))
	})
}

func TestAProbeHangsWithTheDatabaseAndNoLonger(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		p := openProbe(t, url)
		_, err := probe(t, p)
		require.NoError(t, err)
		release := b.hold(t, url)
		if b.name == "postgres" {
			release()
			conn := pgtest.Connect(t, url)
			_, err := conn.Exec(t.Context(), "BEGIN; LOCK TABLE ltp_probe IN SHARE MODE")
			require.NoError(t, err)
			release = func() { _, _ = conn.Exec(context.Background(), "ROLLBACK") }
		}
		began := time.Now() // before the deadline is set, which lies 50 ms after the moment at which it is set
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err = p.Probe(ctx)
		assertFault(t, err, false, "DB Connection Timeout")
		assert.GreaterOrEqual(t, time.Since(began), 50*time.Millisecond)
		assert.Less(t, time.Since(began), 5*time.Second)

		done := make(chan error, 1)
		go func() {
			_, err := p.Probe(context.Background())
			done <- err
		}()
		release()
		require.NoError(t, <-done)
	})
}

func TestADatabaseThatSaysItTakesNoWritesIsADefiniteFault(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		dir := t.TempDir()
		_, err := probe(t, openProbe(t, filepath.Join(dir, "nowhere.db")))
		assertFault(t, err, true, "DB File Cannot Be Opened")

		garbage := filepath.Join(dir, "garbage.db")
		require.NoError(t, os.WriteFile(garbage, []byte(strings.Repeat("no database ", 1000)), 0o600))
		_, err = probe(t, openProbe(t, garbage))
		assertFault(t, err, true, "DB File Is Corrupt")
	})
	t.Run("postgres", func(t *testing.T) {
		server, url := ownPostgres(t)
		p := openProbe(t, url)
		_, err := probe(t, p)
		require.NoError(t, err)

		server.Set(t, "default_transaction_read_only", "on")
		assert.Eventually(t, func() bool { _, err = p.Probe(t.Context()); return err != nil }, 10*time.Second, 5*time.Millisecond)
		assertFault(t, err, true, "DB Is Read-Only")
		server.Set(t, "default_transaction_read_only", "")
		assert.Eventually(t, func() bool { _, err = p.Probe(t.Context()); return err == nil }, 10*time.Second, 5*time.Millisecond)

		server.Stop()
		_, err = probe(t, p)
		assertFault(t, err, true, "DB Connection Refused")
		require.NoError(t, server.Start())
		_, err = probe(t, p)
		require.NoError(t, err)
	})
}

func TestAProbeWithoutItsTableIsNoDefiniteFault(t *testing.T) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			url := b.fresh(t)
			require.NoError(t, open(t, url).Migrate(t.Context()))
			b.exec(t, url, "DROP TABLE ltp_probe")
			_, err := probe(t, openProbe(t, url))
			var f *orderdb.Fault
			require.ErrorAs(t, err, &f)
			assert.False(t, f.Definite())
			assert.Equal(t, map[string]string{
				"sqlite": "no such table: ltp_probe (SQLITE_ERROR)", "postgres": `relation "ltp.ltp_probe" does not exist (42P01)`,
			}[b.name], f.Reason())
		})
	}
}

func TestAProbeIsNotHeldUpByABusyWriter(t *testing.T) {
	url := backends[0].fresh(t)
	db := open(t, url)
	require.NoError(t, db.Migrate(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	var written atomic.Int64
	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() {
			for ctx.Err() == nil {
				if _, err := db.Put(t.Context(), ordertest.New(fmt.Sprint("A", written.Add(1))), nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	p := openProbe(t, url)
	var worst, sum time.Duration
	for range 100 {
		for before := written.Load(); written.Load() < before+10; { // the writers go on meanwhile
			time.Sleep(time.Millisecond)
		}
		began := time.Now()
		_, err := probe(t, p)
		require.NoError(t, err)
		took := time.Since(began)
		worst, sum = max(worst, took), sum+took
	}
	cancel()
	writers.Wait()
	t.Logf("%d orders beside 100 probes, which took %s at most and %s on average", written.Load(), worst, sum/100)
	assert.Less(t, sum/100, 250*time.Millisecond, "an observer might call this slow")
}

// writePaths probes several times and returns what the facts say of the write path.
func writePaths(t *testing.T, p *orderdb.Probe, n int) (said []string) {
	t.Helper()
	for range n {
		facts, err := probe(t, p)
		require.NoError(t, err)
		said = append(said, facts["write_path"])
	}
	return said
}

// TestWhatStopsOrdersOnlyShowsOnTheWritePath, and the write path has to work twice in a row before
// plain samples do.
func TestWhatStopsOrdersOnlyShowsOnTheWritePath(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		seldom := openProbe(t, url, orderdb.WithWritePathEvery(time.Hour))
		assert.Equal(t, []string{"orders", "", ""}, writePaths(t, seldom, 3), "the first after connecting")
		always := openProbe(t, url, orderdb.WithWritePathEvery(time.Nanosecond))
		assert.Equal(t, []string{"orders", "orders"}, writePaths(t, always, 2))
		never := openProbe(t, url, orderdb.WithWritePathEvery(0))
		assert.Equal(t, []string{"off", "off"}, writePaths(t, never, 2))
		assert.EqualValues(t, 7, b.count(t, url, "SELECT n FROM ltp_probe WHERE component = 'orders-db'"))
		assert.Equal(t, [3]int64{}, contents(t, b, url))

		b.exec(t, url, "ALTER TABLE orders RENAME TO gone")
		for range 2 {
			_, err := probe(t, always)
			assertFault(t, err, false, map[string]string{
				"sqlite": "no such table: orders (SQLITE_ERROR)", "postgres": `relation "ltp.orders" does not exist (42P01)`,
			}[b.name])
		}
		assert.Equal(t, []string{"", "off"}, append(writePaths(t, seldom, 1), writePaths(t, never, 1)...))

		b.exec(t, url, "ALTER TABLE ltp_probe RENAME TO gone_too")
		_, err := probe(t, seldom)
		require.Error(t, err)
		b.exec(t, url, "ALTER TABLE gone_too RENAME TO ltp_probe")
		_, err = probe(t, seldom)
		require.Error(t, err, "after a failure it goes through the write path")
		b.exec(t, url, "ALTER TABLE gone RENAME TO orders")
		assert.Equal(t, []string{"orders", "orders", "", ""}, writePaths(t, seldom, 4))
		assert.Equal(t, [3]int64{}, contents(t, b, url))
	})
}

// TestARuleThatRefusesTheProbesOrderIsAnAnswer: the write path works, and the plain write counts.
func TestARuleThatRefusesTheProbesOrderIsAnAnswer(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		b.exec(t, url, strings.ReplaceAll(b.refuse, "'banned'", "'ltp-probe'"))
		p := openProbe(t, url, orderdb.WithWritePathEvery(time.Nanosecond))
		for _, said := range writePaths(t, p, 2) {
			assert.Regexp(t, `^refused by a rule: \S+ does not order here$`, said)
		}
		assert.EqualValues(t, 2, b.count(t, url, "SELECT n FROM ltp_probe WHERE component = 'orders-db'"))
		b.exec(t, url, "ALTER TABLE ltp_probe RENAME TO gone")
		_, err := probe(t, p)
		require.Error(t, err)
	})
}

// TestAClosedSessionIsNotAClosedServer: whoever ends the probe's session finds the database
// well.
func TestAClosedSessionIsNotAClosedServer(t *testing.T) {
	url := sharedPostgres(t)
	for _, every := range []time.Duration{time.Nanosecond, time.Hour, 0} {
		p := openProbe(t, url+"&application_name=probe", orderdb.WithWritePathEvery(every))
		killer := pgtest.Connect(t, url)
		killed := 0
		for range 20 {
			_, err := probe(t, p)
			require.NoError(t, err)
			// It returns when the session has ended.
			tag, err := killer.Exec(t.Context(), `SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity
				WHERE datname = current_database() AND application_name = 'probe'`)
			require.NoError(t, err)
			killed += int(tag.RowsAffected())
		}
		assert.Equal(t, 20, killed)
	}
}

// TestAWritePathThatEndsSessionsIsBroken: the session that is made anew ends, too.
func TestAWritePathThatEndsSessionsIsBroken(t *testing.T) {
	url := sharedPostgres(t)
	p := openProbe(t, url, orderdb.WithWritePathEvery(time.Nanosecond))
	_, err := probe(t, p)
	require.NoError(t, err)
	pgtest.Exec(t, url, `CREATE FUNCTION end_it() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$;
		CREATE TRIGGER end_it BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION end_it()`)
	for range 3 {
		_, err = probe(t, p)
		assertFault(t, err, true, "DB Shut Down")
	}
	assertClass(t, orderdb.Unknown, open(t, url).TryWritePath(t.Context()))
	pgtest.Exec(t, url, "DROP TRIGGER end_it ON orders")
	assert.Equal(t, []string{"orders"}, writePaths(t, p, 1))
}
