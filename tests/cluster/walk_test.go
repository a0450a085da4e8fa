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
)

// every is the time between two orders.
const every = 100 * time.Millisecond

// TestHighAvailability is on two of each part and an order database of three.
func TestHighAvailability(t *testing.T) {
	s := start(t, "docker-compose.ha.yml")
	t.Run("the order database fails over", func(t *testing.T) {
		for _, fault := range []cluster.Fault{cluster.KillLeader, cluster.CutOffLeader} {
			t.Run(string(fault), func(t *testing.T) { theIncident(t, s, fault) })
		}
	})
	t.Run("hosts are lost one by one and in pairs", func(t *testing.T) { hostsAreLost(t, s) })
}

// hostsAreLost walks at random: containers of the stack are killed, paused and cut off, and
// come back, while customers order at both APIs and ask again until they are answered. Nothing
// is lost, nothing executed twice, and no answer is a 5xx but 503. CLUSTER_SEED and
// CLUSTER_STEPS choose the walk; which of two containers of a service is meant, is chance.
func hostsAreLost(t *testing.T, s *cluster.Stack) {
	seed, steps := number(t, "CLUSTER_SEED", 1), number(t, "CLUSTER_STEPS", 6)
	t.Logf("again: CLUSTER_SEED=%d CLUSTER_STEPS=%d go test ./tests/cluster -run TestHighAvailability", seed, steps)
	w := walk{t: t, s: s, random: rand.New(rand.NewPCG(seed, 0)), run: fmt.Sprintf("walk-%d", time.Now().UnixMilli())}
	for _, service := range []string{"api", "api-2"} {
		at, err := s.Address(t.Context(), service, "8080")
		require.NoError(t, err)
		w.apis = append(w.apis, "http://"+at)
	}
	for _, service := range []string{"api", "api-2", "worker", "observer", "temporal", "temporal-history", "temporal-matching", "temporal-worker", "orders-db", "orders-db-2", "orders-db-3", "etcd"} {
		all, err := s.Containers(t.Context(), service)
		require.NoError(t, err)
		w.hosts = append(w.hosts, all...)
	}

	ctx, end := context.WithCancel(t.Context())
	var customers sync.WaitGroup
	customers.Go(func() { w.arrive(ctx) })
	for n := range steps {
		w.step(1 + n%2) // one by one, and in pairs
	}
	end()
	customers.Wait()
	w.settle()
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
	apis   []string
	hosts  []cluster.Container

	customers sync.WaitGroup
	mu        sync.Mutex
	accepted  []string
	answers   map[int]int // by status; 0 is none
}

// step breaks some hosts, waits for a while, and mends them.
func (w *walk) step(hosts uint64) {
	w.t.Helper()
	var mends []func(context.Context) error
	var done []string
	for _, i := range w.random.Perm(len(w.hosts))[:hosts] {
		c := w.hosts[i]
		what, mend, err := w.breaks(c)
		require.NoError(w.t, err, "%s %s", what, c)
		mends, done = append(mends, mend), append(done, what+" "+c.String())
	}
	lasts := time.Duration(3+w.random.IntN(8)) * time.Second
	w.mu.Lock()
	w.t.Logf("%s for %s; %d orders accepted", strings.Join(done, ", "), lasts, len(w.accepted))
	w.mu.Unlock()
	select {
	case <-time.After(lasts):
	case <-w.t.Context().Done():
	}
	for _, mend := range mends {
		require.NoError(w.t, mend(w.t.Context()))
	}
}

func (w *walk) breaks(c cluster.Container) (what string, mend func(context.Context) error, err error) {
	ctx := w.t.Context()
	switch w.random.IntN(3) {
	case 0:
		mend, err = c.Kill(ctx)
		return "kill", mend, err
	case 1:
		mend, err = c.Pause(ctx)
		return "pause", mend, err
	}
	// Not what publishes its port: that is the way of the customers, not a host's.
	networks, err := c.Networks(ctx)
	if err != nil {
		return "cut off", nil, err
	}
	var own []string
	for _, n := range networks {
		if n != "customers" && n != "operators" {
			own = append(own, n)
		}
	}
	from := own[w.random.IntN(len(own))]
	mend, err = c.Disconnect(ctx, from)
	return "cut off from " + from, mend, err
}

// arrive submits orders until ctx ends. Each is sent until an API has accepted it.
func (w *walk) arrive(ctx context.Context) {
	w.answers = map[int]int{}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			w.customers.Go(func() { w.order(n) })
		}
	}
}

func (w *walk) order(n int) {
	id := fmt.Sprintf("%s-%05d", w.run, n)
	body := fmt.Sprintf(`{"id":%q,"customer":"c-%d","currency":"USD","lines":[{"sku":"book","quantity":1,"unit_amount_minor":1000}]}`, id, n%17)
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
	for status := range w.answers {
		assert.False(w.t, status >= 500 && status != http.StatusServiceUnavailable, "%d answers were %d", w.answers[status], status)
	}
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
