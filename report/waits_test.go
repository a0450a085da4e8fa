package report

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/audit"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/trace"
)

// at is a moment in milliseconds after UNSTABLE was published.
func at(ms int) time.Time {
	return time.Date(2024, 5, 20, 14, 30, 5, 0, time.UTC).Add(time.Duration(ms) * time.Millisecond)
}

// fallen is an incident that begins as given, from STABLE, and that goes on.
func fallen(o ltp.Orientation) trace.Incident {
	before := ltp.Orientation{Component: ltp.DefaultComponent, State: ltp.Stable, Epoch: 3, Since: at(-3_600_000)}
	o.Component, o.Epoch = ltp.DefaultComponent, 4
	return trace.Incident{
		Component: ltp.DefaultComponent, BeganAt: at(0), Before: &before,
		Frames: []ltp.Frame{{ID: "orders-db@4", Type: ltp.FrameOrientation, At: at(0), Orientation: &o}},
	}
}

// executed is an order that was accepted and executed at those times, after a deferral if
// it was deferred.
func executed(id string, accepted, committed int, deferred bool) trace.OrderTrace {
	t := trace.OrderTrace{AcceptedAt: at(accepted), EndedAt: at(committed + 1), Outcome: &ltp.Outcome{State: ltp.Executed}}
	t.Order = ordertest.New(id, ordertest.Article("book", 1, 100))
	route := func(ms int, woken ltp.Wake, d ltp.Decision) {
		n := len(t.Frames)/2 + 1
		t.Frames = append(t.Frames,
			ltp.Frame{ID: ltp.RequestFrameID(id, n), At: at(ms), Request: &ltp.RouteRequest{Attempt: n, Woken: woken}},
			ltp.Frame{ID: ltp.ResponseFrameID(id, n), At: at(ms), Response: &ltp.RouteResponse{Decision: d, Admissible: d.Admissible(), State: ltp.Stable}})
	}
	if deferred {
		route(accepted+2_000, "", ltp.Defer)
		route(committed-10, ltp.WokenBySignal, ltp.Execute)
	} else {
		route(committed-10, "", ltp.Execute)
	}
	t.Executions = []trace.Execution{{
		RequestFrameID: ltp.RequestFrameID(id, len(t.Frames)/2), TaskAt: at(committed - 10), RecordedAt: at(committed + 1),
		Attempt: ltp.Attempt{Result: ltp.ResultExecuted, BegunAt: at(committed - 5), EndedAt: at(committed), Receipt: &ltp.Receipt{BegunAt: at(committed - 5), CommittedAt: at(committed)}},
	}}
	return t
}

// TestOrdersWaitFromTheirAcceptanceToTheirCommit: two that were never deferred, and took
// twelve seconds, were not confirmed at once.
func TestOrdersWaitFromTheirAcceptanceToTheirCommit(t *testing.T) {
	g := newGathering(audit.Found{Incident: fallen(ltp.Orientation{State: ltp.Unstable})})
	for i := range 3 {
		g.see(executed(fmt.Sprintf("A%d", i), 100*i, 100*i+300+350*i, false)) // the last takes 1 s
	}
	g.see(executed("B1", 1_000, 13_000, false))
	g.see(executed("B2", 2_000, 14_000, false))
	g.see(executed("C1", 5_000, 15_000, true))
	skewed := executed("C2", 5_000, 15_000, true)
	skewed.Executions[0].Receipt.CommittedAt = at(85_000)
	g.see(skewed)

	r := g.report(audit.Audit{BeganAt: at(0)})
	assert.Equal(t, 5, r.Tally.ExecutedAtOnce, "as the timeline counts them")
	assert.Equal(t, 2, r.Late)
	assert.Equal(t, Sum{3, 300}, r.Money[0].AtOnce)
	assert.Equal(t, Sum{2, 200}, r.Money[0].Late)
	assert.Equal(t, Sum{2, 200}, r.Money[0].Kept)
	assert.Equal(t, 4, r.Waits.Orders)
	assert.Equal(t, 10_001*time.Millisecond, r.Waits.P50, "as far as a worker's clock keeps within its task")
	assert.Equal(t, 12*time.Second, r.Waits.P99)
	assert.Equal(t, at(15_001), r.LastConfirmed)
	users := r.users().Blocks[0].Table.Rows
	assert.Equal(t, []string{ltp.MessageConfirmed, "without waiting", "3"}, users[0])
	assert.Equal(t, []string{ltp.MessagePending, "then " + ltp.MessageConfirmed, "4"}, users[1])
}

// TestHowLongAnOutageWentUnnoticed is from the first sign that lasted.
func TestHowLongAnOutageWentUnnoticed(t *testing.T) {
	attempt := func(begun, recorded int, r ltp.Result) trace.Execution {
		x := trace.Execution{TaskAt: at(begun - 1), RecordedAt: at(recorded), Attempt: ltp.Attempt{Result: r, BegunAt: at(begun)}}
		if r == ltp.ResultExecuted {
			x.Receipt = &ltp.Receipt{CommittedAt: at(recorded)}
		}
		return x
	}
	hung := ltp.Orientation{State: ltp.Unstable, Evidence: ltp.Evidence{LatencyMs: 5_000, ThresholdMs: 5_000}}
	held := ltp.Orientation{State: ltp.Unstable, Hold: &ltp.Hold{By: "ann"}}
	for name, c := range map[string]struct {
		published ltp.Orientation
		attempts  []trace.Execution
		want      int
		what      string
		own       bool
	}{
		"by the sample alone":    {published: hung, want: 5_000, what: "the sample"},
		"a write hung before it": {hung, []trace.Execution{attempt(-8_000, -10, ltp.ResultUnknown)}, 8_000, "the first write", false},
		"a write still hangs":    {hung, []trace.Execution{attempt(-6_000, 4_000, ltp.ResultExecuted)}, 6_000, "the first write", false},
		"writes failed, and one did not after them": {hung, []trace.Execution{
			attempt(-20_000, -19_990, ltp.ResultUnavailable), attempt(-10_000, -9_990, ltp.ResultExecuted), attempt(-7_000, -6_990, ltp.ResultUnavailable),
		}, 7_000, "the first write", false},
		"an order that keeps failing by its own fault shows none": {hung, []trace.Execution{attempt(-8_000, -7_990, ltp.ResultRefused)}, 5_000, "the sample", true},
		"an order that is refused by no fault of its own":         {hung, []trace.Execution{attempt(-8_000, -7_990, ltp.ResultRefused)}, 8_000, "the first write", false},
		"a worker's clock that is off": {hung, []trace.Execution{func() trace.Execution {
			x := attempt(-8_000, -10, ltp.ResultUnknown)
			x.BegunAt = at(-78_000)
			return x
		}()}, 8_001, "the first write", false},
		"an operator held it":  {held, []trace.Execution{attempt(-8_000, -10, ltp.ResultUnknown)}, 0, "", false},
		"a refused connection": {ltp.Orientation{State: ltp.Unstable}, nil, 0, "the sample", false},
		"never UNSTABLE":       {ltp.Orientation{State: ltp.Unknown}, nil, 0, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSigns(fallen(c.published))
			for _, x := range c.attempts {
				s.see(x, c.own)
			}
			u := s.unnoticed()
			assert.Equal(t, time.Duration(c.want)*time.Millisecond, u.For)
			assert.Contains(t, u.What, c.what)
		})
	}
}
