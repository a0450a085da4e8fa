package trace

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/words"
)

// amount is what the order is worth.
func amount(o ltp.Order) string { return ltp.Amount(o.AmountMinor(), o.Currency) }

// EvidenceText is what was measured, for people: "latency 5,012 ms, limit 5,000 ms, 3 samples,
// error: connection reset". It is empty where nothing was.
func EvidenceText(e ltp.Evidence) string {
	var said []string
	if e.LatencyMs > 0 {
		said = append(said, fmt.Sprintf("latency %s ms", words.Count(e.LatencyMs)))
		if e.ThresholdMs > 0 {
			said = append(said, fmt.Sprintf("limit %s ms", words.Count(e.ThresholdMs)))
		}
	}
	if e.Samples > 0 {
		said = append(said, words.Plural(e.Samples, "sample"))
	}
	if e.Definite {
		said = append(said, "definite")
	}
	for _, k := range slices.Sorted(maps.Keys(e.Facts)) {
		said = append(said, words.Clean(k)+" "+words.Clean(e.Facts[k]))
	}
	if e.Error != "" {
		said = append(said, "error: "+words.Clean(e.Error))
	}
	return strings.Join(said, ", ")
}

// Title is the phase for people, as a heading.
func (n PhaseName) Title() string {
	switch n {
	case StartUp:
		return "Start-up"
	case Stability:
		return "Stability"
	case Degradation:
		return "Degradation"
	case DeferralWindow:
		return "The deferral window"
	case Recovery:
		return "Recovery"
	}
	return "Resolution"
}

// String is the counts for people: "14 requests · 12 executed at once". It is empty where
// there was nothing.
func (c Counts) String() string {
	parts := []string{words.Part(c.Requests, words.Noun(c.Requests, "request")), words.Part(c.ExecutedAtOnce, "executed at once")}
	reasons := slices.SortedFunc(maps.Keys(c.Deferred), func(a, b ltp.Reason) int {
		return cmp.Or(cmp.Compare(c.Deferred[b], c.Deferred[a]), cmp.Compare(a, b))
	})
	for _, r := range reasons {
		parts = append(parts, words.Part(c.Deferred[r], "deferred "+string(r)))
	}
	return words.Some(" · ", append(parts,
		words.Part(c.Replayed, "replayed"), words.Part(c.DeferredAgain, "deferred again"), words.Part(c.Executed, "executed after waiting"),
		words.Part(c.Rejected, "rejected"), words.Part(c.Failed, words.Noun(c.Failed, "execution")+" failed"),
		words.Part(c.Parked, "parked"), words.Part(c.Cancelled, "cancelled"), words.Part(c.Expired, "expired"), words.Part(c.Terminated, "ended by force"))...)
}
