package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/demo"
	"github.com/ltp-node/ltp/internal/pglocal"
	"github.com/ltp-node/ltp/internal/words"
	"github.com/ltp-node/ltp/orderdb"
)

// The sides of the outage benchmark.
const (
	withGate        = "gate"
	retriesCapped   = "retries, 1 s to 5 s"
	retriesDefaults = "retries, Temporal's defaults"
)

var outageBenchmark = benchmark{
	name: "outage", title: "Against what people do today",
	sides: []string{withGate, retriesCapped, retriesDefaults},
	measures: []measure{
		{key: "failed", label: "writes that failed in the outage", decimals: 0},
		{key: "knowingly", label: "of them begun by whoever could know of the outage", decimals: 0},
		{key: "last", label: "from the end of the outage to the last commit, s", decimals: 1},
		{key: "half", label: "from the end of the outage until half were committed, s", decimals: 1},
		{key: "executed", label: "orders executed", decimals: 0, count: true},
		{key: "errors", label: "orders that were not accepted, or did not end well", decimals: 0},
		{key: "events", label: "history events", decimals: 1},
		{key: "attempts", label: "writes tried for an order", decimals: 1},
	},
	aims: func(r Result) []Aim {
		aims := []Aim{
			r.atMost(withGate, measure{key: "knowingly", label: "failed writes when the outage was known"}, 0),
			r.atMost(withGate, measure{key: "errors", label: "orders not accepted or lost"}, 0),
		}
		last := measure{key: "last", label: "seconds to the last commit", decimals: 1}
		for _, side := range []string{retriesCapped, retriesDefaults} {
			aims = append(aims, r.atLeast(last, withGate, side, 1))
		}
		return aims
	},
	setting: func(s sizes) string {
		return fmt.Sprintf("%s a side arrive evenly in an outage of %s, all three sides at once, on the same order database and server; a Postgres server that turns read-only (where there is no Postgres: an SQLite file that is locked); %s", words.Plural(s.outageOrders, "order"), s.outage, words.Plural(s.outageRounds, "round"))
	},
	run: func(ctx context.Context, b *bench) (rounds []Round, err error) {
		for i := range b.outageRounds {
			round, err := b.playOutage(ctx)
			if err != nil {
				return rounds, fmt.Errorf("round %d: %w", i+1, err)
			}
			for _, side := range round.Order {
				f := round.Sides[side]
				b.report("round %d of %d, %s: %.0f failed writes, %.0f of them knowingly; last commit after %.1f s", i+1, b.outageRounds, side, f["failed"], f["knowingly"], f["last"])
			}
			rounds = append(rounds, round)
		}
		return rounds, nil
	},
}

// outage is an outage as it was.
type outage struct{ began, known, ended time.Time }

// playOutage plays one outage.
func (b *bench) playOutage(ctx context.Context) (round Round, err error) {
	url, fault, remove, err := faultyDatabase(ctx)
	if err != nil {
		return round, err
	}
	defer remove()
	r, err := b.openOn(ctx, url, ltp.DefaultPolicy())
	if err != nil {
		return round, err
	}
	defer r.close()
	if fault.Begin == nil {
		fault = demo.Lock(r.ordersURL, orderdb.DefaultSchema)
	}
	r.meter.keepAttempts.Store(true)
	var o outage
	o.began = time.Now()
	if err := fault.Begin(ctx); err != nil {
		return round, err
	}
	load := r.arrive(ctx, b.outageOrders, b.outage)
	select {
	case <-ctx.Done():
		return round, ctx.Err()
	case <-time.After(time.Until(o.began.Add(b.outage))):
	}
	if err := fault.End(ctx); err != nil {
		return round, err
	}
	o.ended = time.Now()
	b.report("the outage is over")
	if err := load.end(ctx); err != nil {
		return round, err
	}
	if fault.After != nil {
		if err := fault.After(ctx); err != nil {
			return round, err
		}
	}
	if o.known, err = r.published(ctx, ltp.Unstable, o.began); err != nil {
		return round, err
	}
	return b.outcomes(ctx, r, load, o)
}

// faultyDatabase is a Postgres server that can be made read-only; where there is none,
// nothing: the rig's SQLite file is locked.
func faultyDatabase(ctx context.Context) (url string, fault demo.Fault, remove func(), err error) {
	server, err := pglocal.Start(ctx, pglocal.Options{NoSync: true})
	if errors.Is(err, pglocal.ErrNotInstalled) {
		return "", fault, func() {}, nil
	}
	if err != nil {
		return "", fault, nil, err
	}
	set := func(value string) func(context.Context) error {
		return func(context.Context) error { return server.Set("default_transaction_read_only", value) }
	}
	return server.URL("postgres"), demo.Fault{Begin: set("on"), End: set("")}, server.Remove, nil
}

// arrivals are the orders of an outage.
type arrivals struct {
	rig    *rig
	orders map[string][]ltp.Order // by side
	runs   chan error             // one for every order, when it has ended or failed
	errors map[string]int
	wanted int
}

// failure is an order that was not accepted or did not end well.
type failure struct{ side string }

func (f failure) Error() string { return f.side }

// arrive submits n orders of each side, evenly, and does not wait for them.
func (r *rig) arrive(ctx context.Context, n int, over time.Duration) *arrivals {
	a := &arrivals{rig: r, orders: map[string][]ltp.Order{}, errors: map[string]int{}}
	for _, side := range outageSides {
		a.orders[side] = r.orders("outage", n)
		a.wanted += n
	}
	a.runs = make(chan error, a.wanted)
	begun := time.Now()
	for _, side := range outageSides {
		for i, o := range a.orders[side] {
			// None comes after the end of the outage.
			at := begun.Add(time.Duration(float64(over) * 0.98 * float64(i) / float64(n)))
			go func() {
				select {
				case <-ctx.Done():
				case <-time.After(time.Until(at)):
				}
				if err := a.follow(ctx, side, o); err != nil {
					a.runs <- failure{side}
					return
				}
				a.runs <- nil
			}()
		}
	}
	return a
}

var outageSides = []string{withGate, retriesCapped, retriesDefaults}

// follow submits an order and returns when it has ended.
func (a *arrivals) follow(ctx context.Context, side string, o ltp.Order) error {
	if side == withGate {
		return a.rig.execute(ctx, o)
	}
	retry := retryDefault
	if side == retriesCapped {
		retry = retryCapped
	}
	var run client.WorkflowRun
	run, err := a.rig.bare.submit(ctx, bareOrder, bareInput{Order: o, Retry: retry})
	if err != nil {
		return err
	}
	return run.Get(ctx, nil)
}

// end waits until all orders have ended.
func (a *arrivals) end(ctx context.Context) error {
	patience := time.After(patience)
	for range a.wanted {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-patience:
			return errPatience
		case err := <-a.runs:
			var f failure
			if errors.As(err, &f) {
				a.errors[f.side]++
			}
		}
	}
	return nil
}

// outcomes sums up what became of every side's orders.
func (b *bench) outcomes(ctx context.Context, r *rig, a *arrivals, o outage) (Round, error) {
	round := Round{Order: outageSides, Sides: map[string]Figures{}}
	for _, side := range outageSides {
		id := bareID
		if side == withGate {
			id = ltp.OrderWorkflowID
		}
		f, err := r.cost(ctx, a.orders[side], id)
		if err != nil {
			return round, err
		}
		var commits []float64
		tried := 0.0
		for _, t := range r.attempts(side) {
			if !t.begun.IsZero() {
				tried++
			}
			switch {
			case !t.failed:
				commits = append(commits, t.ended.Sub(o.ended).Seconds())
			case t.begun.IsZero() || t.begun.After(o.ended):
			default:
				f["failed"]++
				if t.asked.After(o.known) {
					f["knowingly"]++
				}
			}
		}
		if len(commits) == 0 {
			return round, fmt.Errorf("%s: no order was executed", side)
		}
		slices.Sort(commits)
		f["failed"], f["knowingly"] = f["failed"]+0, f["knowingly"]+0 // 0 is a figure, too
		f["executed"], f["errors"] = float64(len(commits)), float64(a.errors[side])
		f["last"], f["half"] = max(commits[len(commits)-1], 0), max(median(commits), 0)
		f["attempts"] = tried / float64(len(a.orders[side]))
		round.Sides[side] = f
	}
	return round, nil
}

// attempts are those of a side.
func (r *rig) attempts(side string) []attempt {
	if side == withGate {
		r.meter.mu.Lock()
		defer r.meter.mu.Unlock()
		return slices.Clone(r.meter.attempts)
	}
	kind := retryDefault
	if side == retriesCapped {
		kind = retryCapped
	}
	r.bare.mu.Lock()
	defer r.bare.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.bare.attempts), func(t attempt) bool { return t.kind != kind })
}
