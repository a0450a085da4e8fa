package report

import (
	"strings"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/words"
	"github.com/ltp-node/ltp/trace"
)

// are is "1 order is", "3 orders are".
func are(n int) string {
	if n == 1 {
		return "1 order is"
	}
	return words.Count(n) + " orders are"
}

// were is "1 was", "3 were".
func were(n int) string {
	if n == 1 {
		return "1 was"
	}
	return words.Count(n) + " were"
}

// moment is a moment beside the beginning of the incident.
func (r Report) moment(t time.Time) string { return words.Moment(t, r.Audit.BeganAt) }

// span is a stretch of time; a zero end is not reached.
func (r Report) span(from, to time.Time) string { return words.Span(from, to, r.Audit.BeganAt) }

// money is the worth of some orders of every currency.
func (r Report) money(of func(Money) Sum) string {
	var said []string
	for _, m := range r.Money {
		if s := of(m); s.Orders > 0 {
			said = append(said, amount(s.Minor, m.Currency))
		}
	}
	if len(said) == 0 {
		return "nothing"
	}
	return strings.Join(said, ", ")
}

// amount is ltp.Amount with commas between the thousands.
func amount(minor int64, currency string) string { return words.Commas(ltp.Amount(minor, currency)) }

// evidence is what was measured, and by whom.
func evidence(e ltp.Evidence, observer string) string {
	seen := ""
	if observer != "" {
		seen = "seen by " + observer
	}
	return words.Some(", ", trace.EvidenceText(e), seen)
}
