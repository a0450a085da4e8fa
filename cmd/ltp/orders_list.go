package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/starter"
	"github.com/ltp-node/ltp/trace"
)

// orderList shows orders in a table, or as JSON, one a line. Parked orders alone have a
// table of their own, which says why.
type orderList struct {
	table  *tabwriter.Writer
	json   io.Writer // nil for a table
	parked bool
}

func newOrderList(w io.Writer, state ltp.OrderState, asJSON bool) *orderList {
	l := &orderList{table: tabwriter.NewWriter(w, 0, 8, 2, ' ', 0), parked: state == ltp.Parked}
	switch {
	case asJSON:
		l.json = w
	case l.parked:
		fmt.Fprintln(l.table, "ORDER\tPARKED\tFAILURES\tACCEPTED\tFAILS WITH")
	default:
		fmt.Fprintln(l.table, "ORDER\tSTATE\tREASON\tWAITS FOR\tPRIORITY\tACCEPTED\tENDED")
	}
	return l
}

func (l *orderList) add(all []starter.Status) error {
	for _, st := range all {
		switch {
		case l.json != nil:
			if err := printJSONLine(l.json, st); err != nil {
				return err
			}
		case l.parked && st.Parked != nil:
			p := st.Parked
			fmt.Fprintf(l.table, "%s\t%s\t%d\t%s\t%s\n", st.OrderID, clock(p.Since), p.Failures, clock(st.AcceptedAt), clause(p.Error))
		default:
			fmt.Fprintf(l.table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", st.OrderID, st.State, st.Reason, waitsFor(st), class(st), clock(st.AcceptedAt), clock(st.EndedAt))
		}
	}
	return nil
}

func (l *orderList) flush() error { return l.table.Flush() }

// whyOf is why an order waits, in one clause.
func whyOf(st starter.Status) string {
	if p := st.Parked; p != nil {
		return fmt.Sprintf("since %s: %s", clock(p.Since), clause(p.Error))
	}
	return string(st.Reason)
}

// clause is an error for a table.
func clause(s string) string {
	const most = 100 // columns
	r := []rune(trace.Clean(s))
	if len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return string(r)
}

// stateOf reads the name of a state in letters of any case.
func stateOf(s string) ltp.OrderState { return ltp.OrderState(strings.ToUpper(s)) }
