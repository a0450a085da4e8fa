package orderdb_test

import (
	"context"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
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

// sharedPostgres is an order database on the server that all tests share.
func sharedPostgres(t *testing.T) string {
	t.Helper()
	t.Parallel()
	url := pgtest.Shared(t).Database(t)
	require.NoError(t, open(t, url).Migrate(t.Context()))
	return url
}

// connections uses n connections of the pool at once, so that they are all there.
func connections(t *testing.T, db orderdb.DB, prefix string, n int) {
	t.Helper()
	ready, goOn := make(chan struct{}, n), make(chan struct{})
	done := make(chan error, n)
	for i := range n {
		go func() {
			_, err := db.Put(context.Background(), ordertest.New(prefix+string(rune('a'+i))), func() (ltp.Receipt, error) {
				ready <- struct{}{}
				<-goOn
				return ltp.Receipt{}, nil
			})
			done <- err
		}()
	}
	for range n {
		<-ready
	}
	close(goOn)
	for range n {
		require.NoError(t, <-done)
	}
}

// inFlight begins a put, and returns when the server waits for event in it.
func inFlight(t *testing.T, db orderdb.DB, url, id, event string) <-chan error {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		_, err := db.Put(context.Background(), ordertest.New(id), nil)
		done <- err
	}()
	awaitWait(t, url, event, done)
	return done
}

// awaitWait returns when a statement in the database waits for event.
func awaitWait(t *testing.T, url, event string, done <-chan error) {
	t.Helper()
	watcher := pgtest.Connect(t, url)
	for {
		var n int
		require.NoError(t, watcher.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event = $1`, event).Scan(&n))
		if n > 0 {
			return
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
	connections(t, db, "before-", 8)
	server.Stop()
	require.NoError(t, server.Start())

	failed := 0
	for i := range 20 {
		if _, err := db.Put(t.Context(), ordertest.New("after-"+string(rune('a'+i))), nil); err != nil {
			failed++
		}
	}
	assert.LessOrEqual(t, failed, 1)
}

func TestAStoppedServerIsUnavailable(t *testing.T) {
	server, url := ownPostgres(t)
	db := open(t, url)
	mustPut(t, db, ordertest.New("A1"))
	server.Stop()
	var err error
	for range 2 { // the first may have been sent over the connection that was there
		_, err = db.Put(t.Context(), ordertest.New("A2"), nil)
		require.Error(t, err)
	}
	assertClass(t, orderdb.Unavailable, err)
	require.NoError(t, server.Start())
	mustPut(t, db, ordertest.New("A2"))
	assertTally(t, db, 2)
}

func TestAReadOnlyServerIsUnavailableUntilItIsNot(t *testing.T) {
	server, url := ownPostgres(t)
	db := open(t, url)
	connections(t, db, "before-", 4)
	server.Set(t, "default_transaction_read_only", "on")
	assert.Eventually(t, func() bool {
		_, err := db.Put(t.Context(), ordertest.New("A1"), nil)
		class, failed := orderdb.ClassOf(err)
		if failed {
			assert.Equal(t, orderdb.Unavailable, class, "%v", err)
		}
		return failed
	}, 10*time.Second, 5*time.Millisecond)
	server.Set(t, "default_transaction_read_only", "")
	assert.Eventually(t, func() bool {
		_, err := db.Put(t.Context(), ordertest.New("A2"), nil)
		return err == nil
	}, 10*time.Second, 5*time.Millisecond)
}

func TestAFrozenServerEndsWritesWithTheirContexts(t *testing.T) {
	server, url := ownPostgres(t)
	db := open(t, url+"&pool_max_conns=2")
	connections(t, db, "before-", 2)
	server.Freeze(t)
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		began := time.Now()
		_, err := db.Put(ctx, ordertest.New("A1"), nil)
		cancel()
		require.Error(t, err)
		assert.NotEqual(t, orderdb.Rejected, err.(*orderdb.Error).Class)
		assert.Less(t, time.Since(began), 2*time.Second)
	}
	server.Thaw()
	assert.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := db.Put(ctx, ordertest.New("A1"), nil)
		return err == nil
	}, 10*time.Second, 5*time.Millisecond)
	got, err := db.Tally(t.Context(), "A1")
	require.NoError(t, err)
	assert.Equal(t, orderdb.Tally{Orders: 1, Outbox: 1}, got)
}

func TestAnIdleConnectionThatDoesNotAnswerIsNotWrittenOver(t *testing.T) {
	server, url := ownPostgres(t)
	db := open(t, url)
	mustPut(t, db, ordertest.New("A1"))
	server.Freeze(t)
	orderdb.AgeIdleConnections(t, db)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, err := db.Put(ctx, ordertest.New("A2"), neverAdmitted(t))
	assertClass(t, orderdb.Unavailable, err)
	server.Thaw()
	mustPut(t, db, ordertest.New("A2"))
}

func TestAConnectionLostInFlightLeavesTheOutcomeUnknown(t *testing.T) {
	url := sharedPostgres(t)
	db := open(t, url)
	mustPut(t, db, ordertest.New("A0"))
	release := holdPostgres(t, url)
	defer release()
	done := inFlight(t, db, url, "A1", "relation")
	pgtest.Exec(t, url, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND wait_event = 'relation'`)
	assertClass(t, orderdb.Unknown, <-done)
	release()
	mustPut(t, db, ordertest.New("A1"))
}

func TestACancelledStatementIsUnavailable(t *testing.T) {
	url := sharedPostgres(t)
	db := open(t, url)
	mustPut(t, db, ordertest.New("A0"))
	release := holdPostgres(t, url)
	defer release()
	done := inFlight(t, db, url, "A1", "relation")
	pgtest.Exec(t, url, `SELECT pg_cancel_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND wait_event = 'relation'`)
	assertClass(t, orderdb.Unavailable, <-done)
}

func TestACommitThatNoStandbyConfirmedIsUnknown(t *testing.T) {
	server, url := ownPostgres(t)
	db := open(t, url)
	mustPut(t, db, ordertest.New("A0"))
	probe, err := orderdb.OpenProbe(url, "orders-db")
	require.NoError(t, err)
	defer probe.Close()
	_, err = probe.Probe(t.Context())
	require.NoError(t, err)

	cancelWait := func() {
		pgtest.Exec(t, url, `SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'`)
	}
	loseStandby(t, server, url)
	done := inFlight(t, db, url, "A1", "SyncRep")
	cancelWait()
	assertClass(t, orderdb.Unknown, <-done)

	// The order is there, but could be lost with the leader: putting it again must
	// wait for the standby, too.
	done = inFlight(t, db, url, "A1", "SyncRep")
	cancelWait()
	assertClass(t, orderdb.Unknown, <-done)

	// So is a tombstone.
	for range 2 {
		withdrawn := make(chan error, 1)
		go func() {
			_, err := db.Withdraw(context.Background(), ordertest.New("W1"), cancelled, nil)
			withdrawn <- err
		}()
		awaitWait(t, url, "SyncRep", withdrawn)
		cancelWait()
		assertClass(t, orderdb.Unknown, <-withdrawn)
	}

	probed := make(chan error, 1)
	go func() {
		_, err := probe.Probe(context.Background())
		probed <- err
	}()
	assert.Eventually(t, func() bool { cancelWait(); return len(probed) > 0 }, 10*time.Second, 5*time.Millisecond)
	require.Error(t, <-probed)

	server.Set(t, "synchronous_standby_names", "")
	assert.True(t, mustPut(t, db, ordertest.New("A1")))
	assert.True(t, mustWithdraw(t, db, ordertest.New("W1"), cancelled).Repeated)
	assertWithdrawn(t, db, 2, 1)
}

// awaitSetting returns when the database's sessions have a setting. Each takes it
// before its next statement, once the server has notified it.
func awaitSetting(t *testing.T, url, name, want string) {
	t.Helper()
	conn := pgtest.Connect(t, url)
	assert.Eventually(t, func() bool {
		var got string
		return conn.QueryRow(t.Context(), "SELECT current_setting($1)", name).Scan(&got) == nil && got == want
	}, 10*time.Second, 5*time.Millisecond)
}

// loseStandby has commits of the server wait for a standby that is not there, and returns
// when they do: the checkpointer has that begin, after backends show the setting.
func loseStandby(t *testing.T, server *pgtest.Server, url string) {
	t.Helper()
	server.Set(t, "synchronous_standby_names", "nobody")
	conn, watcher := pgtest.Connect(t, url), pgtest.Connect(t, url)
	for {
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = conn.Exec(context.Background(), "SELECT pg_logical_emit_message(true, '', 'a commit')")
		}()
		for over := false; !over; {
			waits := false
			require.NoError(t, watcher.QueryRow(t.Context(), `SELECT count(*) > 0 FROM
				(SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'SyncRep') cancelled`).Scan(&waits))
			if waits {
				<-done
				return
			}
			select {
			case <-done: // not yet: the next commit
				over = true
			case <-time.After(time.Millisecond):
			}
		}
	}
}

func TestAWarningOfATriggerIsNoReasonToDoubt(t *testing.T) {
	url := sharedPostgres(t)
	pgtest.Exec(t, url, `CREATE FUNCTION warn() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN RAISE WARNING 'canceling wait for synchronous replication'; RETURN NEW; END $$;
		CREATE TRIGGER warn BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION warn()`)
	db := open(t, url)
	assert.False(t, mustPut(t, db, ordertest.New("A1")))
}

// twoHosts is an order database that is on the first server, or else on the shared
// one: a cluster without replication.
func twoHosts(t *testing.T, first *pgtest.Server) string {
	t.Helper()
	second := pgtest.Shared(t)
	u, err := url.Parse(second.Database(t))
	require.NoError(t, err)
	name := strings.TrimPrefix(u.Path, "/")
	pgtest.Exec(t, first.URL(), "DROP DATABASE IF EXISTS "+name, "CREATE DATABASE "+name)
	for _, server := range []*pgtest.Server{first, second} {
		u.Host = server.Host()
		require.NoError(t, open(t, u.String()).Migrate(t.Context()))
	}
	u.Host, u.RawQuery = first.Host()+","+second.Host(), "sslmode=disable" // and our defaults
	return u.String()
}

func TestOfSeveralHostsTheOneThatTakesWritesIsUsed(t *testing.T) {
	first, _ := ownPostgres(t)
	hosts := twoHosts(t, first)
	first.Set(t, "default_transaction_read_only", "on")
	awaitSetting(t, first.URL(), "default_transaction_read_only", "on")
	assert.False(t, mustPut(t, open(t, hosts), ordertest.New("A1")), "the first host is read-only")

	first.Freeze(t)
	began := time.Now()
	assert.True(t, mustPut(t, open(t, hosts), ordertest.New("A1")), "the first host is frozen")
	assert.Less(t, time.Since(began), 10*time.Second)
}

func TestWhenTheLeaderFreezesTheNextIsFoundInSeconds(t *testing.T) {
	first, _ := ownPostgres(t)
	db := open(t, twoHosts(t, first)+"&pool_max_conns=2")
	connections(t, db, "before-", 2)
	first.Freeze(t)
	var hung sync.WaitGroup
	for range 2 {
		hung.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			_, err := db.Put(ctx, ordertest.New("A1"), nil)
			assertClass(t, orderdb.Unknown, err)
		})
	}
	hung.Wait()
	// The places of the connections given up are free: nobody waits for their
	// goodbyes, which take 15 s.
	began := time.Now()
	assert.False(t, mustPut(t, db, ordertest.New("A1")))
	assert.Less(t, time.Since(began), 10*time.Second)
}

func TestAPutWaitsForTheSameOrderThatIsStillBeingWritten(t *testing.T) {
	url := sharedPostgres(t)
	pgtest.Exec(t, url, `CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN LOCK TABLE ltp.ltp_probe IN SHARE MODE; RETURN NULL; END $$;
		CREATE TRIGGER linger AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION linger()`)
	holder := pgtest.Connect(t, url)
	_, err := holder.Exec(t.Context(), "BEGIN; LOCK TABLE ltp_probe")
	require.NoError(t, err)

	db := open(t, url)
	first := inFlight(t, db, url, "A1", "relation")
	// Its row is there, and nobody can see it yet.
	second := make(chan bool, 1)
	go func() { second <- mustPut(t, db, ordertest.New("A1")) }()
	awaitWait(t, url, "transactionid", nil)
	_, err = holder.Exec(t.Context(), "ROLLBACK")
	require.NoError(t, err)
	require.NoError(t, <-first)
	assert.True(t, <-second)
	assertTally(t, db, 1)
}
