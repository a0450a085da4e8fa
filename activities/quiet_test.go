package activities_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
	"github.com/ltp-node/ltp/observer"
)

// day is a component that is observed, and two workers whose orders it takes, for as long
// as a test lets a simulated clock run: the real watch, the real reports of workers and the
// real state machine, of a database that is played.
type day struct {
	client.Client

	mu        sync.Mutex
	condition ltp.Condition
	settled   bool              // STABLE, or unfit for good, was reached
	changes   []ltp.Orientation // of state, after that
	samples   int
	results   map[observer.Result]int
	reports   int
	latency   func(since time.Duration) (time.Duration, error) // of the next probe
	begun     time.Time
}

// SignalWorkflow has the Orientation hear a report.
func (d *day) SignalWorkflow(_ context.Context, _, _, _ string, arg any) error {
	report := arg.(ltp.FailedWrites)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reports++
	d.input(ltp.Input{Failing: &report})
	return nil
}

// input is one thing that happens to the component. What waits for it is released at once.
func (d *day) input(in ltp.Input) {
	before := d.condition.Orientation.State
	d.condition, _ = d.condition.Next(in, ltp.DefaultPolicy(), time.Now())
	if now := d.condition.Orientation; now.State != before && d.settled {
		d.changes = append(d.changes, now)
	}
	if now := d.condition.Orientation; now.State == ltp.Recovering {
		d.input(ltp.Input{Drained: now.Epoch})
	}
}

// Probe takes as long as the database does, or as the watch waits.
func (d *day) Probe(ctx context.Context) (map[string]string, error) {
	took, err := d.latency(time.Since(d.begun))
	select {
	case <-time.After(took):
		return nil, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// play lets the clock run for so long, while orders are executed by do.
func (d *day) play(t *testing.T, length time.Duration, do func(ctx context.Context, number int, e *activities.Evidence)) {
	d.begun, d.results = time.Now(), map[observer.Result]int{}
	d.condition = ltp.NewCondition(db, 0, d.begun)
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	var all sync.WaitGroup
	all.Go(func() {
		_ = observer.Watch(ctx, d, observer.DefaultSettings(), "", func(o ltp.Observation) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.input(ltp.Input{Observed: &o})
		}, func(s observer.Status) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.input(ltp.Input{}) // a dwell may be over
			d.samples, d.results[s.Result] = d.samples+1, d.results[s.Result]+1
			d.settled = d.settled || s.At.Sub(d.begun) > time.Minute
		})
	})
	workers := []*activities.Evidence{{Client: d, Worker: "w-1", Log: silent}, {Client: d, Worker: "w-2", Log: silent}}
	for n := 0; do != nil && ctx.Err() == nil; n++ {
		do(ctx, n, workers[n%len(workers)])
	}
	all.Wait()
	time.Sleep(time.Minute) // the last failures, and their reports
	synctest.Wait()
}

// between draws a duration.
func between(random *rand.Rand, from, to time.Duration) time.Duration {
	return from + time.Duration(random.Int64N(int64(to-from)))
}

// TestADayOfPoisonAndNoiseChangesNothing: for a day, an order in a hundred keeps failing by its own fault,
// again and again; every minute a session is killed, of the probe or of a worker; and one
// probe in a thousand takes about as long as a slow one, or nearly as long as one that
// hangs. Nobody can tell of any failure whose fault it is, so all are reported: the write path is
// not tried, and the visibility store is silent.
func TestADayOfPoisonAndNoiseChangesNothing(t *testing.T) {
	const length = 24 * time.Hour
	synctest.Test(t, func(t *testing.T) {
		d := &day{}
		probes, customers := rand.New(rand.NewPCG(1, 1)), rand.New(rand.NewPCG(1, 2)) // each is of one goroutine
		settings := observer.DefaultSettings()
		lost := errors.New("the session was killed")
		minute := 0
		var kills atomic.Int64
		d.latency = func(since time.Duration) (time.Duration, error) {
			if now := int(since / time.Minute); now > minute && now%2 == 0 {
				minute = now
				kills.Add(1)
				return 20 * time.Millisecond, lost
			}
			switch n := probes.IntN(2000); n {
			case 0:
				return between(probes, settings.SlowExit, 2*settings.SlowLatency), nil
			case 1:
				return between(probes, settings.FitLatency, settings.UnfitLatency-1), nil
			}
			return between(probes, time.Millisecond, 20*time.Millisecond), nil
		}
		orders, poison, failures, killed := 0, 0, 0, 0
		d.play(t, length, func(ctx context.Context, n int, e *activities.Evidence) {
			time.Sleep(between(customers, 0, 400*time.Millisecond))
			orders++
			id := fmt.Sprint("A", n)
			if now := int(time.Since(d.begun) / time.Minute); now > killed && now%2 == 1 {
				killed = now
				kills.Add(1)
				e.Failed(db, d.epoch(), ltp.FailedWrite{Order: id, Code: "57P01", Error: lost.Error(), Hung: true})
				time.Sleep(time.Second)
			}
			if n%100 != 99 {
				e.Committed(db)
				return
			}
			poison++
			failures += d.poisons(id, e)
		})
		t.Logf("%s: %d samples %v, %d orders, %d of them poison with %d failures, %d sessions killed, %d reports, %d changes of state",
			length, d.samples, d.results, orders, poison, failures, kills.Load(), d.reports, len(d.changes))
		assert.Empty(t, d.changes)
		assert.Equal(t, ltp.Stable, d.condition.Orientation.State)
		assert.Greater(t, d.reports, poison, "they were reported")
		assert.Greater(t, d.results[observer.ResultSlow], 50)
	})
}

func (d *day) epoch() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.condition.Orientation.Epoch
}

// poisons has an order fail until it would be parked, beside the others, and returns how
// often that is.
func (d *day) poisons(id string, e *activities.Evidence) (failures int) {
	go func() {
		for i := range ltp.ParkAfter {
			e.Failed(db, d.epoch(), ltp.FailedWrite{Order: id, Code: "22003", Error: "numeric field overflow"})
			time.Sleep(time.Second << i)
		}
	}()
	return ltp.ParkAfter
}

// TestMinutesWithoutACommitAreSeen: the quiet of a day is no deafness.
func TestMinutesWithoutACommitAreSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &day{}
		d.latency = func(time.Duration) (time.Duration, error) { return 5 * time.Millisecond, nil }
		var fell time.Duration
		d.play(t, time.Hour, func(_ context.Context, n int, e *activities.Evidence) {
			time.Sleep(time.Second)
			since := time.Since(d.begun)
			if len(d.states()) > 0 || since < 30*time.Minute { // a release that does not fail ends it
				e.Committed(db)
				return
			}
			fell = since
			e.Failed(db, d.epoch(), ltp.FailedWrite{Order: fmt.Sprint("A", n), Code: "42501"})
		})
		assert.Equal(t, []ltp.State{ltp.Unstable, ltp.Recovering, ltp.Stable}, d.states())
		assert.Less(t, fell-30*time.Minute, ltp.FailingWindow)
	})
}

// states are those that the component changed to.
func (d *day) states() (all []ltp.State) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, o := range d.changes {
		all = append(all, o.State)
	}
	return all
}
