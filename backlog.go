package ltp

import (
	"fmt"
	"strconv"
	"time"
)

// When orders that nobody looked at for long are a backlog, which is released with
// canaries and pace like that of an outage.
const (
	// LateAfter is how long an order must have waited for its first routing to be late.
	// It is longer than Temporal takes to hand the task of a worker that died to another.
	LateAfter = 20 * time.Second
	// LateOrders is how many late orders a worker admits within LateWindow: they go before
	// the others, as canaries.
	LateOrders = 8
	LateWindow = 10 * time.Second
)

// Backlog is a worker's report to an Orientation: orders waited for a worker while none
// kept up with them, and more of them come than may be admitted at once.
type Backlog struct {
	Component string `json:"component"`
	Worker    string `json:"worker"`
	// Epoch is that of the component under which they were deferred. Under another one
	// they say nothing: a release is due or under way.
	Epoch int64 `json:"epoch"`
	// Orders are those deferred since the last report of the worker.
	Orders int `json:"orders"`
	// WaitedMs is how long the longest of them had waited since it was accepted, by
	// Temporal's clock.
	WaitedMs int64 `json:"waited_ms"`
}

// weighBacklog has a component that takes orders release a backlog that waited for a worker.
func (c *Condition) weighBacklog(b Backlog, now time.Time) {
	switch c.Orientation.State {
	case Stable, Degraded:
	default:
		return
	}
	if b.Epoch != c.Orientation.Epoch || b.Orders < 1 {
		return
	}
	waited := (time.Duration(b.WaitedMs) * time.Millisecond).Round(time.Second)
	c.enter(Recovering, fmt.Sprintf("Orders waited %s for a worker", waited), now)
	c.Orientation.Observer = b.Worker
	c.Orientation.Evidence = Evidence{Samples: b.Orders, Facts: map[string]string{
		"worker": b.Worker, "orders": strconv.Itoa(b.Orders),
	}}
}
