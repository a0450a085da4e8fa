package observer_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ltp-node/ltp"
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

// Bank is a component that orders depend on.
type Bank struct{ closed bool }

// Reserve reserves nothing, which takes the path of a reservation.
func (b *Bank) Reserve(context.Context) (branch string, err error) {
	if b.closed {
		return "", ErrClosed
	}
	return "main street", nil
}

// ErrClosed says by itself that nothing can be reserved.
var ErrClosed = errors.New("closed")

// BankProbe is a probe of one's own: it does the smallest thing that needs all that
// an order needs, and hangs for as long as that hangs.
type BankProbe struct{ bank *Bank }

func (p *BankProbe) Probe(ctx context.Context) (map[string]string, error) {
	branch, err := p.bank.Reserve(ctx)
	switch {
	case errors.Is(err, ErrClosed):
		return nil, &Closed{err}
	case err != nil:
		return nil, err // must repeat before it means anything
	}
	return map[string]string{"leader": branch}, nil
}

// Closed is a fault that needs no second sample.
type Closed struct{ error }

func (c *Closed) Definite() bool { return true }

func (c *Closed) Reason() string { return "Bank is closed" }

func ExampleProbe() {
	settings := observer.DefaultSettings()
	settings.Subject, settings.Interval = "Bank", time.Millisecond
	bank := &Bank{}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	_ = observer.Watch(ctx, &BankProbe{bank}, settings, "", func(seen ltp.Observation) {
		fmt.Println(seen.Verdict, "-", seen.Reason)
		if bank.closed {
			cancel()
		}
		bank.closed = true
	}, func(observer.Status) {})
	// Output:
	// HEALTHY - Bank latency normal
	// UNHEALTHY - Bank is closed
}

// The database is written to, and what its cluster says is evidence beside that: here
// it ends a write that hangs, long before the write has hung for UnfitLatency.
func ExampleWithEvidence() {
	write := probeFunc(func(ctx context.Context) (map[string]string, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	cluster := probeFunc(func(context.Context) (map[string]string, error) {
		return map[string]string{"members": "db2 starting"}, fault{definite: true}
	})
	facts, err := observer.WithEvidence(write, observer.Evidence{Name: "cluster", Probe: cluster}).Probe(context.Background())
	fmt.Println(facts, err)
	// Output:
	// map[cluster_members:db2 starting] cluster: fault, definite: true
}
