package faults

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/trace"
)

// cell is what happens in one run of the matrix, to orders of every path and every wish at
// once: see paths and wants.
type cell struct {
	at     point
	frozen bool // or else killed
	flips  int  // of the component's state: 0, 1 to unfit, 2 to fit again
	late   bool // what was held up goes on after the heir has taken the orders, and not before
}

func (c cell) String() string {
	fault, when := "killed", "early"
	if c.frozen {
		fault = "frozen"
	}
	if c.late {
		when = "late"
	}
	return fmt.Sprintf("%s %s, %d flips, %s", fault, c.at, c.flips, when)
}

// paths are how an order comes to its attempt, and wants what its customer, or an
// operator, wants when the worker is gone.
var (
	paths = []string{"first", "update", "signal", "backstop"}
	wants = []string{"executed", "cancelled", "expired", "released"}
)

// cells are all of them. What was held up of a worker that is killed is gone with it, but
// for a statement that Postgres has.
func cells() (all []cell) {
	for _, at := range []point{beforeReading, beforeWrite, inWrite, beforeAnswer} {
		for flips := range 3 {
			for _, late := range []bool{false, true} {
				all = append(all, cell{at, true, flips, late})
				if late || at == inWrite {
					all = append(all, cell{at, false, flips, late})
				}
			}
		}
	}
	return all
}

// chosenCells are those that are run: all, or one of each point, by a seed.
func chosenCells() (chosen []cell) {
	all := cells()
	if os.Getenv("FAULTS_MATRIX") == "all" {
		return all
	}
	random := rand.New(rand.NewPCG(uint64(setting("FAULTS_SEED", 20251117)), 2))
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	seen := map[point]bool{}
	for _, c := range all {
		if !seen[c.at] {
			seen[c.at] = true
			chosen = append(chosen, c)
		}
	}
	return chosen
}

// TestWorkerKilledOrFrozenBetweenReadingAndAnswerWritesTheOrderOnce: whatever becomes of the worker, of the
// component and of the order meanwhile, the order is written once at most, never where it
// was cancelled or has expired, and its receipt is that of the write that happened.
//
// FAULTS_MATRIX=all runs every cell, and FAULTS_SEED chooses otherwise.
func TestWorkerKilledOrFrozenBetweenReadingAndAnswerWritesTheOrderOnce(t *testing.T) {
	for _, c := range chosenCells() {
		t.Run(c.String(), func(t *testing.T) {
			t.Parallel()
			c.run(t)
		})
	}
}

// expires is how long after it was accepted an order expires that does: long enough to
// come to the point before, and not much longer than Temporal waits for the answer.
const expires = 16 * time.Second

func (c cell) run(t *testing.T) {
	pg := postgresOf(t)
	r := newRig(t, pg.Database(t))
	var all []string
	for _, path := range paths {
		for _, want := range wants {
			all = append(all, path+"-"+want)
		}
	}
	d := r.newDuel(pg, all...)
	begun := time.Now()
	deadline := begun.Add(expires)
	d.comes(c.at, deadline)
	reached := time.Since(begun)

	d.fault(c.frozen)
	if c.flips > 0 {
		d.down()
	}
	if c.flips > 1 {
		d.up()
	}
	for _, path := range paths {
		require.NoError(t, d.Start.Cancel(d.Ctx, path+"-cancelled"))
		d.update(path+"-released", d.seen.Orientation(ltp.DefaultComponent).Epoch)
	}
	if !c.late {
		d.goesOn(c)
	}
	passed(d, deadline)
	d.inherited(all...)
	if c.late {
		d.goesOn(c)
	}
	d.drained(all...)
	d.agree(all...)

	// What the victim had under way has ended, and nothing of it counts.
	d.victim.Interrupt()
	d.quiet()
	d.agree(all...)
	counts := map[ltp.OrderState]int{}
	for _, id := range all {
		story, err := d.Reader().Order(d.Ctx, id)
		require.NoErrorf(t, err, "the trace of %s\n%s", id, d.history(ltp.OrderWorkflowID(id)))
		assert.Equal(t, d.Status(id).State, story.State(), id)
		for _, breach := range breaches(d.unfit(), []trace.OrderTrace{story}) {
			assert.Fail(t, breach)
		}
		counts[story.State()]++
	}
	t.Logf("the point was reached after %s; %v; refused answers of the victim: %v", reached.Round(time.Millisecond), counts, d.theirs.refused)
}

// comes brings the orders of every path to a point at the victim.
func (d *duel) comes(at point, deadline time.Time) {
	d.T.Helper()
	submit := func(path string) (ids []string) {
		for _, want := range wants {
			id := path + "-" + want
			ids = append(ids, id)
			d.begin(id, func(o *ltp.Order) {
				if want == "expired" {
					o.Deadline = deadline
				}
			})
		}
		return ids
	}
	d.down()
	d.vx.orders.shut()
	d.hx.orders.open()
	backstops := submit("backstop") // of the heir, whose backstop is short
	d.waits(backstops...)
	d.hx.orders.shut()
	for _, id := range backstops {
		d.unstick(id)
	}
	d.vx.orders.open()
	updates, signals := submit("update"), submit("signal")
	d.waits(append(updates, signals...)...)
	d.vx.orders.shut()
	epoch := d.up()
	submit("first")
	for _, id := range backstops {
		d.AwaitEventType(ltp.OrderWorkflowID(id), enumspb.EVENT_TYPE_TIMER_FIRED)
	}
	for _, id := range signals {
		require.NoError(d.T, d.signal(id, epoch))
	}
	d.raise(before) // so that all begin together: an attempt has seconds
	d.vx.orders.open()
	for _, id := range updates {
		d.releases(id, epoch)
	}
	d.await(before, d.ids...)
	d.raise(at)
	d.lower(before, false)
	d.await(at, d.ids...)
}

// goesOn lets what was held up go on, and thaws the victim.
func (d *duel) goesOn(c cell) {
	d.T.Helper()
	d.lower(c.at, !c.frozen)
	if c.frozen {
		d.victim.Thaw()
	}
}
