package ledger_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/ledger"
	"github.com/ltp-node/ltp/trace"
)

// asks adds a routing that deferred an order.
func asks(t *trace.OrderTrace, at time.Time, why ltp.Reason, s ltp.State, epoch int64) {
	id, n := t.Order.ID, len(t.Frames)/2+1
	source := ltp.Source{RunID: t.RunID, EventID: int64(5 * n)}
	q := &ltp.RouteRequest{OrderID: id, Attempt: n, Asked: ltp.Request{Replay: n > 1, Listed: n > 1 && why == ltp.ReasonAwaitsReplay}}
	if why == ltp.ReasonReplayPaused {
		q.Asked.Paused = []string{ltp.DefaultComponent}
	}
	if n > 1 {
		q.Replay, q.OriginalFrameID, q.Woken = true, ltp.RequestFrameID(id, 1), ltp.WokenByTimer
		q.DeferredReason = t.Frames[len(t.Frames)-1].Response.Reason
	}
	t.Frames = append(t.Frames,
		ltp.Frame{ID: ltp.RequestFrameID(id, n), Type: ltp.FrameRouteRequest, At: at, Request: q, Source: source},
		ltp.Frame{ID: ltp.ResponseFrameID(id, n), Type: ltp.FrameRouteResponse, At: at, Source: source, Response: &ltp.RouteResponse{
			OrderID: id, RequestFrameID: ltp.RequestFrameID(id, n), Decision: ltp.Defer, Reason: why, Commitment: ltp.Commitment,
			Component: ltp.DefaultComponent, State: s, Epoch: epoch,
		}})
}

// TestAPauseIsALawfulAnswerToTheReplaysOfARecovery, and to nothing else; nor is it one
// to be left to the replay.
func TestAPauseIsALawfulAnswerToTheReplaysOfARecovery(t *testing.T) {
	for name, c := range map[string]struct {
		path  []ltp.Reason // of the answers, under the states
		under []int64
		wrong string // the frame with the answer that is none
	}{
		"paused while it recovers":     {[]ltp.Reason{ltp.ReasonUnstable, ltp.ReasonReplayPaused}, []int64{4, 5}, ""},
		"and asked twice":              {[]ltp.Reason{ltp.ReasonUnstable, ltp.ReasonReplayPaused, ltp.ReasonReplayPaused}, []int64{4, 5, 5}, ""},
		"came while it recovered":      {[]ltp.Reason{ltp.ReasonRecovering, ltp.ReasonReplayPaused}, []int64{5, 5}, ""},
		"left to the replay":           {[]ltp.Reason{ltp.ReasonUnstable, ltp.ReasonAwaitsReplay, ltp.ReasonReplayPaused}, []int64{4, 5, 5}, ""},
		"left to none":                 {[]ltp.Reason{ltp.ReasonUnstable, ltp.ReasonAwaitsReplay}, []int64{4, 6}, "B1/2/response"},
		"new, and left to the replay":  {[]ltp.Reason{ltp.ReasonAwaitsReplay}, []int64{5}, "B1/1/response"},
		"a new order":                  {[]ltp.Reason{ltp.ReasonReplayPaused}, []int64{5}, "B1/1/response"},
		"while it is unfit":            {[]ltp.Reason{ltp.ReasonUnstable, ltp.ReasonReplayPaused}, []int64{4, 4}, "B1/2/response"},
		"after it has recovered":       {[]ltp.Reason{ltp.ReasonUnstable, ltp.ReasonReplayPaused}, []int64{4, 6}, "B1/2/response"},
		"another answer of a recovery": {[]ltp.Reason{ltp.ReasonUnstable, ltp.ReasonRecovering}, []int64{4, 5}, "B1/2/response"},
		"a pause while it was yet fit": {[]ltp.Reason{ltp.ReasonReplayPaused}, []int64{3}, "B1/1/response"},
		"not known while it recovered": {[]ltp.Reason{ltp.ReasonUnstable, ltp.ReasonUnknown}, []int64{4, 5}, "B1/2/response"},
	} {
		t.Run(name, func(t *testing.T) {
			from := outages(20, 1)
			frames := from.components[ltp.DefaultComponent].Frames
			states, published := map[int64]ltp.State{}, map[int64]time.Time{}
			for _, f := range frames {
				states[f.Orientation.Epoch], published[f.Orientation.Epoch] = f.Orientation.State, f.At
			}
			o := trace.OrderTrace{
				Order: ordertest.New("B1"),
				RunID: "run-of-B1", AcceptedAt: published[c.under[0]].Add(time.Millisecond),
			}
			for i, why := range c.path {
				asks(&o, published[c.under[i]].Add(time.Duration(2+i)*time.Millisecond), why, states[c.under[i]], c.under[i])
			}
			from.orders = append(from.orders, trace.Found{Trace: o})
			f := export(t, from, 1)
			v := f.verify(t)
			if v.OK != (c.wrong == "") {
				t.Fatalf("%+v", v.Broken)
			}
			if c.wrong != "" && (v.Broken.Check != ledger.CheckDecision || !bytes.Contains(f.lines[v.Broken.Line-1], []byte(`"`+c.wrong+`"`))) {
				t.Errorf("%+v", v.Broken)
			}
		})
	}
}
