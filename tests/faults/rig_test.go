// Package faults breaks the order node on purpose: a real Temporal server, real
// worker, API and observer processes of the ltp binary, a real order database, and
// faults that are made by a handle on what is broken. README.md lists which test
// covers which fault.
package faults

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	_ "modernc.org/sqlite"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/internal/embedded"
	"github.com/ltp-node/ltp/orderdb"
	"github.com/ltp-node/ltp/payload"
	"github.com/ltp-node/ltp/starter"
	"github.com/ltp-node/ltp/tests/child"
	"github.com/ltp-node/ltp/trace"
)

// rig is an order node of several processes, on a Temporal server of its own.
type rig struct {
	t       *testing.T
	ctx     context.Context
	dir     string
	orders  string // the order database
	options embedded.Options
	server  *embedded.Server
	address string // of Temporal, whichever server it is
	client  client.Client
	start   *starter.Starter
	seen    *board.Board // what Temporal says of the component
}

// newRig starts Temporal on a directory of the test, and makes an order database
// there unless the test names one.
func newRig(t *testing.T, orders string, change ...func(*embedded.Options)) *rig {
	t.Helper()
	r := &rig{t: t, ctx: t.Context(), dir: t.TempDir(), orders: orders}
	if orders == "" {
		r.orders = filepath.Join(r.dir, "orders.db")
	}
	silent := log.NewStructuredLogger(slog.New(slog.DiscardHandler))
	r.options = embedded.Options{
		StateDir: r.dir, SearchAttributes: starter.SearchAttributes(),
		Progress: func(s embedded.Step) { t.Log(s) }, Client: client.Options{Logger: silent},
	}
	payload.Connect(&r.options.Client, nil)
	for _, f := range change {
		f(&r.options)
	}
	r.serve()
	t.Cleanup(func() { _ = r.server.Stop() })
	r.address = r.server.Address()
	options := client.Options{HostPort: r.address, Namespace: r.server.Namespace(), Logger: silent}
	payload.Connect(&options, nil)
	c, err := client.Dial(options)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	r.client, r.start = c, starter.New(c)
	db, err := orderdb.Open(r.ctx, r.orders)
	require.NoError(t, err)
	require.NoError(t, db.Migrate(r.ctx))
	require.NoError(t, db.Close())
	r.seen = board.New(c, []string{ltp.DefaultComponent}, slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { r.seen.Run(ctx) })
	t.Cleanup(func() { stop(); done.Wait() })
	return r
}

// serve starts Temporal on the rig's data, the second time at the same address.
func (r *rig) serve() {
	r.t.Helper()
	var err error
	r.server, err = embedded.Start(r.ctx, r.options)
	require.NoError(r.t, err)
	at, err := url.Parse("//" + r.server.Address())
	require.NoError(r.t, err)
	r.options.Port, err = strconv.Atoi(at.Port())
	require.NoError(r.t, err)
}

// killServer ends Temporal where it is.
func (r *rig) killServer() {
	r.t.Helper()
	p, err := os.FindProcess(r.server.PID())
	require.NoError(r.t, err)
	require.NoError(r.t, p.Kill())
	<-r.server.Done()
	_ = r.server.Stop() // it says that the server was killed
}

// ltp starts an ltp command against a Temporal, and waits until it runs.
func (r *rig) ltp(address string, args ...string) *process {
	r.t.Helper()
	env := child.Environment(r.t, "TEMPORAL_ADDRESS="+address, "TEMPORAL_NAMESPACE="+r.server.Namespace())
	p := launch(r.t, env, built, args...)
	p.Says(&p.Stderr, `runs on Temporal namespace`)
	return p
}

// policy are thresholds that make an incident of seconds; outages follow each other
// here, and should not be waited for longer each time.
var policy = []string{"--dwell", "300ms", "--max-dwell", "1s", "--flap-window", "1s", "--grace", "3s"}

// worker starts a worker process that reaches Temporal at an address.
func (r *rig) worker(address string, more ...string) *process {
	r.t.Helper()
	return r.workerOn(address, r.orders, more...)
}

// workerOn starts one that reaches the order database by a URL.
func (r *rig) workerOn(address, orders string, more ...string) *process {
	r.t.Helper()
	return r.ltp(address, slices.Concat([]string{"worker", "--orders-db", orders}, policy, more)...)
}

// observer starts an observer process that reaches the order database by a URL.
func (r *rig) observer(orders string) *process {
	r.t.Helper()
	return r.ltp(r.address, append([]string{
		"observe", "--orders-db", orders, "--interval", "50ms", "--unfit-latency", "2s", "--fit-latency", "1500ms",
		"--slow-latency", "1400ms", "--slow-exit", "1s",
	}, policy...)...)
}

// api starts an API process that listens at an address, and returns its URL.
func (r *rig) api(temporal, listen string) (p *process, url string) {
	r.t.Helper()
	p = r.ltp(temporal, "api", "--api", listen, "--admin", "")
	return p, p.Says(&p.Stderr, `Order API: (http://\S+)`)[1]
}

// until waits for a state that was published, and not merely concluded from not
// seeing anything.
func (r *rig) until(s ltp.State) board.Reading {
	r.t.Helper()
	return r.untilFits(fmt.Sprint(s), func(now board.Reading) bool { return now.State == s && !now.Blind })
}

func (r *rig) untilFits(what string, fits func(board.Reading) bool) board.Reading {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, patience)
	defer cancel()
	now, err := r.seen.Wait(ctx, ltp.DefaultComponent, fits)
	require.NoErrorf(r.t, err, "waiting for %s: it is %+v", what, r.seen.Orientation(ltp.DefaultComponent))
	return now
}

// outage stops the order database's writes until the returned function is called.
func (r *rig) outage() (end func()) {
	r.t.Helper()
	db, err := sql.Open("sqlite", "file:"+r.orders+"?_pragma=busy_timeout(10000)")
	require.NoError(r.t, err)
	conn, err := db.Conn(r.ctx)
	require.NoError(r.t, err)
	_, err = conn.ExecContext(r.ctx, "BEGIN EXCLUSIVE")
	require.NoError(r.t, err)
	end = sync.OnceFunc(func() {
		_, err := conn.ExecContext(context.Background(), "ROLLBACK")
		assert.NoError(r.t, err, "end the outage")
		_ = conn.Close()
		_ = db.Close()
	})
	r.t.Cleanup(end)
	return end
}

// freeze freezes a process while it does not hold the lock of an SQLite order database,
// which it would hold for as long as it is frozen: that is another fault.
func (r *rig) freeze(p *process) {
	r.t.Helper()
	end := r.outage()
	defer end()
	p.Freeze()
}

// operator sends an Update of an operator.
func (r *rig) operator(update string, arg any) error {
	ctx, cancel := context.WithTimeout(r.ctx, time.Minute)
	defer cancel()
	return board.SendUpdate(ctx, r.client, ltp.DefaultComponent, update, arg, nil)
}

func (r *rig) hold(why string) {
	r.t.Helper()
	require.NoError(r.t, r.operator(ltp.HoldUpdate, ltp.Hold{By: "ann", Why: why}))
}

func (r *rig) release() {
	r.t.Helper()
	require.NoError(r.t, r.operator(ltp.ReleaseUpdate, ltp.Release{By: "bob", Why: "done"}))
}

func order(id string) ltp.Order {
	return ltp.Order{ID: id, Customer: "c-17", Currency: "USD", Lines: []ltp.Line{{SKU: "book", Quantity: 2, UnitAmountMinor: 6000}}}
}

// submit accepts an order or fails the test.
func (r *rig) submit(id string) {
	r.t.Helper()
	_, err := r.start.Submit(r.ctx, order(id))
	require.NoError(r.t, err)
}

// defers submits n orders while the component is unfit, and returns when the
// visibility store shows that all wait.
func (r *rig) defers(prefix string, n int) (ids []string) {
	r.t.Helper()
	for i := range n {
		id := fmt.Sprintf("%s-%03d", prefix, i)
		r.submit(id)
		ids = append(ids, id)
	}
	r.eventually("all orders are deferred", func() bool {
		listed, err := r.start.Count(r.ctx, ltp.Deferred)
		return err == nil && listed >= int64(n)
	})
	return ids
}

// eventually looks until it is so.
func (r *rig) eventually(what string, so func() bool) {
	r.t.Helper()
	require.Eventually(r.t, so, patience, look, what)
}

// awaitEvent waits until a workflow's history holds an event of a type.
func (r *rig) awaitEvent(workflowID string, kind enumspb.EventType) {
	r.t.Helper()
	r.eventually(fmt.Sprintf("%s of %s", kind, workflowID), func() bool {
		events := r.client.GetWorkflowHistory(r.ctx, workflowID, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for events.HasNext() {
			if e, err := events.Next(); err != nil || e.GetEventType() == kind {
				return err == nil
			}
		}
		return false
	})
}

// awaitActivity waits until an activity of a workflow is under way.
func (r *rig) awaitActivity(workflowID string, fits func(*workflowpb.PendingActivityInfo) bool) {
	r.t.Helper()
	r.eventually("an activity of "+workflowID+" is under way", func() bool {
		d, err := r.client.DescribeWorkflowExecution(r.ctx, workflowID, "")
		if err != nil {
			return false
		}
		for _, a := range d.GetPendingActivities() {
			if a.GetState() == enumspb.PENDING_ACTIVITY_STATE_STARTED && fits(a) {
				return true
			}
		}
		return false
	})
}

// execution names the workflow of an order.
func execution(id string) *commonpb.WorkflowExecution {
	return &commonpb.WorkflowExecution{WorkflowId: ltp.OrderWorkflowID(id)}
}

func (r *rig) reader() *trace.Reader { return trace.NewReader(r.client, r.server.Namespace()) }

// status is where an order is.
func (r *rig) status(id string) starter.Status {
	r.t.Helper()
	st, err := r.start.Get(r.ctx, id)
	require.NoError(r.t, err)
	return st
}

// ended waits until an order has ended.
func (r *rig) ended(id string) (st starter.Status) {
	r.t.Helper()
	r.eventually(id+" has ended", func() (done bool) {
		var err error
		st, err = r.start.Get(r.ctx, id)
		return err == nil && st.State.Final()
	})
	return st
}
