package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/table"
	"github.com/ltp-node/ltp/internal/words"
	"github.com/ltp-node/ltp/starter"
)

// orderList shows orders in a table, or as JSON, one a line. Parked orders alone have a
// table of their own, which says why.
type orderList struct {
	table  *table.Table
	json   io.Writer // nil for a table
	parked bool
}

func newOrderList(w io.Writer, state ltp.OrderState, asJSON bool) *orderList {
	l := &orderList{parked: state == ltp.Parked}
	switch {
	case asJSON:
		l.json = w
	case l.parked:
		l.table = table.New(w, "order", "parked", "failures", "accepted", "fails with")
	default:
		l.table = table.New(w, "order", "state", "reason", "waits for", "priority", "accepted", "ended")
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
			l.table.Row(st.OrderID, words.Time(p.Since), p.Failures, words.Time(st.AcceptedAt), words.Cut(words.Clean(p.Error), longestError))
		default:
			l.table.Row(st.OrderID, st.State, st.Reason, waitsFor(st), class(st), words.Time(st.AcceptedAt), words.Time(st.EndedAt))
		}
	}
	return nil
}

func (l *orderList) flush() error {
	if l.table == nil {
		return nil
	}
	return l.table.Flush()
}

// longestError is how much of an error is shown in a line, in columns.
const longestError = 100

// whyOf is why an order waits, in one clause.
func whyOf(st starter.Status) string {
	if p := st.Parked; p != nil {
		return fmt.Sprintf("since %s: %s", words.Time(p.Since), words.Cut(words.Clean(p.Error), longestError))
	}
	return string(st.Reason)
}

// stateOf reads the name of a state in letters of any case.
func stateOf(s string) ltp.OrderState { return ltp.OrderState(strings.ToUpper(s)) }
