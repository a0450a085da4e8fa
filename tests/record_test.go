package tests

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/proxy"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/internal/embedded"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/node"
	"github.com/ltp-node/ltp/starter"
	"github.com/ltp-node/ltp/tests/child"
	"github.com/ltp-node/ltp/trace"
	"github.com/ltp-node/ltp/worker"
)

var record = flag.Bool("record", false, "record histories for the replay tests of workflows, in place of those that are there")

// TestRecordHistories lets every way that a workflow can go happen for real, and keeps
// the histories. Record a history again only when no order of that time is left
// anywhere; add new ones beside the old. One recording is made with -run, as in
// -run 'TestRecordHistories/a_relapse'.
func TestRecordHistories(t *testing.T) {
	if !*record {
		t.Skip("records only with -record")
	}
	t.Run("an incident", recordIncident)
	t.Run("a relapse", recordRelapse)
	t.Run("a lost worker", recordLostWorker)
	t.Run("a lost observer", recordLostObserver)
	t.Run("two components", recordComponents)
	t.Run("a blind worker", recordBlindWorker)
	t.Run("a long life", recordLongLife)
	t.Run("a long hold", recordBackstop)
	t.Run("an activity of the user's", recordOwnActivity)
	t.Run("a bad order", recordParked)
	t.Run("a pass through a hold", recordPass)
	t.Run("a steered replay", recordSteering)
	t.Run("a slow replay", recordLeft)
	t.Run("a long life, steered", recordSteeredLongLife)
	t.Run("a cancellation", recordCancellation)
	t.Run("a signal by hand", recordSignal)
	t.Run("a new epoch", recordNewEpoch)
	t.Run("an order's long life", recordOrderContinues)
	t.Run("orders in line", recordLine)
	t.Run("a long line", recordLongLine)
	t.Run("webhooks", recordWebhooks)
}

func recordIncident(t *testing.T) {
	r := newRig(t, anonymous)
	r.exec(`CREATE TRIGGER no_anvils BEFORE INSERT ON orders WHEN NEW.body LIKE '%anvil%' BEGIN SELECT RAISE(ABORT, 'we sell no anvils'); END`)
	n := r.up(r.config())
	r.Until(n.Board, ltp.Stable)
	r.Submit("R1")
	r.Ended("R1")
	r.save("order-executed-at-once", ltp.OrderWorkflowID("R1"), "")
	r.Submit("R2", ordertest.Article("anvil", 2, 6000))
	r.Ended("R2")
	r.save("order-rejected", ltp.OrderWorkflowID("R2"), "")
	r.unavailable("R3")
	r.Ended("R3")
	r.save("order-execute-unavailable", ltp.OrderWorkflowID("R3"), "")

	end := r.Outage()
	recovery := r.Until(n.Board, ltp.Unstable).Epoch + 1
	r.Decided(r.Submit("R4"))
	r.Decided(r.Submit("R5"))
	r.Submit("R6", ordertest.Deadline(time.Now().Add(2*time.Second)))
	require.NoError(t, r.Start.Cancel(r.Ctx, "R5"))
	r.Ended("R5")
	r.save("order-cancelled", ltp.OrderWorkflowID("R5"), "")
	r.Ended("R6")
	r.save("order-expired", ltp.OrderWorkflowID("R6"), "")
	r.save("order-still-deferred", ltp.OrderWorkflowID("R4"), "")
	end()
	r.Ended("R4")
	r.save("order-deferred-and-replayed", ltp.OrderWorkflowID("R4"), "")
	replay := ltp.ReplayWorkflowID(ltp.DefaultComponent, recovery)
	require.NoError(t, r.Client.GetWorkflow(r.Ctx, replay, "").Get(r.Ctx, nil))
	r.save("replay-of-an-outage", replay, "")

	r.Until(n.Board, ltp.Stable)
	r.Hold("migration")
	r.Until(n.Board, ltp.Unstable)
	frozen := r.frozen(n)
	require.NoError(t, r.Operator(ltp.ReleaseUpdate, ltp.Release{By: "bob", Why: "done"}))
	r.Ended(frozen)
	r.save("order-frozen-and-released", ltp.OrderWorkflowID(frozen), "")
	r.Until(n.Board, ltp.Stable)
	orientation := ltp.OrientationWorkflowID(ltp.DefaultComponent)
	r.save("orientation-through-an-incident", orientation, "")
	require.NoError(t, r.Client.CancelWorkflow(r.Ctx, orientation, ""))
	_ = r.Client.GetWorkflow(r.Ctx, orientation, "").Get(r.Ctx, nil)
	r.save("orientation-cancelled", orientation, "")
}

func recordRelapse(t *testing.T) {
	r := newRig(t, anonymous)
	ids := r.relapse("R", 6)
	saved := 0
	for _, id := range ids {
		r.Ended(id)
		if saved == 0 && r.deferredTwice([]string{id}) {
			r.save("order-deferred-twice", ltp.OrderWorkflowID(id), "")
			saved++
		}
	}
	require.Equal(t, 1, saved)
	r.save("orientation-through-a-relapse", ltp.OrientationWorkflowID(ltp.DefaultComponent), "")
	overtaken := ltp.ReplayWorkflowID(ltp.DefaultComponent, r.epochOf(ltp.Recovering, 2))
	require.NoError(t, r.Client.GetWorkflow(r.Ctx, overtaken, "").Get(r.Ctx, nil))
	r.save("replay-overtaken", overtaken, "")
}

// recordLostWorker has a worker die after a write, twice: of the one order it is asked
// meanwhile that it be cancelled, and the other is executed again.
func recordLostWorker(t *testing.T) {
	r := newRig(t, anonymous)
	c := r.config()
	c.Worker = false
	r.up(c)
	for _, id := range []string{"lost-1", "lost-2"} { // of such orders the worker dies
		dying := launch(t, child.Environment(t, dyingWorker+"="+r.Server.Address(), "ORDERS="+r.Orders), os.Args[0])
		r.Submit(id)
		dying.Wait()
	}
	require.NoError(t, r.Start.Cancel(r.Ctx, "lost-1"))
	r.up(r.config())
	r.Ended("lost-1")
	r.save("order-worker-lost-after-its-write", ltp.OrderWorkflowID("lost-1"), "")
	r.Ended("lost-2")
	r.save("order-of-a-lost-task", ltp.OrderWorkflowID("lost-2"), "")
}

func recordLostObserver(t *testing.T) {
	r := newRig(t, anonymous)
	working, observing := r.config(), r.config()
	working.Observe, observing.Worker = false, false
	working.Policy.Grace = new(3 * time.Second)
	n, o := r.up(working), r.up(observing)
	r.Until(n.Board, ltp.Stable)
	o.Stop()
	r.Until(n.Board, ltp.Unknown)
	r.up(observing)
	r.Until(n.Board, ltp.Stable)
	r.save("orientation-observer-lost", ltp.OrientationWorkflowID(ltp.DefaultComponent), "")
}

func recordComponents(t *testing.T) {
	r := newRig(t, anonymous)
	n := r.upWithPayments()
	r.Until(n.Board, ltp.Stable)
	r.twoComponents(n, "R1")
	r.save("order-of-two-components", ltp.OrderWorkflowID("R1"), "")
	r.degraded(n, "R2", "R3")
	r.save("order-of-high-risk-while-degraded", ltp.OrderWorkflowID("R2"), "")
	r.save("orientation-degraded", ltp.OrientationWorkflowID(payments), "")
	settling := ltp.ReplayWorkflowID(payments, n.Board.Orientation(payments).Epoch)
	require.NoError(t, r.Client.GetWorkflow(r.Ctx, settling, "").Get(r.Ctx, nil))
	r.save("replay-without-a-drain", settling, "")
}

func recordBlindWorker(t *testing.T) {
	r := newRig(t, anonymous)
	n := r.up(r.config())
	r.Until(n.Board, ltp.Stable)
	r.blinded(n, "R1")
	r.AwaitEvent(ltp.OrderWorkflowID("R1"), func(e *historypb.HistoryEvent) bool {
		return e.GetEventType() == enumspb.EVENT_TYPE_TIMER_FIRED // it has looked again, in vain
	})
	require.NoError(t, worker.EnsureOrientation(r.Ctx, r.Client, ltp.DefaultComponent, quickPolicy()))
	r.Ended("R1")
	r.save("order-routed-blind", ltp.OrderWorkflowID("R1"), "")
	r.Until(n.Board, ltp.Stable)
	r.save("orientation-begun-again", ltp.OrientationWorkflowID(ltp.DefaultComponent), "")
}

func recordLongLife(t *testing.T) {
	r := newRig(t, anonymous, shortHistories)
	n := r.up(r.config())
	r.Until(n.Board, ltp.Stable)
	id, first := ltp.OrientationWorkflowID(ltp.DefaultComponent), r.orientationRun()
	r.outlive(n)
	history := r.History(id, first)
	second := history.Events[len(history.Events)-1].GetWorkflowExecutionContinuedAsNewEventAttributes().GetNewExecutionRunId()
	require.NotEmpty(t, second)
	r.save("orientation-continues-as-new", id, first)
	r.save("orientation-continued", id, second)
}

// recordBackstop has the backstop of an order fire while an operator holds.
func recordBackstop(t *testing.T) {
	r := newRig(t, anonymous)
	c := r.config()
	c.Backstop = ltp.Backstop{First: 10 * time.Second, Most: 30 * time.Minute}
	n := r.up(c)
	r.Until(n.Board, ltp.Stable)
	r.Hold("a long migration")
	r.Until(n.Board, ltp.Unstable)
	r.Decided(r.Submit("R1"))
	ctx, cancel := context.WithTimeout(r.Ctx, patience)
	defer cancel()
	events, waits := r.Client.GetWorkflowHistory(ctx, ltp.OrderWorkflowID("R1"), "", true, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT), 0
	for waits < 2 && events.HasNext() {
		e, err := events.Next()
		require.NoError(t, err)
		if e.GetEventType() == enumspb.EVENT_TYPE_TIMER_STARTED {
			waits++
		}
	}
	require.NoError(t, r.Operator(ltp.ReleaseUpdate, ltp.Release{By: "bob", Why: "done"}))
	r.Ended("R1")
	r.save("order-woken-by-its-backstop", ltp.OrderWorkflowID("R1"), "")
}

// frozen gets an order past the door in the moment in which its worker has read of a
// freeze, and the door has not.
func (r *rig) frozen(n *node.Node) (id string) {
	r.T.Helper()
	for i := 0; ; i++ {
		door := starter.New(r.Client)
		_, err := door.Submit(r.Ctx, ordertest.New(fmt.Sprintf("R7-early-%d", i)))
		require.NoError(r.T, err)
		require.NoError(r.T, r.Operator(ltp.HoldUpdate, ltp.Hold{By: "ann", Why: "no more", Freeze: true}))
		_, err = n.Board.Wait(r.Ctx, ltp.DefaultComponent, func(now board.Reading) bool { return now.Hold != nil && now.Hold.Freeze })
		require.NoError(r.T, err)
		id := fmt.Sprintf("R7-%d", i)
		if _, err := door.Submit(r.Ctx, ordertest.New(id)); err == nil && r.firstRouting(id).Decision == ltp.Freeze {
			return id
		}
		r.Hold("take some more")
	}
}

// firstRouting is the first routing of an order.
func (r *rig) firstRouting(id string) (first ltp.Routing) {
	r.T.Helper()
	r.AwaitEvent(ltp.OrderWorkflowID(id), func(e *historypb.HistoryEvent) bool {
		routing, ok, err := trace.Routing(e)
		require.NoError(r.T, err)
		first = routing
		return ok
	})
	return first
}

// epochOf is the epoch of the nth time that the default component was in a state.
func (r *rig) epochOf(s ltp.State, nth int) int64 {
	r.T.Helper()
	story, err := r.Reader().Orientation(r.Ctx, ltp.DefaultComponent)
	require.NoError(r.T, err)
	for _, f := range story.Frames {
		if f.Orientation.State == s {
			if nth--; nth == 0 {
				return f.Orientation.Epoch
			}
		}
	}
	require.FailNow(r.T, "it never was", s)
	return 0
}

// anonymous keeps who recorded out of the histories, as far as that can be said
// beforehand.
func anonymous(o *embedded.Options) { o.Client.Identity = "recorder" }

// save writes a history as `temporal workflow show --output json` does, without the
// names of this machine and its folders.
func (r *rig) save(name, workflowID, runID string) {
	r.T.Helper()
	h := r.History(workflowID, runID)
	host, err := os.Hostname()
	require.NoError(r.T, err)
	require.NoError(r.T, proxy.VisitPayloads(r.Ctx, h, proxy.VisitPayloadsOptions{
		Visitor: func(_ *proxy.VisitPayloadsContext, payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
			for _, p := range payloads {
				p.Data = bytes.ReplaceAll(p.Data, []byte(`"`+host+`/`), []byte(`"recorder/`)) // an observer
				p.Data = bytes.ReplaceAll(p.Data, []byte(r.Dir), []byte("state"))
			}
			return payloads, nil
		},
	}))
	for _, e := range h.GetEvents() {
		if queue := e.GetWorkflowTaskScheduledEventAttributes().GetTaskQueue(); strings.HasPrefix(queue.GetName(), host+":") {
			queue.Name = "recorder" + strings.TrimPrefix(queue.GetName(), host) // a worker's own
		}
	}
	compact, err := protojson.Marshal(h)
	require.NoError(r.T, err)
	var readable bytes.Buffer
	require.NoError(r.T, json.Indent(&readable, compact, "", "  "))
	readable.WriteByte('\n')
	require.NoError(r.T, os.MkdirAll(filepath.Join("..", "workflows", "testdata"), 0o755))
	require.NoError(r.T, os.WriteFile(filepath.Join("..", "workflows", "testdata", name+".json"), readable.Bytes(), 0o644))
	r.T.Logf("%s: %d events", name, len(h.Events))
}
