package observer_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/observer"
	"github.com/ltp-node/ltp/orderdb"
	"github.com/ltp-node/ltp/orderdb/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// hasty notices within a fraction of a second, and trusts a busy test machine.
func hasty() observer.Settings {
	return observer.Settings{
		Interval: 10 * time.Millisecond, Timeout: 2 * time.Second,
		UnfitLatency: 400 * time.Millisecond, FitLatency: 300 * time.Millisecond,
		SlowLatency: 200 * time.Millisecond, SlowExit: 100 * time.Millisecond,
		Fall: 3, Rise: 2,
	}
}

// watching watches a migrated order database for as long as the test runs.
func watching(t *testing.T, url string) <-chan ltp.Observation {
	t.Helper()
	db, err := orderdb.Open(t.Context(), url)
	require.NoError(t, err)
	require.NoError(t, db.Migrate(t.Context()))
	require.NoError(t, db.Close())
	probe, err := orderdb.OpenProbe(url, ltp.DefaultComponent)
	require.NoError(t, err)

	seen, ended := make(chan ltp.Observation, 100), make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		ended <- observer.Watch(ctx, probe, hasty(), "", func(o ltp.Observation) { seen <- o }, func(observer.Status) {})
	}()
	t.Cleanup(func() {
		cancel()
		assert.ErrorIs(t, <-ended, context.Canceled)
		assert.NoError(t, probe.Close())
	})
	await(t, seen, ltp.Healthy)
	return seen
}

// await returns the next observation of a verdict. Slow ones may come between: the
// test machine may be.
func await(t *testing.T, seen <-chan ltp.Observation, want ltp.Verdict) ltp.Observation {
	t.Helper()
	limit := time.After(30 * time.Second)
	for {
		select {
		case o := <-seen:
			if o.Verdict == want {
				return o
			}
			t.Logf("meanwhile %s: %s %+v", o.Verdict, o.Reason, o.Evidence)
		case <-limit:
			t.Fatalf("never %s", want)
		}
	}
}

func TestALockedSQLiteIsUnhealthyForAsLongAsItIsLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "orders.db")
	seen := watching(t, path)

	db, err := sql.Open("sqlite", path+"?_pragma=busy_timeout(10000)")
	require.NoError(t, err)
	defer db.Close()
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.ExecContext(t.Context(), "BEGIN EXCLUSIVE")
	require.NoError(t, err)

	down := await(t, seen, ltp.Unhealthy)
	assert.Equal(t, "DB Write Latency > 400ms", down.Reason)
	assert.GreaterOrEqual(t, down.Evidence.LatencyMs, int64(400))
	assert.EqualValues(t, 400, down.Evidence.ThresholdMs)

	_, err = conn.ExecContext(t.Context(), "ROLLBACK")
	require.NoError(t, err)
	up := await(t, seen, ltp.Healthy)
	assert.Equal(t, "DB write latency normal", up.Reason)
	assert.Equal(t, "sqlite", up.Evidence.Facts["database"])
}

func TestPostgresIsUnhealthyAtTheFirstDefiniteError(t *testing.T) {
	server := pgtest.Start(t)
	seen := watching(t, server.Database(t))

	server.Set(t, "default_transaction_read_only", "on")
	down := await(t, seen, ltp.Unhealthy)
	assert.Equal(t, "DB Is Read-Only", down.Reason)
	assert.True(t, down.Evidence.Definite)
	assert.Equal(t, 1, down.Evidence.Samples)
	assert.Contains(t, down.Evidence.Error, "25006")

	server.Set(t, "default_transaction_read_only", "")
	up := await(t, seen, ltp.Healthy)
	assert.Equal(t, "DB write latency normal", up.Reason)
	assert.NotEmpty(t, up.Evidence.Facts["leader"])

	server.Stop()
	down = await(t, seen, ltp.Unhealthy)
	assert.True(t, down.Evidence.Definite)
	assert.NotContains(t, down.Evidence.Error, "password")
	require.NoError(t, server.Start())
	await(t, seen, ltp.Healthy)
}

func TestAFrozenPostgresIsNoticedWhileTheWriteHangs(t *testing.T) {
	server := pgtest.Start(t)
	seen := watching(t, server.Database(t))
	server.Freeze(t)
	down := await(t, seen, ltp.Unhealthy)
	assert.Equal(t, "DB Write Latency > 400ms", down.Reason)
	assert.Empty(t, down.Evidence.Error)
	server.Thaw()
	await(t, seen, ltp.Healthy)
}
