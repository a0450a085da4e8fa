package activities_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ltp-node/ltp"
)

// waiting is a deferred order, and how the visibility store lags behind it.
type waiting struct {
	id      string
	started time.Time
	under   int64 // the epoch that it was deferred under
	of      string

	shown  time.Time     // from when it is listed
	lag    time.Duration // for how long it is listed after it has ended
	works  time.Duration // how long it takes to end once it is signalled
	stuck  bool          // it never ends
	refuse int           // how many signals fail before one arrives

	ends time.Time // zero until it is signalled, unless it ends otherwise
}

func (w *waiting) ended() bool {
	return !w.stuck && !w.ends.IsZero() && !time.Now().Before(w.ends)
}

func (w *waiting) listed() bool {
	return !time.Now().Before(w.shown) && (!w.ended() || time.Now().Before(w.ends.Add(w.lag)))
}

// sent is a signal that arrived.
type sent struct {
	order string
	at    time.Time
	said  ltp.Stability
}

// namespace is as much of Temporal as a release asks: orders, the visibility store
// that shows them late, and their signals.
type namespace struct {
	client.Client
	mu      sync.Mutex
	orders  map[string]*waiting
	signals []sent
	refused int
	listed  int // how many orders ListWorkflow has returned
	// signalling is called, if set, before the nth signal arrives; it may take a while.
	signalling func(n int)
	begun      int
	broken     error // what the visibility store answers
}

func newNamespace() *namespace { return &namespace{orders: map[string]*waiting{}} }

// add adds orders that were deferred by the component under epoch 4, a second apart.
func (n *namespace) add(count int, change ...func(i int, w *waiting)) {
	for i := range count {
		w := &waiting{started: time.Now().Add(time.Duration(i-count) * time.Second), under: 4, of: db, works: time.Millisecond}
		for _, c := range change {
			c(i, w)
		}
		if w.id == "" {
			w.id = fmt.Sprintf("order/%05d", len(n.orders))
		}
		n.orders[w.id] = w
	}
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
	all := make([]*waiting, 0, len(n.orders))
	for _, w := range n.orders {
		all = append(all, w)
	}
	slices.SortFunc(all, func(x, y *waiting) int { return cmp.Or(x.started.Compare(y.started), cmp.Compare(x.id, y.id)) })
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
		return serviceerror.NewNotFound("workflow execution already completed")
	case w.refuse > 0:
		w.refuse--
		n.refused++
		return serviceerror.NewResourceExhausted(0, "namespace rate limit exceeded")
	}
	n.signals = append(n.signals, sent{id, time.Now(), arg.(ltp.Stability)})
	if w.ends.IsZero() {
		w.ends = time.Now().Add(w.works)
	}
	return nil
}

var (
	backlogQuery = regexp.MustCompile(`^WorkflowType='Order' AND ExecutionStatus='Running' AND LtpState='DEFERRED' AND LtpComponent='([^']*)' AND LtpEpoch<(\d+)(.*)$`)
	sliceQuery   = regexp.MustCompile(`^ AND StartTime>='([^']*)' AND StartTime<'([^']*)'$`)
)

// find answers a query as the visibility store does at this moment: newest first.
func (n *namespace) find(query string) ([]*waiting, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.broken != nil {
		return nil, n.broken
	}
	q := backlogQuery.FindStringSubmatch(query)
	if q == nil {
		return nil, fmt.Errorf("invalid query: %s", query)
	}
	before, err := strconv.ParseInt(q[2], 10, 64)
	from, to := time.Time{}, time.Now().Add(1000*time.Hour)
	if slice := sliceQuery.FindStringSubmatch(q[3]); slice != nil {
		var err1, err2 error
		from, err1 = time.Parse(time.RFC3339Nano, slice[1])
		to, err2 = time.Parse(time.RFC3339Nano, slice[2])
		err = errors.Join(err, err1, err2)
	} else if q[3] != "" {
		err = errors.Join(err, fmt.Errorf("invalid query: %s", query))
	}
	var found []*waiting
	for _, w := range n.orders {
		if w.of == q[1] && w.under < before && !w.started.Before(from) && w.started.Before(to) && w.listed() {
			found = append(found, w)
		}
	}
	slices.SortFunc(found, func(x, y *waiting) int { return cmp.Or(y.started.Compare(x.started), cmp.Compare(y.id, x.id)) })
	return found, err
}

func (n *namespace) CountWorkflow(_ context.Context, r *workflowservice.CountWorkflowExecutionsRequest) (*workflowservice.CountWorkflowExecutionsResponse, error) {
	found, err := n.find(r.GetQuery())
	return &workflowservice.CountWorkflowExecutionsResponse{Count: int64(len(found))}, err
}

func (n *namespace) ListWorkflow(_ context.Context, r *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error) {
	found, err := n.find(r.GetQuery())
	if err != nil {
		return nil, err
	}
	first := 0
	if token := string(r.GetNextPageToken()); token != "" {
		// The page goes on after the last order of the page before it.
		first = slices.IndexFunc(found, func(w *waiting) bool { return place(w) < token })
		if first < 0 {
			first = len(found)
		}
	}
	page := found[first:min(first+int(r.GetPageSize()), len(found))]
	n.mu.Lock()
	n.listed += len(page)
	n.mu.Unlock()
	answer := &workflowservice.ListWorkflowExecutionsResponse{}
	for _, w := range page {
		answer.Executions = append(answer.Executions, &workflowpb.WorkflowExecutionInfo{
			Execution: &commonpb.WorkflowExecution{WorkflowId: w.id}, StartTime: timestamppb.New(w.started),
		})
	}
	if first+len(page) < len(found) {
		answer.NextPageToken = []byte(place(page[len(page)-1]))
	}
	return answer, nil
}

// place sorts as the store lists.
func place(w *waiting) string {
	return w.started.UTC().Format("2006-01-02T15:04:05.000000000") + w.id
}

func (n *namespace) GetWorkflow(_ context.Context, id, run string) client.WorkflowRun {
	if run != "" {
		panic("asked for run " + run)
	}
	return &orderRun{namespace: n, order: n.orders[id]}
}

// orderRun waits for the end of an order.
type orderRun struct {
	client.WorkflowRun
	namespace *namespace
	order     *waiting
}

func (r *orderRun) Get(ctx context.Context, _ any) error {
	for {
		r.namespace.mu.Lock()
		ended, wait := r.order.ended(), 50*time.Millisecond
		if !r.order.ends.IsZero() && !r.order.stuck {
			wait = time.Until(r.order.ends)
		}
		r.namespace.mu.Unlock()
		if ended {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}
