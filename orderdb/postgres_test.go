package orderdb_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp/orderdb"
	"github.com/ltp-node/ltp/orderdb/pgtest"
)

// ownPostgres is an order database on a server that the test may stop and freeze.
func ownPostgres(t *testing.T) (*pgtest.Server, string) {
	t.Helper()
	t.Parallel()
	server := pgtest.Start(t)
	url := server.Database(t)
	require.NoError(t, open(t, url).Migrate(t.Context()))
	return server, url
}

// warm uses n connections of the pool at once, so that they are all there.
func warm(t *testing.T, db orderdb.DB, prefix string, n int) {
	t.Helper()
	ready, leave := make(chan struct{}, n), make(chan struct{})
	done := make(chan error, n)
	for i := range n {
		go func() {
			_, err := db.Put(context.Background(), order(prefix+string(rune('a'+i))), func() error {
				ready <- struct{}{}
				<-leave
				return nil
			})
			done <- err
		}()
	}
	for range n {
		<-ready
	}
	close(leave)
	for range n {
		require.NoError(t, <-done)
	}
}

// inFlight begins a put, and returns when the server is at work on it.
func inFlight(t *testing.T, db orderdb.DB, url, id string) <-chan error {
	t.Helper()
	watcher := pgtest.Connect(t, url)
	done := make(chan error, 1)
	go func() {
		_, err := db.Put(context.Background(), order(id), nil)
		done <- err
	}()
	for {
		var n int
		require.NoError(t, watcher.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event IN ('relation', 'SyncRep')`).Scan(&n))
		if n > 0 {
			return done
		}
		select {
		case err := <-done:
			t.Fatalf("the put did not hang: %v", err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func TestAfterARestartAtMostOneWriteFindsAStaleConnection(t *testing.T) {
	server, url := ownPostgres(t)
	db := open(t, url)
	warm(t, db, "before-", 8)
	server.Stop()
	require.NoError(t, server.Start())

	failed := 0
	for i := range 20 {
		if _, err := db.Put(t.Context(), order("after-"+string(rune('a'+i))), nil); err != nil {
			failed++
		}
	}
	assert.LessOrEqual(t, failed, 1)
}

func TestAStoppedServerIsUnavailable(t *testing.T) {
	server, url := ownPostgres(t)
	db := open(t, url)
	mustPut(t, db, order("A1"))
	server.Stop()
	var err error
	for range 2 { // the first may have been sent over the connection that was there
		_, err = db.Put(t.Context(), order("A2"), nil)
		require.Error(t, err)
	}
	assertClass(t, orderdb.Unavailable, err)
	require.NoError(t, server.Start())
	mustPut(t, db, order("A2"))
	assertTally(t, db, 2)
}

func TestAReadOnlyServerIsUnavailableUntilItIsNot(t *testing.T) {
	server, url := ownPostgres(t)
	db := open(t, url)
	warm(t, db, "before-", 4)
	server.Set(t, "default_transaction_read_only", "on")
	assert.Eventually(t, func() bool {
		_, err := db.Put(t.Context(), order("A1"), nil)
		class, failed := orderdb.ClassOf(err)
		if failed {
			assert.Equal(t, orderdb.Unavailable, class, "%v", err)
		}
		return failed
	}, 10*time.Second, 5*time.Millisecond)
	server.Set(t, "default_transaction_read_only", "")
	assert.Eventually(t, func() bool {
		_, err := db.Put(t.Context(), order("A2"), nil)
		return err == nil
	}, 10*time.Second, 5*time.Millisecond)
}

func TestAFrozenServerLeavesTheOutcomeUnknownAndHoldsNothingUpAfterwards(t *testing.T) {
	server, url := ownPostgres(t)
	db := open(t, url+"&pool_max_conns=2")
	warm(t, db, "before-", 2)
	server.Freeze()
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		began := time.Now()
		_, err := db.Put(ctx, order("A1"), nil)
		cancel()
		require.Error(t, err)
		assert.NotEqual(t, orderdb.Rejected, err.(*orderdb.Error).Class)
		assert.Less(t, time.Since(began), 2*time.Second)
	}
	server.Thaw()
	// The places of the connections given up are free: nobody waits for their
	// goodbyes.
	began := time.Now()
	assert.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := db.Put(ctx, order("A1"), nil)
		return err == nil
	}, 10*time.Second, 5*time.Millisecond)
	assert.Less(t, time.Since(began), 5*time.Second)
	got, err := db.Tally(t.Context(), "A1")
	require.NoError(t, err)
	assert.Equal(t, orderdb.Tally{Orders: 1, Outbox: 1}, got)
}

func TestAnIdleConnectionThatDoesNotAnswerIsNotWrittenOver(t *testing.T) {
	server, url := ownPostgres(t)
	db := open(t, url)
	mustPut(t, db, order("A1"))
	server.Freeze()
	// Idle for longer than a connection is trusted.
	<-time.After(1100 * time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, err := db.Put(ctx, order("A2"), func() error { t.Error("asked at the door"); return nil })
	assertClass(t, orderdb.Unavailable, err)
	server.Thaw()
	mustPut(t, db, order("A2"))
}

func TestAConnectionLostInFlightLeavesTheOutcomeUnknown(t *testing.T) {
	_, url := ownPostgres(t)
	db := open(t, url)
	mustPut(t, db, order("A0"))
	release := holdPostgres(t, url)
	defer release()
	done := inFlight(t, db, url, "A1")
	pgtest.Exec(t, url, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'relation'`)
	assertClass(t, orderdb.Unknown, <-done)
	release()
	mustPut(t, db, order("A1"))
}

func TestACancelledStatementIsUnavailable(t *testing.T) {
	_, url := ownPostgres(t)
	db := open(t, url)
	mustPut(t, db, order("A0"))
	release := holdPostgres(t, url)
	defer release()
	done := inFlight(t, db, url, "A1")
	pgtest.Exec(t, url, `SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'relation'`)
	assertClass(t, orderdb.Unavailable, <-done)
}

func TestACommitThatNoStandbyConfirmedIsUnknown(t *testing.T) {
	server, url := ownPostgres(t)
	db := open(t, url)
	mustPut(t, db, order("A0"))
	probe, err := orderdb.OpenProbe(url, "orders-db")
	require.NoError(t, err)
	defer probe.Close()
	_, err = probe.Probe(t.Context())
	require.NoError(t, err)

	cancelWait := func() {
		pgtest.Exec(t, url, `SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'`)
	}
	server.Set(t, "synchronous_standby_names", "nobody")
	awaitSetting(t, url, "synchronous_standby_names", "nobody")
	done := inFlight(t, db, url, "A1")
	cancelWait()
	assertClass(t, orderdb.Unknown, <-done)

	// The order is there, but could be lost with the leader: putting it again must
	// wait for the standby, too.
	done = inFlight(t, db, url, "A1")
	cancelWait()
	assertClass(t, orderdb.Unknown, <-done)

	probed := make(chan error, 1)
	go func() {
		_, err := probe.Probe(context.Background())
		probed <- err
	}()
	assert.Eventually(t, func() bool { cancelWait(); return len(probed) > 0 }, 10*time.Second, 5*time.Millisecond)
	require.Error(t, <-probed)

	server.Set(t, "synchronous_standby_names", "")
	assert.True(t, mustPut(t, db, order("A1")))
	assertTally(t, db, 2)
}

// awaitSetting returns when the database's sessions have a setting. Each takes it
// before its next statement, but the server has to tell them first.
func awaitSetting(t *testing.T, url, name, want string) {
	t.Helper()
	conn := pgtest.Connect(t, url)
	assert.Eventually(t, func() bool {
		var got string
		return conn.QueryRow(t.Context(), "SELECT current_setting($1)", name).Scan(&got) == nil && got == want
	}, 10*time.Second, 5*time.Millisecond)
}

func TestAWarningOfATriggerIsNoReasonToDoubt(t *testing.T) {
	_, url := ownPostgres(t)
	pgtest.Exec(t, url, `CREATE FUNCTION warn() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN RAISE WARNING 'canceling wait for synchronous replication'; RETURN NEW; END $$;
		CREATE TRIGGER warn BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION warn()`)
	db := open(t, url)
	assert.False(t, mustPut(t, db, order("A1")))
}
