package main

import (
	"fmt"
	"io"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/table"
	"github.com/ltp-node/ltp/internal/words"
	"github.com/ltp-node/ltp/starter"
)

// writeStatus says where an order is.
func writeStatus(w io.Writer, st starter.Status) {
	s := table.NewSheet(w, fmt.Sprintf("%s is %s: %s", st.OrderID, st.State, st.Message))
	defer s.Flush() //nolint:errcheck // w is a buffer
	at := func(name string, t time.Time) {
		if !t.IsZero() {
			s.Add(name, "%s UTC", words.Time(t))
		}
	}
	at("accepted", st.AcceptedAt)
	switch st.State {
	case ltp.Deferred:
		s.Add("waits for", "%s: %s, epoch %d", waitsFor(st), st.Reason, st.Epoch)
	case ltp.Parked:
		s.Add("waits for", "an operator: ltp orders retry %s, or ltp orders reject %s", st.OrderID, st.OrderID)
	}
	if p := st.Parked; p != nil {
		s.Add("parked", "%s UTC, after %s by its own fault, with: %s", words.Time(p.Since), words.Plural(p.Failures, "failure"), p.Error)
	}
	if b := st.Backlog; b != nil {
		s.Add("place", "%s of its tenant before it", words.Plural(b.Ahead, "order"))
		at("expected", b.ExpectedAt)
		at("not before", b.NotBefore)
	}
	switch {
	case st.Expedited:
		s.Add("priority", "first: an operator has expedited it")
	case st.Priority != 0:
		s.Add("priority", "%d", st.Priority)
	}
	if st.CancelRequested {
		s.Add("cancelled", "requested; it ends CANCELLED, or EXECUTED if it turns out to have been written")
	}
	if r := st.Receipt; r != nil {
		at("committed", r.CommittedAt)
		s.Add("written by", "%s, under epoch %d of %s (%s)", r.Worker, r.Fence.Epoch, r.Fence.Component, r.Fence.State)
		if r.Repeated {
			s.Add("", "an earlier attempt, whose outcome was not known, had written it")
		}
		if len(r.Result) > 0 {
			s.Add("result", "%s", r.Result)
		}
	}
	at("ended", st.EndedAt)
	s.Add("detail", "%s", st.Detail)
}
