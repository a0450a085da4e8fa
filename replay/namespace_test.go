package replay_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/replay"
)

// waiting is a deferred order, and how the visibility store lags behind it.
type waiting struct {
	id       string
	started  time.Time
	under    int64 // the epoch that it was deferred under
	of       string
	priority *int

	shown  time.Time     // from when it is listed
	lag    time.Duration // for how long it is listed after it has ended
	works  time.Duration // how long it takes to end once it is signalled
	write  time.Duration // how long its write takes, where it differs
	stuck  bool          // it never ends
	fails  bool          // its execution finds the component unavailable: it is deferred again
	inLine bool          // it waits for another order
	refuse int           // how many signals fail before one arrives
	state  ltp.OrderState

	ends time.Time // zero until it is signalled, unless it ends otherwise
}

func (w *waiting) ended() bool {
	return !w.stuck && !w.inLine && !w.fails && !w.ends.IsZero() && !time.Now().Before(w.ends)
}

func (w *waiting) listed() bool {
	return !time.Now().Before(w.shown) && (!w.ended() || time.Now().Before(w.ends.Add(w.lag)))
}

// arrived is a signal that arrived.
type arrived struct {
	order string
	at    time.Time
	said  ltp.Stability
}

// namespace is as much of Temporal as a release asks: orders, the visibility store
// that shows them late, their signals, and heartbeats.
type namespace struct {
	client.Client
	mu sync.Mutex
	store
	orders  map[string]*waiting
	signals []arrived
	gone    int // signals to orders that had ended
	refused int
	// signalling is called, if set, before the nth signal arrives; it may take a while.
	signalling func(n int)
	begun      int
	beats      []replay.ReleaseReport
	beating    func() error // what a heartbeat is answered, if set; it may take a while
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
			w.id = fmt.Sprintf("order/%05d", len(n.orders))
		}
		n.orders[w.id] = w
	}
}

func ofClass(priority int) func(int, *waiting) {
	return func(_ int, w *waiting) { w.priority = &priority }
}

// released are the orders in the order of their signals.
func (n *namespace) released() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	ids := make([]string, len(n.signals))
	for i, s := range n.signals {
		ids[i] = s.order
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

func (n *namespace) SignalWorkflow(ctx context.Context, id, run, signal string, arg any) error {
	if run != "" || signal != ltp.StabilitySignal {
		return fmt.Errorf("signal %s to run %q of %s", signal, run, id)
	}
	n.mu.Lock()
	n.begun++
	nth := n.begun
	n.mu.Unlock()
	if n.signalling != nil {
		n.signalling(nth)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	w := n.orders[id]
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case w == nil || w.ended():
		n.gone++
		return serviceerror.NewNotFound("workflow execution already completed")
	case w.refuse > 0:
		w.refuse--
		n.refused++
		return serviceerror.NewResourceExhausted(0, "namespace rate limit exceeded")
	}
	said := arg.(ltp.Stability)
	n.signals = append(n.signals, arrived{id, time.Now(), said})
	if w.fails {
		w.under = said.Epoch
	}
	if w.ends.IsZero() {
		w.ends = time.Now().Add(w.works)
	}
	return nil
}

// RecordActivityHeartbeat takes a heartbeat whose answer is waited for.
func (n *namespace) RecordActivityHeartbeat(ctx context.Context, _ []byte, details ...any) error {
	n.mu.Lock()
	beating := n.beating
	n.mu.Unlock()
	if beating != nil {
		if err := beating(); err != nil {
			return err
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.beats = append(n.beats, details[0].(replay.ReleaseReport))
	return ctx.Err()
}

// beat is the latest heartbeat.
func (n *namespace) beat() replay.ReleaseReport {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.beats) == 0 {
		return replay.ReleaseReport{}
	}
	return n.beats[len(n.beats)-1]
}

func (n *namespace) DescribeWorkflowExecution(_ context.Context, id, _ string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	w := n.orders[id]
	d := &workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{
		Status: enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, SearchAttributes: w.attributes(),
	}}
	switch {
	case w.ended():
		d.WorkflowExecutionInfo.Status = enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED
	case !w.ends.IsZero() && !w.inLine && !w.fails:
		d.PendingActivities = []*workflowpb.PendingActivityInfo{{}}
	}
	return d, nil
}

func payload(value any) *commonpb.Payload {
	p, err := converter.GetDefaultDataConverter().ToPayload(value)
	if err != nil {
		panic(err)
	}
	return p
}

func (n *namespace) GetWorkflow(_ context.Context, id, run string) client.WorkflowRun {
	if run != "" {
		panic("asked for run " + run)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return &orderRun{namespace: n, order: n.orders[id]}
}

// orderRun waits for the end of an order.
type orderRun struct {
	client.WorkflowRun
	namespace *namespace
	order     *waiting
}

func (r *orderRun) Get(ctx context.Context, into any) error {
	for {
		r.namespace.mu.Lock()
		w, wait := r.order, 50*time.Millisecond
		ended := w.ended()
		if !w.ends.IsZero() && !w.stuck && !w.inLine && !w.fails {
			wait = time.Until(w.ends)
		}
		outcome := ltp.Outcome{State: w.state}
		if write := cmp.Or(w.write, w.works); ended && w.state == ltp.Executed {
			outcome.Receipt = &ltp.Receipt{BegunAt: w.ends.Add(-write), CommittedAt: w.ends}
		}
		r.namespace.mu.Unlock()
		if ended {
			*into.(*ltp.Outcome) = outcome
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}
