package demo

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/ltp-node/ltp"
)

// Report is what a demo measured: the shape of `ltp demo --format json`, a contract.
type Report struct {
	Orders   Orders       `json:"orders"`
	OrderDB  OrderDB      `json:"order_db"`
	Timeline []Transition `json:"timeline"`
	Outage   Outage       `json:"outage"`
	Recovery Recovery     `json:"recovery"`
	Cost     Costs        `json:"cost"`
	// API holds one entry for each phase: "stable", "outage", "recovery" and
	// "resolution".
	API map[string]Latencies `json:"api"`
	// Guarantees are the promises of ARCHITECTURE.md, held against the figures.
	Guarantees []Verdict `json:"guarantees"`
	// Comparison is there when plain orders ran besides.
	Comparison *Comparison `json:"comparison,omitempty"`
	// Run is the prefix of the IDs of this demo's orders.
	Run string `json:"run"`
	// Example is an order that was deferred and replayed.
	Example string `json:"example"`
}

// Orders counts the demo's orders. Submitted = accepted + errors; accepted is the
// sum of the five ends below deferred, which counts the orders that were deferred at
// least once.
type Orders struct {
	Submitted int `json:"submitted"`
	Accepted  int `json:"accepted"`
	Errors    int `json:"errors"`
	Deferred  int `json:"deferred"`
	Executed  int `json:"executed"`
	Rejected  int `json:"rejected"`
	Cancelled int `json:"cancelled"`
	Expired   int `json:"expired"`
	Pending   int `json:"pending"`
}

// OrderDB is what the order database itself holds, and which writes were begun.
type OrderDB struct {
	Rows                  int `json:"rows"`
	Duplicates            int `json:"duplicates"`
	Missing               int `json:"missing"`
	WritesBegunWhileUnfit int `json:"writes_begun_while_unfit"`
	// WritesUnderWay stood between the fence and the database when an unfit state was
	// published; the latest of them began LatestUnderWayMs after that.
	WritesUnderWay   int   `json:"writes_under_way"`
	LatestUnderWayMs int64 `json:"latest_under_way_ms"`
}

// Transition is one orientation frame.
type Transition struct {
	Epoch  int64     `json:"epoch"`
	State  ltp.State `json:"state"`
	Reason string    `json:"reason"`
	At     Time      `json:"at"`
}

// Outage is when writes really were not possible and why, and how long that took to
// notice.
type Outage struct {
	Fault           string `json:"fault"`
	Begins          string `json:"begins"`
	Ends            string `json:"ends"`
	BeganAt         Time   `json:"began_at"`
	EndedAt         Time   `json:"ended_at"`
	DetectedAfterMs int64  `json:"detected_after_ms"`
}

// Recovery is what followed. DrainMs runs from RECOVERING to the last commit of the
// backlog.
type Recovery struct {
	RecoveringAt  Time  `json:"recovering_at"`
	FirstCommitAt Time  `json:"first_commit_at"`
	LastCommitAt  Time  `json:"last_commit_at"`
	DrainMs       int64 `json:"drain_ms"`
	StableAt      Time  `json:"stable_at"`
}

// Costs are medians over the orders of a path.
type Costs struct {
	Stable   Cost `json:"stable"`
	Deferred Cost `json:"deferred"`
}

// Cost is what one order costs Temporal.
type Cost struct {
	Events       int64 `json:"events"`
	Transitions  int64 `json:"transitions"`
	HistoryBytes int64 `json:"history_bytes"`
	// Orders is how many orders the medians are over.
	Orders int `json:"orders"`
}

// Latencies are what clients of the order API saw. Accept runs until the order was
// durable, as the API says in Server-Timing; answer until the answer was read,
// which includes the wait for a confirmation.
type Latencies struct {
	Requests    int     `json:"requests"`
	AcceptP50Ms float64 `json:"accept_p50_ms"`
	AcceptP99Ms float64 `json:"accept_p99_ms"`
	AnswerP50Ms float64 `json:"answer_p50_ms"`
	AnswerP99Ms float64 `json:"answer_p99_ms"`
}

// Verdict says whether a guarantee held, and by which figures.
type Verdict struct {
	Guarantee string `json:"guarantee"`
	Held      bool   `json:"held"`
	Evidence  string `json:"evidence"`
}

// Held reports whether every guarantee held.
func (r Report) Held() bool {
	return !slices.ContainsFunc(r.Guarantees, func(v Verdict) bool { return !v.Held })
}

// Time is a moment as reports show it: RFC 3339 with milliseconds, UTC; null when
// it never came.
type Time struct{ time.Time }

// MarshalJSON implements json.Marshaler.
func (t Time) MarshalJSON() ([]byte, error) {
	if t.IsZero() {
		return []byte("null"), nil
	}
	return json.Marshal(t.UTC().Format("2006-01-02T15:04:05.000Z07:00"))
}

// median of the values; 0 without any.
func median(values []int64) int64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// percentile of the durations in milliseconds; 0 without any.
func percentile(d []time.Duration, p float64) float64 {
	if len(d) == 0 {
		return 0
	}
	d = slices.Clone(d)
	slices.Sort(d)
	at := int(float64(len(d)-1)*p + 0.5)
	return float64(d[at].Microseconds()) / 1000
}
