package cluster

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp/audit"
	"github.com/ltp-node/ltp/internal/cluster"
	"github.com/ltp-node/ltp/internal/ordertest"
)

// TestLossOfAnyHostLosesNoOrder is on two of each part and an order database of three.
func TestLossOfAnyHostLosesNoOrder(t *testing.T) {
	s := start(t, "docker-compose.ha.yml")
	t.Run("the order database fails over", func(t *testing.T) {
		for _, fault := range []cluster.Fault{cluster.KillLeader, cluster.CutOffLeader} {
			t.Run(string(fault), func(t *testing.T) { theIncident(t, s, fault) })
		}
	})
	t.Run("every part is restarted in turn", func(t *testing.T) { restartedInTurn(t, s) })
	t.Run("hosts are lost one by one and in pairs", func(t *testing.T) { hostsAreLost(t, s) })
}

// restartedInTurn is an upgrade: orders wait, others keep coming, and each container of the
// order node is stopped as a rollout does it, and started again. Nobody reads an error.
func restartedInTurn(t *testing.T, s *cluster.Stack) {
	waiting := number(t, "CLUSTER_WAITING", 200)
	w := newWalk(t, s, "upgrade", 50*time.Millisecond)
	_, err := s.Tool(t.Context(), "orientation", "hold", "--for", "1h", "--by", "test", "--why", "an upgrade")
	require.NoError(t, err)
	w.arriveFor(func() {
		w.accept(int(waiting))
		for _, service := range []string{"api", "api-2", "worker", "observer"} {
			all, err := s.Containers(t.Context(), service)
			require.NoError(t, err)
			for _, c := range all {
				began := time.Now()
				require.NoError(t, c.Restart(t.Context()))
				w.log("%s restarted and ready after %s", c, time.Since(began).Round(100*time.Millisecond))
			}
		}
		_, err := s.Tool(t.Context(), "orientation", "release", "--by", "test", "--why", "it is done")
		require.NoError(t, err)
	})
	w.settle()
	for status, n := range w.answers {
		assert.Contains(t, []int{0, http.StatusOK, http.StatusCreated, http.StatusAccepted}, status, "%d answers; 0 is an API that is not there, and the other is asked", n)
	}
}

// hostsAreLost breaks what is known to be hard, and then walks at random: containers of the
// stack are killed, paused and cut off, and come back, while customers order at both APIs and
// ask again until they are answered. Nothing is lost, nothing executed twice, and no answer is
// a 5xx but 503. CLUSTER_SEED and CLUSTER_STEPS choose the walk; which of two containers of a
// service is meant, is chance.
func hostsAreLost(t *testing.T, s *cluster.Stack) {
	seed, steps := number(t, "CLUSTER_SEED", 1), number(t, "CLUSTER_STEPS", 6)
	t.Logf("again: CLUSTER_SEED=%d CLUSTER_STEPS=%d go test ./tests/cluster -run TestLossOfAnyHostLosesNoOrder", seed, steps)
	w := newWalk(t, s, "walk", 100*time.Millisecond)
	w.random = rand.New(rand.NewPCG(seed, 0))
	for _, service := range []string{"api", "api-2", "worker", "observer", "temporal", "temporal-history", "temporal-matching", "temporal-worker", "orders-db", "orders-db-2", "orders-db-3", "etcd"} {
		w.hosts = append(w.hosts, w.containers(service)...)
	}
	cutOff := func(c cluster.Container, network string) loss {
		return loss{"cut off from " + network, c, func(ctx context.Context) (func(context.Context) error, error) { return c.Disconnect(ctx, network) }}
	}
	w.arriveFor(func() {
		w.lose(5*time.Second, cutOff(w.containers("observer")[0], "orders-db"))
		w.lose(5*time.Second, cutOff(w.containers("worker")[0], "node"))
		var leader cluster.Container
		require.Eventually(t, func() (elected bool) {
			var err error
			leader, err = s.Leader(t.Context())
			return err == nil
		}, patience, time.Second, "nobody is elected")
		temporalDB := w.containers("temporal-db")[0]
		w.lose(10*time.Second, loss{"kill", leader, leader.Kill}, loss{"kill", temporalDB, temporalDB.Kill})
		for n := range steps {
			w.step(1 + int(n%2)) // one by one, and in pairs
		}
	})
	w.settle()
	for status, n := range w.answers {
		assert.False(t, status >= 500 && status != http.StatusServiceUnavailable, "%d answers were %d", n, status)
	}
}

func number(t *testing.T, variable string, otherwise uint64) uint64 {
	value := os.Getenv(variable)
	if value == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(value, 10, 64)
	require.NoError(t, err, variable)
	return n
}

type walk struct {
	t      *testing.T
	s      *cluster.Stack
	random *rand.Rand
	run    string
	every  time.Duration // between two orders
	apis   []string
	hosts  []cluster.Container

	customers sync.WaitGroup
	mu        sync.Mutex
	sent      int
	accepted  []string
	answers   map[int]int // by status; 0 is none
}

func newWalk(t *testing.T, s *cluster.Stack, name string, every time.Duration) *walk {
	t.Helper()
	w := &walk{t: t, s: s, every: every, run: fmt.Sprintf("%s-%d", name, time.Now().UnixMilli()), answers: map[int]int{}}
	for _, service := range []string{"api", "api-2"} {
		at, err := s.Address(t.Context(), service, "8080")
		require.NoError(t, err)
		w.apis = append(w.apis, "http://"+at)
	}
	return w
}

func (w *walk) containers(service string) []cluster.Container {
	w.t.Helper()
	all, err := w.s.Containers(w.t.Context(), service)
	require.NoError(w.t, err)
	return all
}

// loss is what becomes of a container.
type loss struct {
	what string
	c    cluster.Container
	how  func(context.Context) (mend func(context.Context) error, err error)
}

// lose breaks what is named for a while, and mends it.
func (w *walk) lose(lasts time.Duration, all ...loss) {
	w.t.Helper()
	var mends []func(context.Context) error
	var done []string
	for _, l := range all {
		mend, err := l.how(w.t.Context())
		require.NoError(w.t, err, "%s %s", l.what, l.c)
		mends, done = append(mends, mend), append(done, l.what+" "+l.c.String())
	}
	w.log("%s for %s", strings.Join(done, ", "), lasts)
	select {
	case <-time.After(lasts):
	case <-w.t.Context().Done():
	}
	for _, mend := range mends {
		require.NoError(w.t, mend(w.t.Context()))
	}
}

func (w *walk) log(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.t.Logf("%s; %d orders accepted", fmt.Sprintf(format, args...), len(w.accepted))
}

// step loses some hosts by chance.
func (w *walk) step(hosts int) {
	w.t.Helper()
	var all []loss
	for _, i := range w.random.Perm(len(w.hosts))[:hosts] {
		all = append(all, w.chance(w.hosts[i]))
	}
	w.lose(time.Duration(3+w.random.IntN(8))*time.Second, all...)
}

func (w *walk) chance(c cluster.Container) loss {
	switch w.random.IntN(3) {
	case 0:
		return loss{"kill", c, c.Kill}
	case 1:
		return loss{"pause", c, c.Pause}
	}
	// Not what publishes its port: that is the way of the customers, not a host's.
	networks, err := c.Networks(w.t.Context())
	require.NoError(w.t, err)
	var own []string
	for _, n := range networks {
		if n != "customers" && n != "operators" {
			own = append(own, n)
		}
	}
	from := own[w.random.IntN(len(own))]
	return loss{"cut off from " + from, c, func(ctx context.Context) (func(context.Context) error, error) { return c.Disconnect(ctx, from) }}
}

// arriveFor has orders arrive while meanwhile runs.
func (w *walk) arriveFor(meanwhile func()) {
	ctx, end := context.WithCancel(w.t.Context())
	defer end()
	var customers sync.WaitGroup
	customers.Go(func() { w.arrive(ctx) })
	meanwhile()
	end()
	customers.Wait()
}

// accept has n orders accepted at once, beside those that arrive.
func (w *walk) accept(n int) {
	const together = 32
	var all sync.WaitGroup
	for from := range together {
		all.Go(func() {
			for i := from; i < n; i += together {
				w.order(w.next())
			}
		})
	}
	all.Wait()
}

// next is the number of the next order.
func (w *walk) next() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent++
	return w.sent
}

// arrive submits orders until ctx ends. Each is sent until an API has accepted it.
func (w *walk) arrive(ctx context.Context) {
	tick := time.NewTicker(w.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			w.customers.Go(func() { w.order(w.next()) })
		}
	}
}

func (w *walk) order(n int) {
	id := fmt.Sprintf("%s-%05d", w.run, n)
	body := ordertest.JSON(id, ordertest.Customer(fmt.Sprintf("c-%d", n%17)))
	for try := n; ; try++ {
		status := post(w.t.Context(), w.apis[try%len(w.apis)], body)
		w.mu.Lock()
		w.answers[status]++
		ok := status == http.StatusCreated || status == http.StatusAccepted || status == http.StatusOK
		if ok {
			w.accepted = append(w.accepted, id)
		}
		w.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-w.t.Context().Done():
			return
		case <-time.After(500 * time.Millisecond): // as Retry-After asks, roughly
		}
	}
}

// post returns the status of the answer, 0 where none came.
func post(ctx context.Context, api, body string) int {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, api+"/orders", bytes.NewReader([]byte(body)))
	if err != nil {
		return 0
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode
}

// settle waits until every order is accepted and written, and holds the rows against them.
func (w *walk) settle() {
	w.t.Helper()
	all := make(chan struct{})
	go func() { w.customers.Wait(); close(all) }()
	select {
	case <-all:
	case <-time.After(2 * patience):
		w.mu.Lock()
		defer w.mu.Unlock()
		require.Fail(w.t, "orders are not accepted", "%v", w.answers)
	}
	w.t.Logf("%d orders accepted; answers by status: %v", len(w.accepted), w.answers)
	ctx := w.t.Context()
	rows := w.s.Rows()
	var missing []string
	require.Eventually(w.t, func() bool {
		var err error
		missing, err = rows.Missing(ctx, w.accepted)
		return err == nil && len(missing) == 0
	}, 2*patience, time.Second, "lost: %v", &missing)
	tally, err := rows.Tally(ctx, w.run+"-")
	require.NoError(w.t, err)
	assert.EqualValues(w.t, len(w.accepted), tally.Orders)
	assert.EqualValues(w.t, len(w.accepted), tally.Outbox)
	assert.Zero(w.t, tally.Duplicates)

	found, err := w.s.Audit(ctx)
	require.NoError(w.t, err)
	for _, c := range found.Claims {
		assert.NotEqual(w.t, audit.Broken, c.Verdict, "%s: %s %v", c.Name, c.Why, c.Breaches)
	}
}
