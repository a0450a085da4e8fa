package report

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/audit"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/trace"
	"github.com/ltp-node/ltp/trace/tracetest"
)

// failing is an order whose next attempts fail by its own fault.
func failing(id string, r ltp.Result, n int) *tracetest.Order {
	order := ordertest.New(id, ordertest.Article("book", 1, 100))
	o := tracetest.New(ltp.NewProgress(order, ltp.Execution{}, ltp.Stamp{Epoch: 3, State: ltp.Stable}, nil), at(-25_000)).Hold(ltp.Stable, 3)
	o.Cause = ltp.CauseOrder
	for range n {
		o.Writes = append(o.Writes, tracetest.Write{Result: r, Error: "value too long"})
	}
	return o
}

// parked is an order that fails until it is parked.
func parked(id string) *tracetest.Order {
	o := failing(id, ltp.ResultUnavailable, 20)
	for o.Work(); o.Phase != ltp.PhaseParked; o.Work() {
		o.Fires()
	}
	o.Writes = nil
	return o
}

func instructed(o *tracetest.Order, do ltp.Do) *tracetest.Order {
	o.After(time.Second).Signal(ltp.InstructionSignal, ltp.Instruction{Do: do, By: "ann", Why: "sold out"}).Work()
	if o.Phase == ltp.PhaseAdmitted {
		o.Fires().Work()
	}
	return o
}

// TestParkedOrdersAreCountedApart from those that wait for the component, by the report
// and by the timeline alike; and so are those that were rejected.
func TestParkedOrdersAreCountedApart(t *testing.T) {
	in := fallen(ltp.Orientation{State: ltp.Unstable})
	found := audit.Found{Orientation: trace.OrientationTrace{Component: in.Component, Frames: in.Frames}, Incident: in}
	g := newGathering(found)
	digest := trace.NewDigest(found.Orientation, in, in.Window())
	var orders trace.Orders
	for _, o := range []*tracetest.Order{
		parked("P1"), parked("P2"), instructed(parked("P3"), ltp.DoRetry), instructed(parked("P4"), ltp.DoReject),
		failing("P5", ltp.ResultRefused, 1).Work(),
	} {
		one, err := trace.OrderFrames(o.Events)
		require.NoError(t, err)
		orders.Traces = append(orders.Traces, one)
		digest.Add(one)
		g.see(one)
	}
	r := g.report(audit.Audit{BeganAt: at(0)})
	assert.Equal(t, trace.Tally{Total: 5, Deferred: 4, ExecutedLater: 1, Rejected: 2, Parked: 2}, r.Tally)
	assert.Equal(t, Sum{2, 200}, r.Money[0].Parked)
	assert.Zero(t, r.Money[0].Pending)
	assert.Equal(t, Sum{2, 200}, r.Money[0].Ended)
	assert.Zero(t, r.Waits.Pending, "they do not wait for the component")
	assert.Zero(t, r.Series.Buckets[len(r.Series.Buckets)-1].Backlog)

	timeline := trace.NewTimeline(found.Orientation, in, orders, in.Window())
	assert.Equal(t, timeline.Tally, r.Tally)
	assert.Equal(t, timeline.Tally, digest.Timeline().Tally)
	require.Len(t, r.Phases, len(timeline.Phases))
	sum := trace.Counts{}
	for i, p := range timeline.Phases {
		assert.Equal(t, p.Counts, r.Phases[i].Counts, p.Name)
		assert.Equal(t, p.Counts, digest.Timeline().Phases[i].Counts, p.Name)
		sum.Parked += p.Counts.Parked
		sum.Rejected += p.Counts.Rejected
	}
	assert.Equal(t, trace.Counts{Parked: 4, Rejected: 2}, sum)

	var page, text strings.Builder
	require.NoError(t, WriteHTML(&page, r))
	require.NoError(t, WriteMarkdown(&text, r))
	for _, said := range []string{page.String(), text.String()} {
		assert.Contains(t, said, "2 orders are parked: each keeps failing by its own fault while another order, or that of the probe, takes the same write path, and waits for an operator.")
		assert.Contains(t, said, "refused by a rule of the business, or by an operator")
		assert.NotContains(t, said, "set aside")
	}
}
