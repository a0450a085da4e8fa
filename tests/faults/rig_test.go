// Package faults breaks the order node on purpose: a real Temporal server, real
// worker, API and observer processes of the ltp binary, a real order database, and
// faults that are made by a handle on what is broken. README.md lists which test
// covers which fault.
package faults

import (
	"fmt"
	"slices"
	"testing"

	commonpb "go.temporal.io/api/common/v1"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/internal/embedded"
	"github.com/ltp-node/ltp/tests/harness"
)

// rig is an order node of several processes, on a Temporal server of its own.
type rig struct {
	*harness.Rig
	seen *board.Board // what Temporal says of the component
}

// newRig starts Temporal on a directory of the test, and makes an order database
// there unless the test names one.
func newRig(t *testing.T, orders string, change ...func(*embedded.Options)) *rig {
	t.Helper()
	r := harness.New(t, harness.Patience{Step: patience, State: patience}, orders, change...)
	return &rig{r, r.Watch()}
}

// policy are thresholds that make an incident of seconds; outages follow each other
// here, and should not be waited for longer each time.
var policy = []string{"--dwell", "300ms", "--max-dwell", "1s", "--flap-window", "1s", "--grace", "3s"}

// worker starts a worker process that reaches Temporal at an address.
func (r *rig) worker(address string, more ...string) *process {
	r.T.Helper()
	return r.workerOn(address, r.Orders, more...)
}

// workerOn starts one that reaches the order database by a URL.
func (r *rig) workerOn(address, orders string, more ...string) *process {
	r.T.Helper()
	return r.LTP(address, slices.Concat([]string{"worker", "--orders-db", orders}, policy, more)...)
}

// observer starts an observer process that reaches the order database by a URL.
func (r *rig) observer(orders string) *process {
	r.T.Helper()
	return r.LTP(r.Address, slices.Concat([]string{"observe", "--orders-db", orders}, harness.ObserverFlags(), policy)...)
}

// api starts an API process that listens at an address, and returns its URL.
func (r *rig) api(temporal, listen string) (p *process, url string) {
	r.T.Helper()
	p = r.LTP(temporal, "api", "--api", listen, "--admin", "")
	return p, p.Says(&p.Stderr, `Order API: (http://\S+)`)[1]
}

// freeze freezes a process while it does not hold the lock of an SQLite order database,
// which it would hold for as long as it is frozen: that is another fault.
func (r *rig) freeze(p *process) {
	r.T.Helper()
	end := r.Outage()
	defer end()
	p.Freeze()
}

// defers submits n orders while the component is unfit, and returns when the
// visibility store shows that all wait.
func (r *rig) defers(prefix string, n int) (ids []string) {
	r.T.Helper()
	for i := range n {
		id := fmt.Sprintf("%s-%03d", prefix, i)
		r.Submit(id)
		ids = append(ids, id)
	}
	r.Eventually("all orders are deferred", func() bool {
		listed, err := r.Start.Count(r.Ctx, ltp.Deferred)
		return err == nil && listed >= int64(n)
	})
	return ids
}

// execution names the workflow of an order.
func execution(id string) *commonpb.WorkflowExecution {
	return &commonpb.WorkflowExecution{WorkflowId: ltp.OrderWorkflowID(id)}
}
