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

// asked is a routing of an order with an ordering key that deferred it.
type asked struct {
	why    ltp.Reason
	epoch  int64
	inLine bool
	woken  ltp.Wake
}

// TestAwaitingATurnIsALawfulAnswerToWhoStandsInLine, and to nobody else; and a turn that
// has come is not taken back.
func TestAwaitingATurnIsALawfulAnswerToWhoStandsInLine(t *testing.T) {
	first := asked{ltp.ReasonAwaitsTurn, 3, true, ""}
	for name, c := range map[string]struct {
		path  []asked
		check ledger.CheckName // that breaks
		wrong string           // the frame that breaks it
	}{
		"in line":                 {path: []asked{first}},
		"and still, by the timer": {path: []asked{first, {ltp.ReasonAwaitsTurn, 3, true, ltp.WokenByTimer}}},
		"its turn came":           {path: []asked{first, {ltp.ReasonUnstable, 4, false, ltp.WokenByTurn}}},
		"in line, and unfit":      {path: []asked{{ltp.ReasonUnstable, 4, true, ""}, {ltp.ReasonAwaitsTurn, 5, true, ltp.WokenBySignal}}},
		"it does not stand in line": {
			path: []asked{{ltp.ReasonAwaitsTurn, 3, false, ""}}, check: ledger.CheckDecision, wrong: "B1/1/response"},
		"awaits its turn while unfit": {
			path: []asked{{ltp.ReasonAwaitsTurn, 4, true, ""}}, check: ledger.CheckDecision, wrong: "B1/1/response"},
		"its turn was taken back": {
			path:  []asked{{ltp.ReasonUnstable, 4, false, ""}, {ltp.ReasonAwaitsTurn, 6, true, ltp.WokenByTimer}},
			check: ledger.CheckReplay, wrong: "B1/2"},
		"its turn came, and it stands in line": {
			path: []asked{first, {ltp.ReasonAwaitsTurn, 3, true, ltp.WokenByTurn}}, check: ledger.CheckReplay, wrong: "B1/2"},
		"the replay engine woke who stands in line": {
			path: []asked{first, {ltp.ReasonAwaitsTurn, 3, true, ltp.WokenBySignal}}, check: ledger.CheckReplay, wrong: "B1/2"},
		"its turn woke who waits for a component": {
			path:  []asked{{ltp.ReasonUnstable, 4, true, ""}, {ltp.ReasonUnstable, 4, false, ltp.WokenByTurn}},
			check: ledger.CheckReplay, wrong: "B1/2"},
	} {
		t.Run(name, func(t *testing.T) {
			from := outages(20, 1)
			states, published := map[int64]ltp.State{}, map[int64]time.Time{}
			for _, f := range from.components[ltp.DefaultComponent].Frames {
				states[f.Orientation.Epoch], published[f.Orientation.Epoch] = f.Orientation.State, f.At
			}
			o := trace.OrderTrace{
				Order: ordertest.New("B1", ordertest.OrderingKey("c-17")),
				RunID: "run-of-B1", AcceptedAt: published[c.path[0].epoch].Add(time.Millisecond),
			}
			for i, a := range c.path {
				asks(&o, published[a.epoch].Add(time.Duration(2+i)*time.Millisecond), a.why, states[a.epoch], a.epoch)
				q := o.Frames[2*i].Request
				q.Asked.InLine, q.Asked.Listed, q.Woken = a.inLine, false, a.woken
			}
			from.orders = append(from.orders, trace.Found{Trace: o})
			f := export(t, from, 1)
			v := f.verify(t)
			if v.OK != (c.wrong == "") {
				t.Fatalf("%+v", v.Broken)
			}
			if c.wrong != "" && (v.Broken.Check != c.check || !bytes.Contains(f.lines[v.Broken.Line-1], []byte(`"`+c.wrong+`"`))) {
				t.Errorf("%+v", v.Broken)
			}
			if c.wrong == "" && !bytes.Contains(f.text(), []byte(`"in_line":true`)) {
				t.Error("the file does not say that the order stood in line")
			}
		})
	}
}
