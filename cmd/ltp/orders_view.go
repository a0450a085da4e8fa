package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/words"
	"github.com/ltp-node/ltp/starter"
)

// sheet writes lines of a name and a value under a head, the values below each other.
type sheet struct{ columns *tabwriter.Writer }

func newSheet(w io.Writer, head string) sheet {
	fmt.Fprintln(w, head)
	return sheet{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
}

// add adds a line; an empty value is left out.
func (s sheet) add(name, format string, args ...any) {
	if value := words.Clean(fmt.Sprintf(format, args...)); value != "" {
		fmt.Fprintf(s.columns, "  %s\t%s\n", name, value)
	}
}

func (s sheet) end() { _ = s.columns.Flush() }

// writeStatus says where an order is.
func writeStatus(w io.Writer, st starter.Status) {
	s := newSheet(w, fmt.Sprintf("%s is %s: %s", st.OrderID, st.State, st.Message))
	defer s.end()
	at := func(name string, t string) { s.add(name, "%s UTC", t) }
	if !st.AcceptedAt.IsZero() {
		at("accepted", clock(st.AcceptedAt))
	}
	switch st.State {
	case ltp.Deferred:
		s.add("waits for", "%s: %s, epoch %d", waitsFor(st), st.Reason, st.Epoch)
	case ltp.Parked:
		s.add("waits for", "an operator: ltp orders retry %s, or ltp orders reject %s", st.OrderID, st.OrderID)
	}
	if p := st.Parked; p != nil {
		s.add("parked", "%s UTC, after %s by its own fault, with: %s", clock(p.Since), words.Plural(p.Failures, "failure"), p.Error)
	}
	if b := st.Backlog; b != nil {
		s.add("place", "%s of its tenant go before it", words.Plural(b.Ahead, "order"))
		if !b.ExpectedAt.IsZero() {
			at("expected", clock(b.ExpectedAt))
		}
		if !b.NotBefore.IsZero() {
			at("not before", clock(b.NotBefore))
		}
	}
	switch {
	case st.Expedited:
		s.add("priority", "first: an operator has expedited it")
	case st.Priority != 0:
		s.add("priority", "%d", st.Priority)
	}
	if st.CancelRequested {
		s.add("cancelled", "requested; it ends CANCELLED, or EXECUTED if it turns out to have been written")
	}
	if r := st.Receipt; r != nil {
		at("committed", clock(r.CommittedAt))
		s.add("written by", "%s, under epoch %d of %s (%s)", r.Worker, r.Fence.Epoch, r.Fence.Component, r.Fence.State)
		if r.Repeated {
			s.add("", "an earlier attempt, whose outcome was not known, had written it")
		}
		if len(r.Result) > 0 {
			s.add("result", "%s", r.Result)
		}
	}
	if !st.EndedAt.IsZero() {
		at("ended", clock(st.EndedAt))
	}
	s.add("detail", "%s", st.Detail)
}
