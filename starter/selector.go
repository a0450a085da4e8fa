package starter

import (
	"fmt"
	"strings"
	"time"

	"github.com/ltp-node/ltp"
)

// Selector says which orders are meant: those that wait, all conditions together.
type Selector struct {
	// Query is a Temporal visibility query, such as
	// "LtpReason='SYSTEM_UNSTABLE' AND StartTime > '2030-01-31T00:00:00Z'".
	Query string
	// State is ltp.Accepted, ltp.Deferred or ltp.Parked; empty is all of them.
	State ltp.OrderState
	// Component is what deferred orders wait for.
	Component string
	// Before leaves out what was accepted later; zero leaves nothing out.
	Before time.Time
}

// query is the visibility query that finds the orders. The user's comes last and in
// parentheses, which checkQuery has seen cannot be left.
func (w Selector) query() (string, error) {
	all := []string{fmt.Sprintf("WorkflowType='%s'", ltp.OrderWorkflow), "ExecutionStatus='Running'"}
	switch w.State {
	case "":
	case ltp.Accepted:
		all = append(all, ltp.StateAttribute+" IS NULL")
	case ltp.Deferred, ltp.Parked:
		all = append(all, fmt.Sprintf("%s='%s'", ltp.StateAttribute, w.State))
	default:
		return "", &ltp.InvalidError{Field: "state", Hint: "only orders that are ACCEPTED, DEFERRED or PARKED wait"}
	}
	if w.Component != "" {
		if err := ltp.ValidComponent(w.Component); err != nil {
			return "", err
		}
		all = append(all, fmt.Sprintf("%s='%s'", ltp.ComponentAttribute, w.Component))
	}
	if !w.Before.IsZero() {
		all = append(all, fmt.Sprintf("StartTime <= '%s'", w.Before.UTC().Format(time.RFC3339Nano)))
	}
	if q := strings.TrimSpace(w.Query); q != "" {
		if err := checkQuery(q); err != nil {
			return "", err
		}
		all = append(all, "("+q+")")
	}
	return strings.Join(all, " AND "), nil
}

// checkQuery returns an *ltp.InvalidError for a query that would not stay within
// parentheses: with OR, it would then mean orders that do not wait, and workflows that
// are no orders.
func checkQuery(q string) error {
	invalid := func(hint string) error { return &ltp.InvalidError{Field: "query", Hint: hint} }
	depth, quote := 0, byte(0)
	for i := 0; i < len(q); i++ {
		c := q[i]
		switch {
		case c == '\\': // not every reader of a query takes it for the same
			return invalid("leave backslashes out")
		case quote != 0:
			if c == quote { // doubled, it opens again at once
				quote = 0
			}
		case c == '\'' || c == '"' || c == '`':
			quote = c
		case c == '(':
			depth++
		case c == ')':
			if depth--; depth < 0 {
				return invalid("a parenthesis is closed that was never opened")
			}
		case c == ';', c == '#', strings.HasPrefix(q[i:], "--"), strings.HasPrefix(q[i:], "/*"):
			return invalid("leave comments and semicolons out")
		}
	}
	switch {
	case quote != 0:
		return invalid("a quotation mark is never closed")
	case depth != 0:
		return invalid("a parenthesis is never closed")
	}
	return nil
}
