package ltp

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What makes failed writes of orders the fault of their component.
const (
	// FailingOrders is how many distinct orders must fail, and none commit between them.
	FailingOrders = 3
	// FailingWindow is how long a failed write is remembered.
	FailingWindow = 30 * time.Second
	// MaxFailed is the most orders that one report of failed writes names.
	MaxFailed = 16
	// maxErrorRunes bounds an error in a reason, in runes.
	maxErrorRunes = 300
)

// FailedWrites are a worker's report to an Orientation: writes of orders that failed for a
// reason which is not known to be the order's own.
type FailedWrites struct {
	Component string `json:"component"`
	Worker    string `json:"worker"`
	// Epoch is that of the component under which they failed. Under another one they say
	// nothing.
	Epoch int64 `json:"epoch"`
	// Orders failed since the last report of the worker, and since the last commit that it
	// saw. More than MaxFailed are left out.
	Orders []FailedWrite `json:"orders"`
	// Commits is how many other orders the worker saw commit before the first of Orders,
	// since its last report.
	Commits int `json:"commits,omitempty"`
	// Setback says that canaries of a release failed, which is enough by itself.
	Setback bool `json:"setback,omitempty"`
}

// FailedWrite is one order whose write failed.
type FailedWrite struct {
	Order string `json:"order"`
	// Code is the SQLSTATE, where the database gave one.
	Code string `json:"code,omitempty"`
	// Error is what the database said.
	Error string `json:"error,omitempty"`
	// Hung says that the write did not return in time.
	Hung bool `json:"hung,omitempty"`
}

// String is what the database said of the write: "permission denied for table orders
// (42501)".
func (w FailedWrite) String() string {
	said := strings.Join(strings.Fields(w.Error), " ")
	if letters := []rune(said); len(letters) > maxErrorRunes {
		said = string(letters[:maxErrorRunes]) + "…"
	}
	switch {
	case said == "" && w.Hung:
		said = "the write hangs"
	case said == "":
		said = "no reason was given"
	}
	if w.Code != "" && !strings.Contains(said, w.Code) {
		said += " (" + w.Code + ")"
	}
	return said
}

// FailedAt is an order whose write failed, and when that was last heard.
type FailedAt struct {
	Order string    `json:"order"`
	At    time.Time `json:"at"`
}

// weighFailures weighs the failed writes of orders. They count while the component is fit, and
// under the epoch in force alone.
func (c *Condition) weighFailures(w FailedWrites, p Policy, now time.Time) {
	if !c.Orientation.State.Fit() || w.Epoch != c.Orientation.Epoch || len(w.Orders) == 0 && !w.Setback {
		return
	}
	c.rememberFailed(w, now)
	if len(c.Failed) < FailingOrders && !w.Setback {
		return
	}
	reason, evidence := w.explain(len(c.Failed))
	fit := c.Last.Verdict.Fit()
	c.recordFall(now, p)
	c.enter(Unstable, reason, now)
	c.Orientation.Evidence, c.Orientation.Observer = evidence, w.Worker
	if fit { // the observer sees nothing wrong, and will have no news to tell
		c.FitSince = now
	}
}

// rememberFailed keeps the orders that failed, each once, without those before a commit
// and those that are too old. FailingOrders of them change the epoch, which forgets all.
func (c *Condition) rememberFailed(w FailedWrites, now time.Time) {
	failed := c.Failed
	if w.Commits > 0 {
		failed = nil
	}
	for _, one := range w.Orders[:min(len(w.Orders), MaxFailed)] {
		failed = slices.DeleteFunc(failed, func(f FailedAt) bool { return f.Order == one.Order })
		failed = append(failed, FailedAt{one.Order, now})
	}
	c.Failed = slices.DeleteFunc(failed, func(f FailedAt) bool { return now.Sub(f.At) >= FailingWindow })
}

// explain is the reason and the evidence of a fall that failed writes of so many orders made.
func (w FailedWrites) explain(orders int) (string, Evidence) {
	var last FailedWrite
	if n := len(w.Orders); n > 0 {
		last = w.Orders[n-1]
	}
	reason := fmt.Sprintf("Orders fail: %s, %d of %d orders", last, orders, orders)
	if w.Setback {
		reason = fmt.Sprintf("Canaries fail: %s", last)
	}
	e := Evidence{Samples: orders, Error: last.String(), Facts: map[string]string{
		"worker": w.Worker, "orders": strconv.Itoa(orders),
	}}
	if last.Code != "" {
		e.Facts["code"] = last.Code
	}
	return reason, e
}
