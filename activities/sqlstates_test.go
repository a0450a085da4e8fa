package activities_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/orderdb"
	"github.com/ltp-node/ltp/orderdb/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// killed stands for a trigger that ends its own session: FATAL, which no RAISE can be.
const killed = "a session that is killed"

// sqlstates are codes of every class that a database says of itself or of an order, and
// whether it means a refusal by the business: "" never, "always", or "named" where the
// operator says so.
var sqlstates = map[string]string{
	"08000": "", "08006": "", "22003": "", "22P02": "", "22P05": "", "2200H": "",
	"23502": "", "23503": "", "23505": "", "23514": "", "23P01": "", "25006": "", "26000": "", "28000": "",
	"40001": "", "40003": "", "40P01": "", "42501": "", "42P01": "", "42703": "", "53100": "", "53300": "", "55P03": "",
	"57014": "", "57P01": "", "57P03": "", "58030": "", "XX000": "", "XX001": "", killed: "",
	"P0001": "always", "LT001": "named",
}

// costly are those after which connections are made anew.
var costly = []string{"25006", "26000", killed}

// TestWhatIsSaidOfAnOrderByWhatOthersMeet holds real orders against a real Postgres in
// which a trigger fails with each code, for one order or for all, before anything was ever
// committed in the epoch and after; and lets the order's machine, the fence, the cause, the
// reports and the machine of the component do what they do. Temporal's clock is played.
//
// One order that keeps failing by its own fault ends only where another goes through the same write path after
// it, or the probe's own, unless the code is about the state of the database; and it is REJECTED only for what the business refuses, otherwise
// PARKED. Where all fail nobody is blamed, the component is UNSTABLE in the database's own
// words, and all are executed after the repair.
func TestWhatIsSaidOfAnOrderByWhatOthersMeet(t *testing.T) {
	const lanes = 4 // most of the time is waited for reports
	codes := slices.Sorted(maps.Keys(sqlstates))
	var all sync.WaitGroup
	for lane := range lanes {
		b := newBroken(t)
		all.Go(func() {
			for i := lane; i < len(codes); i += lanes {
				t.Run(codes[i], func(t *testing.T) { b.holds(t, codes[i], false) })
				if codes[i] == "LT001" || codes[i] == "23514" { // what an operator names changes nothing of the others
					t.Run(codes[i]+" with --reject-on", func(t *testing.T) { b.holds(t, codes[i], true) })
				}
			}
		})
	}
	all.Wait()
}

// holds plays all that a code can meet.
func (b *broken) holds(t *testing.T, code string, named bool) {
	rules := orderdb.Rules{}
	if named {
		rules, _ = orderdb.ParseRejectOn("sqlstate:LT001,constraint:another_check")
	}
	db, err := orderdb.Open(t.Context(), b.url, orderdb.WithRejectOn(rules))
	require.NoError(t, err)
	defer db.Close()
	b.db, b.code, b.named = db, code, named
	refused := sqlstates[code] == "always" || named && sqlstates[code] == "named"
	for _, writePath := range []bool{true, false} {
		for _, after := range []bool{false, true} {
			if slices.Contains(costly, code) && (after || !writePath) {
				continue
			}
			b.world(t, writePath, after).oneFails(refused)
			b.world(t, writePath, after).allFail()
		}
	}
}

// broken is a database with a trigger that fails.
type broken struct {
	url    string
	admin  *pgx.Conn
	db     orderdb.DB
	code   string
	named  bool
	worlds int
}

const brokenSQL = `
CREATE TABLE public.fault (pattern text, code text);
CREATE FUNCTION public.fails() RETURNS trigger AS $$
DECLARE fault record;
BEGIN
	SELECT * INTO fault FROM public.fault WHERE NEW.id LIKE pattern;
	IF fault.code = '` + killed + `' THEN
		PERFORM pg_terminate_backend(pg_backend_pid());
	ELSIF FOUND THEN
		RAISE EXCEPTION 'as the test says' USING ERRCODE = fault.code;
	END IF;
	RETURN NEW;
END $$ LANGUAGE plpgsql;
CREATE TRIGGER fails BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION public.fails()`

func newBroken(t *testing.T) *broken {
	t.Helper()
	b := &broken{url: pgtest.Shared(t).Database(t)}
	db, err := orderdb.Open(t.Context(), b.url)
	require.NoError(t, err)
	defer db.Close()
	require.NoError(t, db.Migrate(t.Context()))
	b.admin = pgtest.Connect(t, b.url)
	b.exec(t, brokenSQL)
	return b
}

func (b *broken) exec(t *testing.T, sql string) {
	t.Helper()
	_, err := b.admin.PgConn().Exec(t.Context(), sql).ReadAll()
	require.NoError(t, err, sql)
}

// fails has orders fail whose IDs are like a pattern; mended has none fail.
func (b *broken) fails(t *testing.T, like string) {
	b.exec(t, "INSERT INTO public.fault VALUES ('"+like+"', '"+b.code+"')")
}

func (b *broken) mended(t *testing.T) { b.exec(t, "DELETE FROM public.fault") }

// world is a component and the orders that are written to it.
type world struct {
	client.Client
	*broken
	t         *testing.T
	name      string
	writePath bool // the worker tries the write path with an order of the probe's
	after     bool // other orders were committed before, and are all the while, unless all fail
	all       bool // orders fail
	orders    *activities.Orders
	now       time.Time // Temporal's
	task      int64
	live      []*placed

	mu        sync.Mutex
	condition ltp.Condition
	reports   chan ltp.FailedWrites
	owed      bool // a report is on its way
	commits   []time.Time
}

// placed is one order.
type placed struct {
	ltp.Progress
	ended *ltp.Outcome
	wake  time.Time
}

// world is one in which the component is STABLE, and nothing is committed yet in its epoch
// unless after says so.
func (b *broken) world(t *testing.T, writePath, after bool) *world {
	b.worlds++
	w := &world{
		broken: b, t: t, name: fmt.Sprintf("w%d", b.worlds), writePath: writePath, after: after,
		now: time.Now().UTC(), reports: make(chan ltp.FailedWrites, 100),
	}
	w.condition = ltp.NewCondition(db, 0, w.now)
	w.input(ltp.Input{Observed: &ltp.Observation{Verdict: ltp.Healthy}})
	w.input(ltp.Input{Drained: w.condition.Orientation.Epoch})
	w.orders = &activities.Orders{
		DB: b.db, Worker: "w-1",
		Board: board.Of(func(context.Context, string) (board.Reading, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return board.Reading{Orientation: w.condition.Orientation, ReadAt: time.Now()}, nil
		}, []string{db}, silent),
		Witness: func(_ context.Context, _ string, since time.Time) (last time.Time, err error) {
			for _, at := range w.commits {
				if at.After(since) {
					last = at
				}
			}
			return last, nil
		},
		Evidence: &activities.Evidence{Client: w, Worker: "w-1", Log: silent},
	}
	if writePath {
		w.orders.WritePath = b.db
	}
	if after {
		w.commit("before")
	}
	return w
}

func (w *world) SignalWorkflow(_ context.Context, _, _, _ string, arg any) error {
	w.reports <- arg.(ltp.FailedWrites)
	return nil
}

func (w *world) input(in ltp.Input) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.condition, _ = w.condition.Next(in, ltp.DefaultPolicy(), w.now)
}

func (w *world) said() ltp.Orientation {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.condition.Orientation
}

// place accepts an order and lets it act.
func (w *world) place(id string) *placed {
	o := ordertest.New(w.name + "-" + id)
	now := w.said()
	p := &placed{Progress: ltp.NewProgress(o, ltp.Execution{}, ltp.Stamp{Epoch: now.Epoch, State: now.State}, nil)}
	w.live = append(w.live, p)
	w.tell(p, ltp.Inbox{})
	return p
}

// commit places an order that nothing is wrong with.
func (w *world) commit(id string) { assert.NotNil(w.t, w.place(id).ended, id) }

// tell is one workflow task of an order, with what it brings: everything that the order
// asks for is done.
func (w *world) tell(p *placed, in ltp.Inbox) {
	w.now, w.task = w.now.Add(10*time.Millisecond), w.task+6
	_, err := w.orders.Board.Fresh(w.t.Context(), db)
	require.NoError(w.t, err)
	for next := (&ltp.Event{Inbox: in}); next != nil; {
		var commands []ltp.Command
		p.Progress, commands = p.Next(*next, ltp.Moment{At: w.now, Task: w.task})
		next = nil
		for _, c := range commands {
			next = w.carryOut(p, c)
		}
	}
}

func (w *world) carryOut(p *placed, c ltp.Command) *ltp.Event {
	ctx := w.t.Context()
	switch {
	case c.Route != nil:
		r, _ := w.orders.CheckOrientation(ctx, *c.Route)
		w.owed = w.owed || c.Route.Failure != nil && r.Cause != ltp.CauseOrder && w.said().State.Fit()
		return &ltp.Event{Routed: &r}
	case c.Execute != nil:
		a, _ := w.orders.Execute(ctx, *c.Execute)
		if a.Result == ltp.ResultExecuted {
			w.commits = append(w.commits, w.now)
		}
		if w.after && a.Result.Failed() && !w.all {
			w.commits = append(w.commits, w.now.Add(time.Millisecond)) // of another worker
		}
		return &ltp.Event{Executed: &a}
	case c.Withdraw != nil:
		a, _ := w.orders.Withdraw(ctx, *c.Withdraw)
		return &ltp.Event{Withdrawn: &a}
	case c.Wait != nil:
		p.wake = c.Wait.At
	case c.End != nil:
		p.ended = &c.End.Outcome
	}
	return nil
}

// heard has the component hear what is on its way.
func (w *world) heard() {
	if !w.owed {
		return
	}
	w.owed = false
	select {
	case report := <-w.reports:
		w.input(ltp.Input{Failing: &report})
	case <-time.After(time.Minute):
		require.FailNow(w.t, "nothing was reported")
	}
}

// pass lets the clock run to the next moment of an order, or of the component.
func (w *world) pass() {
	w.heard()
	var next time.Time
	sooner := func(at time.Time) {
		if !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	for _, p := range w.live {
		if p.ended == nil {
			sooner(p.wake)
		}
	}
	if end, due := w.condition.DwellEnds(ltp.DefaultPolicy()); due {
		sooner(end)
	}
	if next.After(w.now) {
		w.now = next
	}
	w.input(ltp.Input{})
	for _, p := range w.live {
		if p.ended == nil && !p.wake.IsZero() && !p.wake.After(w.now) {
			w.tell(p, ltp.Inbox{Alarm: true})
		}
	}
	w.heard()
}

// release does what the replay engine does on a recovery.
func (w *world) release() {
	now := w.said()
	require.Equal(w.t, ltp.Recovering, now.State)
	w.now = w.now.Add(time.Millisecond)
	for _, p := range w.live {
		if s := (ltp.Stability{Component: db, State: now.State, Epoch: now.Epoch}); p.ended == nil && p.Takes(s) == nil {
			w.tell(p, ltp.Inbox{Release: &s})
		}
	}
	w.heard()
}

func (w *world) as() string {
	return fmt.Sprintf("%s, named by the operator: %t, the write path is tried: %t, others commit: %t", w.code, w.named, w.writePath, w.after)
}

func (w *world) oneFails(refused bool) {
	w.fails(w.t, w.name+"-bad")
	epoch := w.said().Epoch
	bad := w.place("bad")
	// The probe's order is no proof against what the database says of its state.
	known, passes := w.after || w.writePath && !orderdb.OfItsState(w.code), 20
	if !known { // it would never end
		passes = 5
	}
	for range passes {
		if bad.ended != nil || bad.Phase == ltp.PhaseParked {
			break
		}
		w.pass()
	}
	switch {
	case !known:
		assert.Nil(w.t, bad.ended, w.as())
		assert.True(w.t, bad.Waits() && bad.Phase != ltp.PhaseParked, "%s: %s", w.as(), bad.Phase)
		assert.Equal(w.t, ltp.ReasonExecuteUnavailable, bad.Wait.Reason, w.as())
	case refused:
		require.NotNil(w.t, bad.ended, w.as())
		assert.Equal(w.t, ltp.Rejected, bad.ended.State, w.as())
		assert.Equal(w.t, "as the test says", bad.ended.Reason, w.as())
	default:
		assert.Nil(w.t, bad.ended, w.as())
		assert.Equal(w.t, ltp.PhaseParked, bad.Phase, w.as())
		assert.Contains(w.t, bad.Failures.Last, w.words(), w.as())
	}
	assert.Equal(w.t, epoch, w.said().Epoch, "%s: one order changes nothing of the component: %s", w.as(), w.said().Reason)
	w.commit("good") // that others commit is no fiction
	w.mended(w.t)
	if bad.ended != nil {
		return
	}
	if bad.Phase == ltp.PhaseParked {
		w.tell(bad, ltp.Inbox{Instruction: &ltp.Instruction{Do: ltp.DoRetry, By: "ann"}})
	}
	w.executed(bad)
}

func (w *world) allFail() {
	w.fails(w.t, "%")
	w.all = true
	began := w.now
	var all []*placed
	for i := range 4 {
		all = append(all, w.place(fmt.Sprint(i)))
	}
	pending := func() {
		for _, p := range all {
			require.Nil(w.t, p.ended, "%s: %+v", w.as(), p.ended)
			require.True(w.t, p.Waits() && p.Phase != ltp.PhaseParked, "%s: %s", w.as(), p.Phase)
		}
	}
	for range 2 { // the canaries of the first release fail as well
		for n := 0; w.said().State != ltp.Unstable; n++ {
			require.Less(w.t, n, 20, "%s: it is %s all the while", w.as(), w.said().State)
			w.pass()
		}
		pending()
		assert.Less(w.t, w.now.Sub(began), ltp.FailingWindow, w.as())
		assert.Contains(w.t, w.said().Reason, w.words(), w.as())
		for w.said().State != ltp.Recovering {
			w.pass()
		}
		pending()
		w.release()
		pending()
	}
	w.mended(w.t)
	for w.said().State != ltp.Recovering {
		w.pass()
	}
	w.release()
	for _, p := range all {
		w.executed(p)
	}
}

// words are what the database says.
func (w *world) words() string {
	if w.code == killed {
		return "57P01"
	}
	return "as the test says"
}

// executed lets an order act, whose cause is mended, and looks for its row.
func (w *world) executed(p *placed) {
	for n := 0; p.ended == nil; n++ {
		require.Less(w.t, n, 20, "%s: %+v", w.as(), p.Progress)
		w.pass()
	}
	assert.Equal(w.t, ltp.Executed, p.ended.State, w.as())
	_, err := w.db.Row(w.t.Context(), p.Order.ID)
	assert.NoError(w.t, err, w.as())
}
