package faults

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/internal/loopback"
)

// TestRandomFaultsLoseAndRepeatNoOrder breaks and mends the order node at random while customers order,
// cancel and repeat themselves, also at the very moment of the fault, and checks after every step that the promises of
// ARCHITECTURE.md hold. In the end everything is mended, everything drains, the audit
// of every incident holds and its export is verified.
//
// FAULTS_SEED chooses the walk, FAULTS_STEPS its length, FAULTS_ORDERS how many orders
// come with every step. The same seed takes the same steps; how they meet is up to the
// machine.
func TestRandomFaultsLoseAndRepeatNoOrder(t *testing.T) {
	t.Parallel()
	takeWalk(t, newWalk)
}

func takeWalk(t *testing.T, begin func(t *testing.T, seed int) *walk) {
	seed, steps, orders := setting("FAULTS_SEED", 20251117), setting("FAULTS_STEPS", 12), setting("FAULTS_ORDERS", 8)
	w := begin(t, seed)
	taken := 0
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("It failed at step %d. To see it again:\nFAULTS_SEED=%d FAULTS_STEPS=%d FAULTS_ORDERS=%d go test ./tests/faults -run '^%s$' -count=1 -v",
				taken, seed, min(taken, steps), orders, t.Name())
		}
	})
	for taken = 1; taken <= steps && !t.Failed(); taken++ {
		s := w.choose()
		t.Logf("step %d: %s", taken, s.name)
		struck := make(chan struct{})
		all := wishes(w.random, fmt.Sprintf("w-%03d", taken), orders, struck)
		if w.pg != nil {
			all = w.poisoned(all)
		}
		w.submit(all)
		if !w.down && w.working("API") > 0 {
			w.accepting(all) // so that they are under way
		}
		s.do()
		close(struck)
		w.settle()
	}
	if !t.Failed() {
		w.mend()
	}
}

// walk is an order node and what is wrong with it.
type walk struct {
	*books
	random *rand.Rand
	units  []*unit

	down   bool   // Temporal is away
	unlock func() // ends an outage of the order database; nil when it is fit
	held   bool
	paused bool
	stray  *process  // an observer of an order database that is not there; nil is none
	x      *exchange // between the workers and Temporal
	store  *visibility
	pg     *sickbed // what is wrong with Postgres; nil where the order database is SQLite
}

// unit is one process of the node.
type unit struct {
	kind   string
	start  func() *process
	p      *process // nil while it is down
	frozen bool
}

func (u *unit) works() bool { return u.p != nil && !u.frozen }

func newWalk(t *testing.T, seed int) *walk {
	t.Helper()
	r := newRig(t, "")
	r.refuses(refusedSKU)
	return r.walk(seed, nil, r.Orders)
}

// walk begins a walk. Workers and observers each have their URL of the order database.
func (r *rig) walk(seed int, pg *sickbed, workers string) *walk {
	r.T.Helper()
	t := r.T
	w := &walk{pg: pg, random: rand.New(rand.NewPCG(uint64(seed), 1)), x: newExchange(t, r.Address), store: &visibility{}}
	w.x.on(w.store.handle)
	listen := freeAddress(t)
	w.books = r.books("http://" + listen)
	worker := func() *process { return r.workerOn(w.x.address, workers) }
	observer := func() *process { return r.observer(r.Orders) }
	api := func() *process {
		p, _ := r.api(r.Address, listen)
		return p
	}
	w.units = []*unit{{kind: "worker", start: worker}, {kind: "worker", start: worker},
		{kind: "observer", start: observer}, {kind: "observer", start: observer}, {kind: "API", start: api}}
	for _, u := range w.units {
		u.p = u.start()
	}
	r.Until(r.seen, ltp.Stable)
	return w
}

// refuses has the order database refuse an article for good.
func (r *rig) refuses(sku string) {
	r.T.Helper()
	db, err := sql.Open("sqlite", "file:"+r.Orders+"?_pragma=busy_timeout(10000)")
	require.NoError(r.T, err)
	defer db.Close()
	_, err = db.ExecContext(r.Ctx, "CREATE TRIGGER refuses BEFORE INSERT ON orders WHEN NEW.body LIKE '%"+sku+"%' BEGIN SELECT RAISE(ABORT, 'not sold'); END")
	require.NoError(r.T, err)
}

func freeAddress(t *testing.T) string {
	t.Helper()
	port, err := loopback.Port(0)
	require.NoError(t, err)
	return net.JoinHostPort(loopback.Address, strconv.Itoa(port))
}

// freeze freezes a unit.
func (w *walk) freeze(u *unit) {
	w.T.Helper()
	if u.frozen = true; w.unlock != nil || w.pg != nil {
		u.p.Freeze()
		return
	}
	w.rig.freeze(u.p)
}

// working is how many units of a kind work.
func (w *walk) working(kind string) (n int) {
	for _, u := range w.units {
		if u.kind == kind && u.works() {
			n++
		}
	}
	return n
}

// settle gives the node the time that it needs to show what it must, by what is wrong
// with it, and checks the promises.
func (w *walk) settle() {
	w.T.Helper()
	drain := w.random.IntN(2) == 0 // drawn in any case, so that the walk stays the same
	if w.down {
		return // nobody can look
	}
	fit := w.unlock == nil && !w.held && (w.pg == nil || w.pg.fit())
	switch observed := w.working("observer") > 0; {
	case w.working("worker") == 0: // the state is nobody's
	case w.pg != nil && w.pg.doubtful(): // some orders may find room
	case w.stray != nil: // of observers that disagree, the one that is active is believed
	case w.held, observed && !fit:
		w.Until(w.seen, ltp.Unstable)
	case !observed:
		w.UntilFits(w.seen, "UNKNOWN", func(now board.Reading) bool { return now.State == ltp.Unknown })
	case w.store.sick() || w.paused:
		w.UntilFits(w.seen, "a fit state", func(now board.Reading) bool { return now.State.Fit() && !now.Unreadable })
	default:
		w.Until(w.seen, ltp.Stable)
		if drain {
			w.settled()
		}
	}
	w.check()
}

// comesBack starts Temporal again, and waits until workers reach it.
func (w *walk) comesBack() {
	w.T.Helper()
	w.Serve()
	w.x.reconnect(w.T)
}

// mend repairs everything, and holds what there is in the end against every promise.
func (w *walk) mend() {
	w.T.Helper()
	w.T.Log("everything is mended")
	if w.down {
		w.comesBack()
		w.down = false
	}
	w.store.set("", 0)
	if w.stray != nil {
		w.leaves()
	}
	for _, u := range w.units {
		switch {
		case u.p == nil:
			u.p = u.start()
		case u.frozen:
			u.p.Thaw()
			u.frozen = false
		}
	}
	if w.unlock != nil {
		w.unlock()
		w.unlock = nil
	}
	if w.pg != nil {
		w.pg.mend()
	}
	if w.held {
		w.Release()
		w.held = false
	}
	if w.paused {
		w.resume()
	}
	w.customer.Wait() // everybody has an answer
	w.Until(w.seen, ltp.Stable)
	w.settled()
	w.check()
	for id, e := range w.entries {
		require.Truef(w.T, e.promised && (e.ended != "" || e.parked), "%s: %+v", id, e)
	}
	w.Until(w.seen, ltp.Stable)
	w.audited()
	w.verified()
}

// strays has an observer join that sees no order database, whatever the others see.
func (w *walk) strays() {
	if w.pg != nil {
		w.stray = w.observer(strings.Replace(w.rig.Orders, "/orders?", "/elsewhere?", 1))
		return
	}
	w.stray = w.observer(w.rig.Orders + ".elsewhere")
}

// noWrites has the order database take no writes, not even a probe's.
func (w *walk) noWrites() (end func()) {
	if w.pg != nil {
		return w.pg.lock("orders, order_keys, order_outbox, ltp_probe")
	}
	return w.Outage()
}

// leaves has it go; what it observed, another takes over.
func (w *walk) leaves() {
	w.stray.Interrupt()
	w.stray = nil
}

// storm sends orders signals that were true once: of recoveries that are over, and of the
// one that goes on, again and again. False ones the audit would rightly call so.
func (w *walk) storm() {
	w.T.Helper()
	o, err := w.Reader().Orientation(w.rig.Ctx, ltp.DefaultComponent)
	require.NoError(w.T, err)
	var old []ltp.Stability
	for _, f := range o.Frames {
		if said := f.Orientation; said.State.Fit() {
			old = append(old, ltp.Stability{Component: said.Component, State: said.State, Epoch: said.Epoch})
		}
	}
	_, open := w.promised()
	for i := range min(1000, 20*len(open)) {
		id := ltp.OrderWorkflowID(open[i%len(open)])
		// An order that has ended meanwhile takes none.
		_ = w.Client.SignalWorkflow(w.rig.Ctx, id, "", ltp.StabilitySignal, old[i%len(old)])
	}
}
