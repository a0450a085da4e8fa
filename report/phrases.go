package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/words"
	"github.com/ltp-node/ltp/trace"
)

const (
	clock = "15:04:05.000"
	day   = "2006-01-02"
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

// moment is a moment of the report's day: the clock alone, or with the day where it is
// another.
func (r Report) moment(t time.Time) string {
	t = t.UTC()
	if t.Format(day) == r.Audit.BeganAt.UTC().Format(day) {
		return t.Format(clock)
	}
	return t.Format(day + " " + clock)
}

// span is a stretch of time; a zero end is not reached.
func (r Report) span(from, to time.Time) string {
	switch {
	case to.IsZero():
		return r.moment(from) + " – now"
	case to.Sub(from) < time.Millisecond:
		return r.moment(from)
	}
	return r.moment(from) + " – " + r.moment(to)
}

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
func amount(minor int64, currency string) string {
	s := ltp.Amount(minor, currency)
	if strings.HasPrefix(s, "-") {
		return s
	}
	return words.Commas(s)
}

// some are the counts of which there are any.
func some(parts ...part) []string {
	var said []string
	for _, p := range parts {
		if p.n > 0 {
			said = append(said, words.Count(p.n)+" "+p.what)
		}
	}
	return said
}

type part struct {
	n    int
	what string
}

func counts(c trace.Counts) string {
	parts := []part{{c.Requests, words.Noun(c.Requests, "request")}, {c.ExecutedAtOnce, "executed at once"}}
	reasons := slices.SortedFunc(maps.Keys(c.Deferred), func(a, b ltp.Reason) int {
		return cmp.Or(cmp.Compare(c.Deferred[b], c.Deferred[a]), cmp.Compare(a, b))
	})
	for _, why := range reasons {
		parts = append(parts, part{c.Deferred[why], "deferred " + string(why)})
	}
	said := some(append(parts,
		part{c.Replayed, "replayed"}, part{c.DeferredAgain, "deferred again"}, part{c.Executed, "executed after waiting"},
		part{c.Rejected, "rejected"}, part{c.Failed, words.Noun(c.Failed, "execution") + " without a write"}, part{c.Parked, "parked"}, part{c.Cancelled, "cancelled"},
		part{c.Expired, "expired"}, part{c.Terminated, "ended by force"})...)
	if len(said) == 0 {
		return "No orders."
	}
	return strings.Join(said, " · ")
}

// evidence is what was measured.
func evidence(o ltp.Orientation) string {
	var said []string
	e := o.Evidence
	if e.LatencyMs > 0 && e.ThresholdMs > 0 {
		said = append(said, fmt.Sprintf("%d ms, limit %d ms", e.LatencyMs, e.ThresholdMs))
	} else if e.LatencyMs > 0 {
		said = append(said, fmt.Sprintf("%d ms", e.LatencyMs))
	}
	if e.Samples > 0 {
		said = append(said, words.Plural(e.Samples, "sample"))
	}
	if e.Error != "" {
		said = append(said, e.Error)
	}
	for _, k := range slices.Sorted(maps.Keys(e.Facts)) {
		said = append(said, k+" "+e.Facts[k])
	}
	if o.Observer != "" {
		said = append(said, "seen by "+o.Observer)
	}
	return strings.Join(said, "; ")
}
