package node

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/embedded"
	"github.com/ltp-node/ltp/orderdb"
	"github.com/ltp-node/ltp/replay/pace"
	"github.com/ltp-node/ltp/starter"
)

// config is of a worker on an SQLite file that is there and has no tables.
func config(t *testing.T) Config {
	return Config{
		Components: []string{ltp.DefaultComponent}, OrdersURL: filepath.Join(t.TempDir(), "orders.db"),
		Worker: true, Pace: pace.Default(), Log: slog.New(slog.DiscardHandler),
	}
}

// TestNothingRunsOnWhatCannotWork: Temporal is not even asked, of which there is no client.
func TestNothingRunsOnWhatCannotWork(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(*Config)
		says string
	}{
		"a pace of nothing":         {func(c *Config) { c.Pace = pace.Settings{} }, "the pace of replays"},
		"an observer of nothing":    {func(c *Config) { c.Observe = true }, "interval"},
		"tables that are not there": {func(*Config) {}, "ltp setup"},
	} {
		t.Run(name, func(t *testing.T) {
			with := config(t)
			c.set(&with)
			n, err := Start(t.Context(), with)
			require.Nil(t, n)
			assert.ErrorContains(t, err, c.says)
		})
	}
	_, err := Start(t.Context(), config(t))
	assert.True(t, orderdb.Wrong(err), "whoever starts it sees that this is no outage")
}

// TestAnOutageKeepsNoNodeFromStarting: orders wait for the database, and the node must be
// there when it is back.
func TestAnOutageKeepsNoNodeFromStarting(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	c := config(t)
	c.OrdersURL = "postgres://nobody@" + closed.Addr().String() + "/orders"
	assert.NoError(t, c.readyOrders(t.Context()))
}

// TestAStartWaitsForTables says once what is wrong, and goes on when somebody has mended it.
func TestAStartWaitsForTables(t *testing.T) {
	c := config(t)
	var said []error
	c.AwaitOrders = func(err error) {
		said = append(said, err)
		db, err := orderdb.Open(t.Context(), c.OrdersURL)
		require.NoError(t, err)
		require.NoError(t, db.Migrate(t.Context()))
		require.NoError(t, db.Close())
	}
	require.NoError(t, c.readyOrders(t.Context()))
	require.Len(t, said, 1)
	assert.True(t, orderdb.Wrong(said[0]))

	ctx, stop := context.WithCancel(t.Context())
	c = config(t)
	c.AwaitOrders = func(error) { stop() }
	err := c.readyOrders(ctx)
	assert.ErrorContains(t, err, "ended while it waited")
	assert.ErrorContains(t, err, "ltp setup", "what it waited for")
}

// TestANodeStartsOnANamespaceThatIsSetUpAndAnswersUntilStop: on a namespace that is not set up it says what to type, and ends what it
// has begun; on one that is, its listeners answer until Stop.
func TestANodeStartsOnANamespaceThatIsSetUpAndAnswersUntilStop(t *testing.T) {
	server, err := embedded.Start(t.Context(), embedded.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, server.Stop()) })
	c := config(t)
	c.Client, c.Namespace, c.SetUpOrders = server.Client(), server.Namespace(), true

	_, err = Start(t.Context(), c)
	assert.ErrorContains(t, err, "run ltp setup")

	_, err = starter.Setup(t.Context(), c.Client, c.Namespace)
	require.NoError(t, err)
	c.Listen, c.Admin = listen(t), listen(t)
	n, err := Start(t.Context(), c)
	require.NoError(t, err)
	for _, l := range []net.Listener{c.Listen, c.Admin} {
		answer, err := http.Get("http://" + l.Addr().String() + "/healthz")
		require.NoError(t, err)
		assert.NoError(t, answer.Body.Close())
		assert.Equal(t, http.StatusOK, answer.StatusCode)
	}
	n.Stop()
	for _, l := range []net.Listener{c.Listen, c.Admin} {
		_, err := net.Dial("tcp", l.Addr().String())
		assert.Error(t, err, "nobody listens any more")
	}
	select {
	case err := <-n.Failed():
		assert.NoError(t, err, "a stop is no failure")
	default:
	}
	n.Stop() // again, as a caller that lost count
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return l
}

// TestListenersFollowTheObserver: what they hear was published before, and they hear of the
// end also where the watch failed.
func TestListenersFollowTheObserver(t *testing.T) {
	var heard []string
	hear := func(what string) { heard = append(heard, what) }
	failed := errors.New("the probe is gone")
	watch := listening(Config{
		Listener: Listener{
			Active: func(is bool) { hear(map[bool]string{true: "active", false: "stands by"}[is]) },
			Said:   func(ltp.Observation) { hear("said") },
		},
		Heartbeat: func(ltp.Heartbeat) { hear("heartbeat heard") },
	}, func(_ context.Context, _ ltp.Verdict, emit func(ltp.Observation), heartbeat func(ltp.Heartbeat)) error {
		emit(ltp.Observation{})
		heartbeat(ltp.Heartbeat{})
		return failed
	})
	err := watch(t.Context(), ltp.Verdict(""), func(ltp.Observation) { hear("published") }, func(ltp.Heartbeat) { hear("heartbeat published") })
	assert.Equal(t, failed, err)
	assert.Equal(t, []string{"active", "published", "said", "heartbeat published", "heartbeat heard", "stands by"}, heard)
}

// TestMetersCountTheSame, and one that is missing counts nothing.
func TestMetersCountTheSame(t *testing.T) {
	var a, b counting
	all := meters{&a, nil, &b}
	all.Routed(ltp.Routing{}, time.Second)
	all.Attempted(ltp.Attempt{}, time.Second)
	all.Attempted(ltp.Attempt{}, time.Second)
	assert.Equal(t, counting{1, 2}, a)
	assert.Equal(t, a, b)
}

type counting struct{ routed, attempted int }

func (c *counting) Routed(ltp.Routing, time.Duration)    { c.routed++ }
func (c *counting) Attempted(ltp.Attempt, time.Duration) { c.attempted++ }
