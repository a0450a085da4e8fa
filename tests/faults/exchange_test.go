package faults

import (
	"cmp"
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/proxy"
	taskqueue "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/ltp-node/ltp"
)

// exchange stands between a process and Temporal, call by call. A test can hold a
// call up before Temporal gets it, or hold up the answer, or answer itself: so a
// process can be killed at exactly the moment that the test is about.
type exchange struct {
	address  string
	temporal *grpc.ClientConn

	// orders and control let the worker behind the exchange poll for tasks of orders, and
	// for those of the control queue.
	orders, control *valve

	mu       sync.Mutex
	handlers []*handler
}

// reconnect returns when the exchange reaches a Temporal that has come back: until then it
// answers whoever starts behind it that there is none.
func (x *exchange) reconnect(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for s := x.temporal.GetState(); s != connectivity.Ready; s = x.temporal.GetState() {
		x.temporal.Connect()
		x.temporal.ResetConnectBackoff()
		require.True(t, x.temporal.WaitForStateChange(ctx, s), "the exchange does not reach Temporal: %s", s)
	}
}

// handler does something with a call. pass has Temporal answer it.
type handler struct {
	do func(ctx context.Context, call any, pass func() (any, error)) (any, error)
}

// newExchange makes an exchange before a Temporal. Where that goes away and comes
// back, so does what is behind the exchange.
func newExchange(t *testing.T, temporal string) *exchange {
	t.Helper()
	retry := backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.5, MaxDelay: 500 * time.Millisecond}
	to, err := grpc.NewClient(temporal, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: retry, MinConnectTimeout: time.Second}))
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	x := &exchange{address: listener.Addr().String(), temporal: to, orders: newValve(), control: newValve()}
	server := grpc.NewServer(grpc.UnaryInterceptor(x.intercept),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}))
	workflows, err := proxy.NewWorkflowServiceProxyServer(proxy.WorkflowServiceProxyOptions{Client: workflowservice.NewWorkflowServiceClient(to)})
	require.NoError(t, err)
	workflowservice.RegisterWorkflowServiceServer(server, workflows)
	operatorservice.RegisterOperatorServiceServer(server, operators{to: operatorservice.NewOperatorServiceClient(to)})
	var done sync.WaitGroup
	done.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() {
		server.Stop()
		done.Wait()
		_ = to.Close()
	})
	return x
}

// on has a handler take part in every call, the one that was added last first, until
// the returned function is called.
func (x *exchange) on(do func(ctx context.Context, call any, pass func() (any, error)) (any, error)) (off func()) {
	h := &handler{do}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.handlers = append(slices.Clone(x.handlers), h)
	return func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.handlers = slices.DeleteFunc(slices.Clone(x.handlers), func(other *handler) bool { return other == h })
	}
}

func (x *exchange) intercept(ctx context.Context, call any, _ *grpc.UnaryServerInfo, ask grpc.UnaryHandler) (any, error) {
	x.mu.Lock()
	handlers := x.handlers
	x.mu.Unlock()
	pass := func() (any, error) { return x.forward(ctx, call, ask) }
	for _, h := range handlers {
		next := pass
		pass = func() (any, error) { return h.do(ctx, call, next) }
	}
	return pass()
}

// forward has Temporal answer a call.
func (x *exchange) forward(ctx context.Context, call any, ask grpc.UnaryHandler) (any, error) {
	switch c := call.(type) {
	case *workflowservice.PollWorkflowTaskQueueRequest:
		return x.polled(ctx, c.GetTaskQueue(), &workflowservice.PollWorkflowTaskQueueResponse{}, call, ask)
	case *workflowservice.PollActivityTaskQueueRequest:
		return x.polled(ctx, c.GetTaskQueue(), &workflowservice.PollActivityTaskQueueResponse{}, call, ask)
	case *workflowservice.RespondWorkflowTaskCompletedRequest:
		ctx = context.WithoutCancel(ctx) // what was sent arrives, however late it is
	}
	return ask(ctx, call)
}

// polled has a task looked for, and finds nothing when the valve is shut meanwhile.
func (x *exchange) polled(ctx context.Context, q *taskqueue.TaskQueue, nothing, call any, ask grpc.UnaryHandler) (any, error) {
	valves := map[string]*valve{ltp.OrderQueue: x.orders, ltp.ControlQueue: x.control}
	v := valves[cmp.Or(q.GetNormalName(), q.GetName())]
	if v == nil {
		return ask(ctx, call)
	}
	polling, done, err := v.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	answer, err := ask(polling, call)
	if err != nil && polling.Err() != nil && ctx.Err() == nil {
		return nothing, nil
	}
	return answer, err
}

// operators answers what an order node asks before it starts.
type operators struct {
	operatorservice.UnimplementedOperatorServiceServer
	to operatorservice.OperatorServiceClient
}

func (o operators) ListSearchAttributes(ctx context.Context, r *operatorservice.ListSearchAttributesRequest) (*operatorservice.ListSearchAttributesResponse, error) {
	return o.to.ListSearchAttributes(ctx, r)
}

// moment is a point in a process's life that a test waits for. Whoever reaches it
// stays there.
type moment struct {
	once    sync.Once
	reached chan struct{}
}

func newMoment() *moment { return &moment{reached: make(chan struct{})} }

// stay says that the moment has come, and returns when the caller has gone.
func (m *moment) stay(ctx context.Context) (any, error) {
	m.come()
	<-ctx.Done()
	return nil, ctx.Err()
}

// come says that the moment has come.
func (m *moment) come() { m.once.Do(func() { close(m.reached) }) }

// await waits for the moment.
func (m *moment) await(t *testing.T) {
	t.Helper()
	select {
	case <-m.reached:
	case <-time.After(patience):
		require.FailNow(t, "the moment has not come")
	}
}

// turnstile lets so many releases of orders through, and holds up the others. Several
// engines go through one, since any of them may be the one that releases next.
type turnstile struct {
	mu      sync.Mutex
	left    int
	passed  int
	opened  bool
	free    map[*engine]bool // who need not wait
	held    map[*engine]int  // how many releases of whom are held up
	changed chan struct{}
}

func newTurnstile() *turnstile {
	return &turnstile{free: map[*engine]bool{}, held: map[*engine]int{}, changed: make(chan struct{})}
}

// allow lets n more through.
func (s *turnstile) allow(n int) { s.set(func() { s.left += n }) }

// open lets all through.
func (s *turnstile) open() { s.set(func() { s.opened = true }) }

// let lets all of one engine through.
func (s *turnstile) let(e *engine) { s.set(func() { s.free[e] = true }) }

func (s *turnstile) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	close(s.changed)
	s.changed = make(chan struct{})
}

// enter waits for its turn, or until ctx ends.
func (s *turnstile) enter(ctx context.Context, e *engine) error {
	s.set(func() { s.held[e]++ })
	defer s.set(func() { s.held[e]-- })
	for {
		s.mu.Lock()
		pass, changed := s.opened || s.free[e] || s.left > 0, s.changed
		if pass && !s.free[e] {
			s.left, s.passed = s.left-1, s.passed+1
		}
		s.mu.Unlock()
		if pass {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// await waits until so many have passed and somebody who fits is held up, and returns
// who.
func (s *turnstile) await(t *testing.T, passed int, fits func(*engine) bool) (who *engine) {
	t.Helper()
	timeout := time.After(patience)
	for {
		s.mu.Lock()
		for e, n := range s.held {
			if n > 0 && s.passed >= passed && fits(e) {
				who = e
			}
		}
		now, changed := s.passed, s.changed
		s.mu.Unlock()
		if who != nil {
			return who
		}
		select {
		case <-changed:
		case <-timeout:
			require.FailNowf(t, "nobody comes", "%d have passed, and %d should", now, passed)
		}
	}
}
