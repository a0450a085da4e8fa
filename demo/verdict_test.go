package demo

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/trace"
)

var noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// deferredAndReplayed are orders that were accepted one after the other, deferred, and
// committed in the order of their places.
func deferredAndReplayed(places ...int) (all []record) {
	for i, place := range places {
		id := fmt.Sprintf("D%d", i)
		at := noon.Add(time.Duration(i) * time.Second)
		all = append(all, record{answer: answer{orderID: id}, trace: trace.OrderTrace{
			AcceptedAt: at,
			Frames: []ltp.Frame{
				{Request: &ltp.RouteRequest{OrderID: id, Attempt: 1}},
				{Response: &ltp.RouteResponse{Decision: ltp.Defer}},
				{Request: &ltp.RouteRequest{OrderID: id, Attempt: 2, Replay: true, OriginalFrameID: ltp.RequestFrameID(id, 1)}},
				{Response: &ltp.RouteResponse{Decision: ltp.Execute}},
			},
			Executions: make([]trace.Execution, 1),
			Outcome:    &ltp.Outcome{State: ltp.Executed, Receipt: &ltp.Receipt{CommittedAt: noon.Add(time.Hour).Add(time.Duration(place) * time.Second)}},
		}})
	}
	return all
}

// good are a report of a demo that went well, and the records of its orders.
func good() (*Report, []record) {
	records := deferredAndReplayed(0, 1, 2)
	r := &Report{Orders: Orders{Submitted: 5, Accepted: 5, Deferred: 3, Executed: 5}, OrderDB: OrderDB{Rows: 5}}
	for i, s := range []ltp.State{ltp.Recovering, ltp.Stable, ltp.Unstable, ltp.Recovering, ltp.Stable} {
		r.Timeline = append(r.Timeline, Transition{Epoch: int64(i + 1), State: s, Reason: "a reason", At: Time{noon.Add(time.Duration(i) * time.Minute)}})
	}
	r.Outage = Outage{Begins: "the database is locked", Ends: "the lock is gone", BeganAt: Time{noon.Add(90 * time.Second)}, EndedAt: Time{noon.Add(150 * time.Second)}, DetectedAfterMs: 5_000}
	return r, records
}

// TestGuaranteesAreHeldAgainstTheFigures: one figure that is wrong breaks the guarantee that
// it is about, and no other; and where there is nothing to measure, nothing is held.
func TestGuaranteesAreHeldAgainstTheFigures(t *testing.T) {
	const (
		noErrors = "Nobody read an error"
		noLoss   = "Nothing accepted is lost"
		once     = "An order takes effect once"
		unfit    = "No write is begun while unfit"
		order    = "First deferred, first released"
		complete = "The trace is complete"
	)
	for name, c := range map[string]struct {
		change func(*Report, []record) []record
		broken []string
	}{
		"all is well":          {func(_ *Report, all []record) []record { return all }, nil},
		"an error":             {func(r *Report, all []record) []record { r.Orders.Errors++; return all }, []string{noErrors}},
		"one is pending":       {func(r *Report, all []record) []record { r.Orders.Pending++; return all }, []string{noLoss}},
		"a row is missing":     {func(r *Report, all []record) []record { r.OrderDB.Missing++; return all }, []string{noLoss}},
		"one ended nowhere":    {func(r *Report, all []record) []record { r.Orders.Accepted++; return all }, []string{noLoss}},
		"a row too many":       {func(r *Report, all []record) []record { r.OrderDB.Rows++; return all }, []string{once}},
		"a duplicate":          {func(r *Report, all []record) []record { r.OrderDB.Duplicates++; return all }, []string{once}},
		"a write while unfit":  {func(r *Report, all []record) []record { r.OrderDB.WritesBegunWhileUnfit++; return all }, []string{unfit}},
		"one past the fence":   {func(r *Report, all []record) []record { r.OrderDB.WritesUnderWay++; return all }, nil},
		"there was no outage":  {func(r *Report, all []record) []record { r.Timeline = r.Timeline[:2]; return all }, []string{unfit, complete}},
		"it did not recover":   {func(r *Report, all []record) []record { r.Timeline = r.Timeline[:4]; return all }, []string{complete}},
		"nothing was deferred": {func(r *Report, _ []record) []record { r.Orders.Deferred = 0; return nil }, []string{order, complete}},
		"the last one came first": {func(*Report, []record) []record {
			places := make([]int, page+2)
			for i := range places {
				places[i] = i + 1
			}
			places[page+1] = 0
			return deferredAndReplayed(places...)
		}, []string{order}},
		"a replay of nothing": {func(_ *Report, all []record) []record {
			all[1].trace.Frames[2].Request.OriginalFrameID = "D1/7"
			return all
		}, []string{complete}},
		"nothing happened": {func(r *Report, _ []record) []record { *r = Report{}; return nil }, []string{noErrors, noLoss, once, unfit, order, complete}},
	} {
		t.Run(name, func(t *testing.T) {
			r, records := good()
			r.judge(c.change(r, records))
			var broken []string
			for _, v := range r.Guarantees {
				if !v.Held {
					broken = append(broken, v.Guarantee)
				}
				assert.NotEmpty(t, v.Evidence)
			}
			assert.Equal(t, c.broken, broken)
			assert.Equal(t, len(c.broken) == 0, r.Held())
		})
	}
}

// TestReportHasThePhasesInOrder as the postmortem has them.
func TestReportHasThePhasesInOrder(t *testing.T) {
	r, records := good()
	r.judge(records)
	r.API = map[string]Latencies{string(phaseStable): {Requests: 2}}
	var out bytes.Buffer
	require.NoError(t, r.WriteText(&out, trace.Options{}))
	assert.Regexp(t, `(?s)Stability +2 orders.*12:01:30\.000  Degradation +the database is locked.*UNSTABLE, epoch 3.*noticed after 5 s.*`+
		`3 orders deferred.*12:02:30\.000  Recovery +the lock is gone.*RECOVERING, epoch 4.*Resolution.*STABLE, epoch 5`, out.String())
	assert.Contains(t, out.String(), "HELD         Nobody read an error")
	assert.NotContains(t, out.String(), "BROKEN")
	assert.NotContains(t, out.String(), "\x1b", "without a terminal there are no colours")

	r.OrderDB.Rows++
	r.judge(records)
	out.Reset()
	require.NoError(t, r.WriteText(&out, trace.Options{Color: true}))
	assert.Regexp(t, `BROKEN.*An order takes effect once\S*\n +6 rows for 5 executed orders`, out.String())
}
