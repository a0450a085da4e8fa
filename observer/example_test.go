package observer_test

import (
	"fmt"
	"time"

	"github.com/ltp-node/ltp/observer"
)

// A detector is fed with samples by hand here; [observer.Watch] takes them from a
// probe.
func ExampleDetector() {
	d := observer.NewDetector(observer.DefaultSettings())
	now := time.Date(2024, 5, 20, 14, 30, 0, 0, time.UTC)
	for _, s := range []observer.Sample{
		{Latency: 3 * time.Millisecond},
		{Latency: 4 * time.Millisecond},
		{Latency: 5 * time.Second, Hanging: true},
		{Latency: 45 * time.Second},
		{Latency: 3 * time.Millisecond},
		{Latency: 3 * time.Millisecond},
	} {
		next, seen, changed := d.Next(s, now)
		if d = next; changed {
			fmt.Println(seen.Verdict, "-", seen.Reason)
		}
	}
	// Output:
	// HEALTHY - DB write latency normal
	// UNHEALTHY - DB Write Latency > 5000ms
	// HEALTHY - DB write latency normal
}
