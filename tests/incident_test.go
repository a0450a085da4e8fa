package tests

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/demo"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/internal/pglocal"
	"github.com/ltp-node/ltp/node"
	"github.com/ltp-node/ltp/orderdb/pgtest"
)

// incident is an order node on a leader and its synchronous standby, with orders
// arriving through the order API from its beginning to its end.
type incident struct {
	*rig
	pair *pglocal.Pair
	node *node.Node
	api  string

	began time.Time
	end   context.CancelFunc // of the arrivals
	load  sync.WaitGroup

	mu       sync.Mutex
	sent     int
	accepted []string
	arrived  *sync.Cond // of accepted
	refused  []string

	waiting atomic.Int64 // of accepted, as last counted
	shed    atomic.Int64 // answers that had a client come again
}

// every is the time between two orders. While more than crowd wait, on a machine that
// is too slow for this, only one in ten comes: else the backlog would never be drained.
const (
	every = 40 * time.Millisecond
	crowd = 400
)

// newIncident returns when the state is STABLE and orders arrive. What set changes of
// the node, it changes before its start.
func newIncident(t *testing.T, pair *pglocal.Pair, orders string, set ...func(*node.Config)) *incident {
	t.Helper()
	i := &incident{rig: newRigOn(t, orders), pair: pair, began: time.Now()}
	i.arrived = sync.NewCond(&i.mu)
	c := i.config()
	c.Policy.FlapWindow = new(time.Second) // outages follow each other here
	// An observer on a busy machine that is heard late is no outage of the database.
	c.Policy.Grace = new(ltp.MaxGrace)
	for _, f := range set {
		f(&c)
	}
	i.api = i.listen(&c)
	i.node = i.up(c)
	i.Until(i.node.Board, ltp.Stable)
	var ctx context.Context
	ctx, i.end = context.WithCancel(i.Ctx)
	i.load.Go(func() { i.arrive(ctx) })
	i.load.Go(func() { i.account(ctx) })
	t.Cleanup(func() { i.end(); i.load.Wait() })
	return i
}

// arrive submits orders until ctx ends.
func (i *incident) arrive(ctx context.Context) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if n%10 == 0 || i.waiting.Load() <= crowd {
				i.load.Go(func() { i.order(fmt.Sprintf("incident-%04d", n)) })
			}
		}
	}
}

// order submits one, as the contract asks of clients: a 429 is no error, but has the client
// come again. A machine on which Temporal stalls for many seconds sheds load.
func (i *incident) order(id string) {
	response, err := i.post(id)
	for ; err == nil && response.StatusCode == http.StatusTooManyRequests; response, err = i.post(id) {
		i.shed.Add(1)
		after, unread := strconv.Atoi(response.Header.Get("Retry-After"))
		assert.NoError(i.T, unread)
		select {
		case <-time.After(time.Duration(after) * time.Second):
		case <-i.Ctx.Done():
			return
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.sent++
	switch {
	case err != nil:
		i.refused = append(i.refused, err.Error())
	case response.StatusCode != http.StatusAccepted && response.StatusCode != http.StatusCreated:
		i.refused = append(i.refused, response.Status)
	default:
		i.accepted = append(i.accepted, id)
		i.arrived.Broadcast()
	}
}

func (i *incident) post(id string) (*http.Response, error) {
	response, err := http.Post(i.api+"/orders", "application/json", strings.NewReader(ordertest.JSON(id)))
	if err == nil {
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
	}
	return response, err
}

// more returns when n more orders have been accepted.
func (i *incident) more(n int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for until := len(i.accepted) + n; len(i.accepted) < until && i.Ctx.Err() == nil; {
		i.arrived.Wait()
	}
}

// account checks again and again that every accepted order is executed or still to be,
// and in no other state.
func (i *incident) account(ctx context.Context) {
	executed := map[string]bool{}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		i.mu.Lock()
		accepted := slices.Clone(i.accepted)
		i.mu.Unlock()
		i.waiting.Store(int64(len(accepted) - len(executed)))
		for _, id := range accepted {
			if executed[id] {
				continue
			}
			st, err := i.Start.Get(ctx, id)
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				i.T.Errorf("%s was accepted, and now: %v", id, err)
			case st.State == ltp.Executed:
				executed[id] = true
			case st.State != ltp.Accepted && st.State != ltp.Deferred:
				i.T.Errorf("%s is neither executed nor deferred, but %s: %s", id, st.State, st.Detail)
			}
		}
	}
}

// suffer has a fault last until it is known, and orders have waited for its end. It
// returns when the state is STABLE again.
func (i *incident) suffer(f demo.Fault) {
	i.T.Helper()
	began := time.Now()
	require.NoError(i.T, f.Begin(i.Ctx), f.Begins)
	down := i.Until(i.node.Board, ltp.Unstable)
	known := time.Now()
	i.more(60)
	require.NoError(i.T, f.End(i.Ctx), f.Ends)
	ended := time.Now()
	up := i.recovered(down.Epoch)
	i.T.Logf("%s, %s: %d ms of it, noticed after %d ms (%s), STABLE %d ms after its end (%s)", f.Begins, f.Ends,
		ended.Sub(began).Milliseconds(), known.Sub(began).Milliseconds(), down.Reason, time.Since(ended).Milliseconds(), up)
	if f.After != nil {
		require.NoError(i.T, f.After(i.Ctx))
	}
}

// recovered waits until the state is STABLE under a later epoch, and returns why it
// was called RECOVERING.
func (i *incident) recovered(after int64) (reason string) {
	i.T.Helper()
	for now := i.Until(i.node.Board, ltp.Stable); now.Epoch <= after; now = i.Until(i.node.Board, ltp.Stable) {
	}
	for _, t := range i.timeline() {
		if t.State == ltp.Recovering {
			reason = t.Reason
		}
	}
	return reason
}

func (i *incident) timeline() []demo.Transition {
	i.T.Helper()
	timeline, err := demo.Timeline(i.Ctx, i.Reader(), i.began)
	require.NoError(i.T, err)
	return timeline
}

// finish lets some more orders arrive, waits until all have ended, and holds what was
// promised against what there is.
func (i *incident) finish() {
	i.T.Helper()
	i.more(20)
	i.end()
	i.load.Wait()
	assert.Empty(i.T, i.refused, "nobody reads an error")
	assert.Len(i.T, i.accepted, i.sent)
	i.executedOnce("incident-", i.accepted)
	for _, t := range i.timeline() {
		i.T.Logf("%8d ms  %-10s %s", t.At.Sub(i.began).Milliseconds(), t.State, t.Reason)
	}
	unfit, underWay, late := i.meter.BegunWhileUnfit(i.timeline())
	assert.Zero(i.T, unfit, "writes begun while unfit")
	i.T.Logf("%d orders accepted, %d errors, %d times come again; %d writes were past the fence, the latest by %s", len(i.accepted), len(i.refused), i.shed.Load(), underWay, late)
}

// TestAFailingLeaderLosesAndRepeatsNoOrder is the incident of the postmortem, in each of its forms: a real
// leader fails under load, in each way that leaders do.
func TestAFailingLeaderLosesAndRepeatsNoOrder(t *testing.T) {
	for _, name := range demo.FaultNames() {
		t.Run(name, func(t *testing.T) {
			pair := pgtest.StartPair(t, func(o *pglocal.Options) { o.Links = name == "partition" })
			i := newIncident(t, pair, pair.URL("postgres"))
			i.more(20)
			i.suffer(named(t, pair, name))
			i.finish()
			assert.Equal(t, []ltp.State{ltp.Unknown, ltp.Recovering, ltp.Stable, ltp.Unstable, ltp.Recovering, ltp.Stable}, i.states())
		})
	}
}

// TestASwitchoverOfTheLeaderLosesNoOrder: the leader hands over to the standby within moments. A session that
// was closed is no outage where the next finds a leader: whether the component was UNSTABLE
// for a moment is open, and every order is executed.
func TestASwitchoverOfTheLeaderLosesNoOrder(t *testing.T) {
	pair := pgtest.StartPair(t)
	i := newIncident(t, pair, pair.URL("postgres"))
	i.more(20)
	require.NoError(t, pair.Switchover(i.Ctx))
	i.more(20)
	i.finish()
	assert.Equal(t, ltp.Stable, i.states()[len(i.states())-1])
}

func named(t *testing.T, pair *pglocal.Pair, name string) demo.Fault {
	t.Helper()
	f, err := demo.PairFault(pair, name)
	require.NoError(t, err)
	return f
}

// TestTheNewLeaderFailsWhileTheBacklogIsReplayed: the leader is killed, and the new one
// freezes for a while as soon as it has taken some of the orders that wait.
func TestTheNewLeaderFailsWhileTheBacklogIsReplayed(t *testing.T) {
	pair := pgtest.StartPair(t)
	i := newIncident(t, pair, pair.URL("postgres"), func(c *node.Config) {
		c.Pace.Start, c.Pace.Floor, c.Pace.Ceiling = 20, 20, 20
	})
	i.more(20)
	first := named(t, pair, "kill")
	require.NoError(t, first.Begin(i.Ctx))
	i.Until(i.node.Board, ltp.Unstable)
	i.more(100)
	require.NoError(t, first.End(i.Ctx))
	i.Until(i.node.Board, ltp.Recovering)
	i.executedMore(20)
	// Writes that hang may have begun before: the other kind is noticed at once.
	i.suffer(named(t, pair, "readonly"))
	require.NoError(t, pair.Rejoin(i.Ctx))
	i.finish()
	states := i.states()
	assert.Equal(t, []ltp.State{ltp.Unstable, ltp.Recovering, ltp.Unstable, ltp.Recovering}, states[3:7], "it failed before it was STABLE")
}

// executedMore returns when n more orders have been executed.
func (i *incident) executedMore(n int) {
	i.T.Helper()
	until := i.meter.Executed() + n
	require.Eventually(i.T, func() bool { return i.meter.Executed() >= until }, patience, 10*time.Millisecond)
}

// TestOutagesBeforeTheBacklogIsDrainedLoseNoOrder: each is over before the backlog of the one before is.
func TestOutagesBeforeTheBacklogIsDrainedLoseNoOrder(t *testing.T) {
	pair := pgtest.StartPair(t)
	i := newIncident(t, pair, pair.URL("postgres"), func(c *node.Config) {
		c.Pace.Start, c.Pace.Floor, c.Pace.Ceiling = 20, 20, 20
		c.Policy.FlapWindow = new(ltp.DefaultPolicy().FlapWindow)
	})
	i.more(20)
	f := named(t, pair, "readonly")
	var down int64
	for range 3 {
		require.NoError(t, f.Begin(i.Ctx))
		down = i.Until(i.node.Board, ltp.Unstable).Epoch
		i.more(40)
		require.NoError(t, f.End(i.Ctx))
		i.Until(i.node.Board, ltp.Recovering)
		i.executedMore(10)
	}
	i.recovered(down)
	i.finish()
	assert.Equal(t, []ltp.State{
		ltp.Unknown, ltp.Recovering, ltp.Stable,
		ltp.Unstable, ltp.Recovering, ltp.Unstable, ltp.Recovering, ltp.Unstable, ltp.Recovering, ltp.Stable,
	}, i.states())
}
