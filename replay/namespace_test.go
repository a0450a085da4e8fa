package replay_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"github.com/ltp-node/ltp"
)

// waiting is a deferred order, and how the visibility store lags behind it.
type waiting struct {
	id       string
	started  time.Time
	under    int64 // the epoch that it was deferred under
	of       string
	tenant   string
	priority *int

	shown    time.Time        // from when it is listed
	lag      time.Duration    // for how long it is listed after it has ended
	works    time.Duration    // how long it takes to end once it is released
	write    time.Duration    // how long its write takes, where it differs
	stuck    bool             // it never ends, nor answers
	fails    bool             // its execution finds the component unavailable: it is deferred again
	cause    ltp.FailureCause // whose fault that is found to be
	inLine   bool             // it waits for another order
	answer   *ltp.Answer      // what it answers, where that is none of these
	refuse   int              // how many releases of it Temporal fails
	busy     int              // how many releases its validator refuses
	slowness time.Duration    // for how long its answer is under way
	lost     int              // how many releases of it are lost with a server
	closes   bool             // it ends before it answers
	found    bool             // its answer does not name when its write began
	state    ltp.OrderState

	ends time.Time // zero until it is released, unless it ends otherwise
}

func (w *waiting) waits() bool { return w.stuck || w.inLine || w.fails || w.answer != nil }

func (w *waiting) ended() bool { return !w.waits() && !w.ends.IsZero() && !time.Now().Before(w.ends) }

func (w *waiting) listed() bool {
	return !time.Now().Before(w.shown) && (!w.ended() || time.Now().Before(w.ends.Add(w.lag)))
}

// taken is a release that an order took.
type taken struct {
	order string
	at    time.Time
	said  ltp.Stability
}

// namespace is as much of Temporal as a release asks: orders, the visibility store
// that shows them late, Updates to them, and heartbeats.
type namespace struct {
	client.Client
	mu sync.Mutex
	store
	orders map[string]*waiting
	taken  []taken
	gone   int // releases of orders that had ended
	failed int // releases that Temporal failed
	busy   int // releases that validators refused
	onWay  int // releases without an answer
	most   int // the most of them at once
	// releasing is called, if set, before the nth release arrives; it may take a while.
	releasing func(n int)
	begun     int
	reports   []ltp.ReleaseReport
	answers   func() error // what a heartbeat is answered, if set; it may take a while
	away      func() bool  // if set, whether Temporal cannot be reached
	failing   []ltp.FailedWrites
	onFailing func() // what the Orientation does when failed writes are reported
}

// SignalWorkflow reports failed writes to an Orientation.
func (n *namespace) SignalWorkflow(_ context.Context, id, _, name string, arg any) error {
	report, ok := arg.(ltp.FailedWrites)
	if !ok || name != ltp.FailingSignal || id != ltp.OrientationWorkflowID(db) {
		return fmt.Errorf("signal %s to %s", name, id)
	}
	n.mu.Lock()
	n.failing = append(n.failing, report)
	n.mu.Unlock()
	if n.onFailing != nil {
		n.onFailing()
	}
	return nil
}

func newNamespace() *namespace { return &namespace{orders: map[string]*waiting{}} }

// add adds orders that were deferred by the component under epoch 4, a second apart.
func (n *namespace) add(count int, change ...func(i int, w *waiting)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range count {
		w := &waiting{
			started: time.Now().Add(time.Duration(i-count) * time.Second), under: 4, of: db,
			works: time.Millisecond, state: ltp.Executed,
		}
		for _, c := range change {
			c(i, w)
		}
		if w.id == "" {
			w.id = ltp.OrderWorkflowID(ltp.FullID(w.tenant, fmt.Sprintf("%05d", len(n.orders))))
		}
		n.orders[w.id] = w
	}
}

func ofClass(priority int) func(int, *waiting) {
	return func(_ int, w *waiting) { w.priority = &priority }
}

// released are the orders in the order of their releases.
func (n *namespace) released() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	ids := make([]string, len(n.taken))
	for i, t := range n.taken {
		ids[i] = t.order
	}
	return ids
}

// oldestFirst are all orders in the order in which they were started.
func (n *namespace) oldestFirst() []string {
	return n.sorted(func(x, y *waiting) int { return cmp.Or(x.started.Compare(y.started), cmp.Compare(x.id, y.id)) })
}

func (n *namespace) sorted(by func(x, y *waiting) int) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := make([]*waiting, 0, len(n.orders))
	for _, w := range n.orders {
		all = append(all, w)
	}
	slices.SortFunc(all, by)
	ids := make([]string, len(all))
	for i, w := range all {
		ids[i] = w.id
	}
	return ids
}

// UpdateWorkflow releases an order and waits for its answer, as the SDK does: an Update
// that its caller does not await any longer is carried out all the same.
func (n *namespace) UpdateWorkflow(ctx context.Context, u client.UpdateWorkflowOptions) (client.WorkflowUpdateHandle, error) {
	if u.RunID != "" || u.UpdateName != ltp.StabilityUpdate || u.WaitForStage != client.WorkflowUpdateStageCompleted {
		return nil, fmt.Errorf("update %+v", u)
	}
	n.mu.Lock()
	n.begun++
	n.onWay++
	n.most = max(n.most, n.onWay)
	nth := n.begun
	n.mu.Unlock()
	defer n.change(func() { n.onWay-- })
	if n.releasing != nil {
		n.releasing(nth)
	}
	for n.away != nil && n.away() && ctx.Err() == nil {
		time.Sleep(50 * time.Millisecond)
	}
	if ctx.Err() != nil {
		return nil, client.NewWorkflowUpdateServiceTimeoutOrCanceledError(ctx.Err())
	}
	w, until, err := n.take(u.WorkflowID, u.Args[0].(ltp.Stability))
	if err != nil {
		if refusal := new(temporal.ApplicationError); errors.As(err, &refusal) {
			return handle{err: err}, nil
		}
		return nil, err
	}
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil, client.NewWorkflowUpdateServiceTimeoutOrCanceledError(ctx.Err())
	case <-timer.C:
		if w.closes {
			return handle{err: temporal.NewNonRetryableApplicationError("the Workflow completed before the Update", "AcceptedUpdateCompletedWorkflow", nil)}, nil
		}
		return handle{answer: n.answer(w)}, nil
	}
}

// take has an order take a release, and returns when it answers.
func (n *namespace) take(id string, said ltp.Stability) (*waiting, time.Time, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	w := n.orders[id]
	switch {
	case w == nil || w.ended():
		n.gone++
		return nil, time.Time{}, serviceerror.NewNotFound("workflow execution already completed")
	case w.refuse > 0:
		w.refuse--
		n.failed++
		return nil, time.Time{}, serviceerror.NewResourceExhausted(0, "namespace rate limit exceeded")
	case w.lost > 0:
		w.lost--
		return w, time.Now().Add(1000 * time.Hour), nil
	case w.busy > 0 || !w.ends.IsZero():
		w.busy = max(w.busy-1, 0)
		n.busy++
		return nil, time.Time{}, temporal.NewApplicationError("the order does not wait", "refused")
	}
	n.taken = append(n.taken, taken{id, time.Now(), said})
	w.ends = time.Now().Add(w.works)
	if w.stuck {
		return w, w.ends.Add(1000 * time.Hour), nil
	}
	return w, w.ends.Add(w.slowness), nil
}

// answer is what an order answers that was released.
func (n *namespace) answer(w *waiting) ltp.Answer {
	n.mu.Lock()
	defer n.mu.Unlock()
	a := ltp.Answer{State: w.state, Result: ltp.ResultExecuted, BegunAt: w.ends.Add(-cmp.Or(w.write, w.works)), EndedAt: w.ends}
	if w.found {
		a.BegunAt = time.Time{}
	}
	again := func(r ltp.Reason, result ltp.Result) {
		a.State, a.Wait, a.Result = ltp.Deferred, ltp.Wait{Component: w.of, Epoch: 5, Reason: r}, result
	}
	switch {
	case w.answer != nil:
		return *w.answer
	case w.fails:
		w.under = 5
		again(ltp.ReasonExecuteUnavailable, ltp.ResultUnavailable)
		a.Cause, a.Error, a.Code = w.cause, "permission denied for table orders", "42501"
	case w.inLine:
		again(ltp.ReasonAwaitsTurn, ltp.ResultNotBegun)
	case w.state == ltp.Rejected:
		a.Result = ltp.ResultRefused
	}
	return a
}

// handle is that of an Update which was answered, or refused.
type handle struct {
	client.WorkflowUpdateHandle
	answer ltp.Answer
	err    error
}

func (h handle) Get(_ context.Context, into any) error {
	if h.err == nil {
		*into.(*ltp.Answer) = h.answer
	}
	return h.err
}

// RecordActivityHeartbeat takes a heartbeat whose answer is waited for.
func (n *namespace) RecordActivityHeartbeat(ctx context.Context, _ []byte, details ...any) error {
	n.mu.Lock()
	answers := n.answers
	n.mu.Unlock()
	if answers != nil {
		if err := answers(); err != nil {
			return err
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.reports = append(n.reports, details[0].(ltp.ReleaseReport))
	return ctx.Err()
}

// heartbeat is the latest heartbeat.
func (n *namespace) heartbeat() ltp.ReleaseReport {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.reports) == 0 {
		return ltp.ReleaseReport{}
	}
	return n.reports[len(n.reports)-1]
}

func payload(value any) *commonpb.Payload {
	p, err := converter.GetDefaultDataConverter().ToPayload(value)
	if err != nil {
		panic(err)
	}
	return p
}
