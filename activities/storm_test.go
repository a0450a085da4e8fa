package activities_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
)

// reported is a fit component, and workers that report to it what fails.
func reported(workers int) (*day, []*activities.Evidence) {
	d := &day{settled: true}
	d.condition = ltp.NewCondition(db, 0, time.Now())
	d.input(ltp.Input{Observed: &ltp.Observation{Verdict: ltp.Healthy}})
	d.changes = nil
	var all []*activities.Evidence
	for i := range workers {
		all = append(all, &activities.Evidence{Client: d, Worker: fmt.Sprint("w-", i), Log: silent})
	}
	return d, all
}

func pause(t *rapid.T, most time.Duration) time.Duration {
	return time.Duration(rapid.Int64Range(0, int64(most)).Draw(t, "passed"))
}

// TestNoStormOfOneOrderChangesTheState, on however many workers, at whatever times, under
// whatever epoch, whether others commit or nobody does.
func TestNoStormOfOneOrderChangesTheState(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		type failure struct {
			worker, commits int // commits is the worker that sees one, if there is such a worker
			late            int64
			hung            bool
			then            time.Duration
		}
		n := rapid.IntRange(1, 5).Draw(rt, "workers")
		failures := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) failure {
			return failure{
				rapid.IntRange(0, n-1).Draw(rt, "worker"), rapid.IntRange(0, 3*n).Draw(rt, "commits"),
				rapid.Int64Range(0, 1).Draw(rt, "epochs late"), rapid.Bool().Draw(rt, "hung"), pause(rt, 20*time.Second),
			}
		}), 1, 200).Draw(rt, "failures")
		var states []ltp.State
		synctest.Test(t, func(*testing.T) {
			d, workers := reported(n)
			for _, f := range failures {
				if f.commits < n {
					workers[f.commits].Committed(db)
				}
				workers[f.worker].Failed(db, d.epoch()-f.late, ltp.FailedWrite{Order: "A1", Code: "22003", Hung: f.hung})
				time.Sleep(f.then)
			}
			time.Sleep(time.Second)
			synctest.Wait()
			states = d.states()
		})
		if len(states) > 0 {
			rt.Fatalf("%v after one order", states)
		}
	})
}

// TestNoFaultOfAllOutlastsTheWindow: from some time on every write fails, of three orders
// or more, on any workers, each of which may have seen any commits and failures before; and
// the orders try again as they do. The component falls within the window.
func TestNoFaultOfAllOutlastsTheWindow(t *testing.T) {
	type moment struct {
		worker  int
		commits bool
		then    time.Duration
	}
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 5).Draw(rt, "workers")
		worker := func(rt *rapid.T) int { return rapid.IntRange(0, n-1).Draw(rt, "worker") }
		before := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) moment {
			return moment{worker(rt), rapid.Bool().Draw(rt, "commits"), pause(rt, 10*time.Second)}
		}), 0, 20).Draw(rt, "before")
		orders := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) (tries []moment) {
			at := pause(rt, time.Second)
			for n := range 5 { // pauses of 1, 2, 4 and 8 s, jittered by a quarter
				tries = append(tries, moment{worker: worker(rt), then: at})
				p := time.Second << n
				at = p*3/4 + pause(rt, p/2)
			}
			return tries
		}), ltp.FailingOrders, 6).Draw(rt, "orders")
		var states []ltp.State
		synctest.Test(t, func(*testing.T) {
			d, workers := reported(n)
			for _, m := range before {
				if m.commits {
					workers[m.worker].Committed(db)
				} else {
					workers[m.worker].Failed(db, d.epoch(), ltp.FailedWrite{Order: "old"})
				}
				time.Sleep(m.then)
			}
			epoch := d.epoch()
			for i, tries := range orders {
				go func() {
					for _, m := range tries {
						time.Sleep(m.then)
						workers[m.worker].Failed(db, epoch, ltp.FailedWrite{Order: fmt.Sprint("A", i), Code: "42501"})
					}
				}()
			}
			time.Sleep(ltp.FailingWindow)
			synctest.Wait()
			states = d.states()
			time.Sleep(time.Minute) // the rest of the tries
			synctest.Wait()
		})
		if len(states) == 0 || states[0] != ltp.Unstable {
			rt.Fatalf("%v after all orders have failed for %s", states, ltp.FailingWindow)
		}
	})
}
