package faults

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/link"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/orderdb"
	"github.com/ltp-node/ltp/orderdb/pgtest"
	"github.com/ltp-node/ltp/starter"
)

// duel is an order node with two workers on one Postgres. The victim gets the workflow
// tasks of orders until something happens to it; the heir gets them afterwards, and runs
// the orientation all along. What the component's state is, the test says: the observer
// probes a database of its own.
//
// Nothing that waits is found by a replay, until the test says so: the visibility store
// shows it nothing.
type duel struct {
	*rig
	pg           *pgx.Conn
	victim, heir *process
	vx, hx       *exchange
	store        *visibility
	ids          []string
	theirs, ours *tasks // of the victim, and of the heir
	lock         *pgx.Conn
	read         atomic.Int64 // readings of the victim that were answered
	passes       map[string]passes

	polls, readings, statements, answers *barrier // of the victim
}

// heirBackstop is short: an order that the heir has routed looks again by itself.
var heirBackstop = []string{"--backstop", "3s", "--max-backstop", "3s"}

var connections sync.Once

// postgresOf is the Postgres of every duel, with connections for several at a time.
func postgresOf(t *testing.T) *pgtest.Server {
	t.Helper()
	pg := pgtest.Shared(t)
	connections.Do(func() {
		pg.Set(t, "max_connections", "500")
		pg.Stop()
		require.NoError(t, pg.Start())
	})
	return pg
}

// newDuel starts both workers; those orders are counted and can be held up that are named.
func (r *rig) newDuel(pg *pgtest.Server, ids ...string) *duel {
	r.T.Helper()
	d := &duel{
		rig: r, ids: ids, passes: map[string]passes{}, theirs: newTasks(ids), ours: newTasks(ids), store: &visibility{},
		vx: newExchange(r.T, r.Address), hx: newExchange(r.T, r.Address),
		polls: newBarrier(), readings: newBarrier(), statements: newBarrier(), answers: newBarrier(),
	}
	r.T.Cleanup(func() {
		if r.T.Failed() {
			r.T.Logf("the victim was given %v, and answered %v", d.theirs.given, d.theirs.answered)
		}
	})
	d.pg, d.lock = pgtest.Connect(r.T, r.Orders), pgtest.Connect(r.T, r.Orders)
	pgtest.Exec(r.T, r.Orders, fmt.Sprintf(waitsSQL, waitsLock))
	d.store.set("empty", always)
	d.hx.on(d.store.handle)
	d.hx.on(d.ours.handle)
	d.vx.on(d.holdUp)
	d.vx.on(d.theirs.handle)
	d.vx.control.shut()
	d.hx.orders.shut()

	decoy := filepath.Join(r.Dir, "decoy.db")
	db, err := orderdb.Open(r.Ctx, decoy)
	require.NoError(r.T, err)
	require.NoError(r.T, db.Migrate(r.Ctx))
	require.NoError(r.T, db.Close())
	r.observer(decoy)
	d.heir = r.workerOn(d.hx.address, r.Orders, heirBackstop...)
	d.victim = r.workerOn(d.vx.address, d.cabled(pg))
	r.Until(r.seen, ltp.Stable)
	return d
}

// cabled is the URL of the order database for the victim.
func (d *duel) cabled(pg *pgtest.Server) string {
	d.T.Helper()
	u, err := url.Parse(d.Orders)
	require.NoError(d.T, err)
	cable, err := link.NewWatched(u.Host, d.watch)
	require.NoError(d.T, err)
	d.T.Cleanup(func() { d.statements.drop(); assert.NoError(d.T, cable.Close()) })
	q := u.Query()
	q.Set("application_name", "victim")
	q.Set("pool_max_conns", "40")
	q.Set("pool_min_conns", "20") // so that orders come to a point at once
	u.Host, u.RawQuery = cable.Address(), q.Encode()
	return u.String()
}

// connections are those of the victim that have prepared a write, or that are at work.
func (d *duel) connections(which string) (n int) {
	d.T.Helper()
	where := map[string]string{"prepared": `query LIKE '%INSERT INTO "ltp".order_keys%'`, "working": "state <> 'idle'"}[which]
	err := d.pg.QueryRow(d.Ctx, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'victim' AND "+where).Scan(&n)
	require.NoError(d.T, err)
	return n
}

// hanging is how many statements wait for the lock.
func (d *duel) hanging() (n int) {
	d.T.Helper()
	err := d.pg.QueryRow(d.Ctx, `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`).Scan(&n)
	require.NoError(d.T, err)
	return n
}

// quiet waits until no statement of anybody is under way.
func (d *duel) quiet() {
	d.T.Helper()
	d.Eventually("no statement is under way", func() bool {
		var n int
		err := d.pg.QueryRow(d.Ctx, `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND state <> 'idle' AND pid <> pg_backend_pid()`).Scan(&n)
		require.NoError(d.T, err)
		return n == 0
	})
}

// begin accepts an order. The door reads the orientation anew.
func (d *duel) begin(id string, changes ...func(*ltp.Order)) {
	d.T.Helper()
	_, err := starter.New(d.Client).Submit(d.Ctx, ordertest.New(id, changes...))
	require.NoError(d.T, err)
}

// waits waits until a worker has deferred an order: its timer runs.
func (d *duel) waits(ids ...string) {
	d.T.Helper()
	for _, id := range ids {
		d.AwaitEventType(ltp.OrderWorkflowID(id), enumspb.EVENT_TYPE_TIMER_STARTED)
	}
}

// unstick has the next task of an order go to whoever polls.
func (d *duel) unstick(id string) {
	d.T.Helper()
	_, err := d.Client.WorkflowService().ResetStickyTaskQueue(d.Ctx, &workflowservice.ResetStickyTaskQueueRequest{
		Namespace: d.Server.Namespace(), Execution: execution(id),
	})
	require.NoError(d.T, err)
}

// released is what a release by Update came to.
type released struct {
	id     string
	answer ltp.Answer
	err    error
}

// update releases an order by Update under an epoch, and does not wait for the answer.
func (d *duel) update(id string, epoch int64) <-chan released {
	out := make(chan released, 1)
	s := ltp.Stability{Component: ltp.DefaultComponent, State: ltp.Stable, Epoch: epoch}
	go func() {
		ctx, cancel := context.WithTimeout(d.Ctx, patience)
		defer cancel()
		got := released{id: id}
		var handle client.WorkflowUpdateHandle
		handle, got.err = d.Client.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
			WorkflowID: ltp.OrderWorkflowID(id), UpdateName: ltp.StabilityUpdate, Args: []any{s}, WaitForStage: client.WorkflowUpdateStageCompleted,
		})
		if got.err == nil {
			got.err = handle.Get(ctx, &got.answer)
		}
		out <- got
	}()
	return out
}

// releases sends an Update again for as long as it gets lost: a server that has much to do
// drops some.
func (d *duel) releases(id string, epoch int64) {
	go func() {
		for range 10 {
			got := <-d.update(id, epoch)
			if got.err == nil || d.Ctx.Err() != nil || errors.As(got.err, new(*temporal.ApplicationError)) || errors.As(got.err, new(*serviceerror.NotFound)) {
				return
			}
		}
	}()
}

func (d *duel) signal(id string, epoch int64) error {
	return d.Client.SignalWorkflow(d.Ctx, ltp.OrderWorkflowID(id), "", ltp.StabilitySignal,
		ltp.Stability{Component: ltp.DefaultComponent, State: ltp.Stable, Epoch: epoch})
}

// fault takes the victim away, or freezes it; it gets no further task.
func (d *duel) fault(frozen bool) {
	d.T.Helper()
	d.vx.orders.shut()
	if frozen {
		d.victim.Freeze()
	} else {
		d.victim.Kill()
	}
}

// inherited has the heir take the orders, and waits until it has answered a task of each.
func (d *duel) inherited(ids ...string) {
	d.T.Helper()
	d.hx.orders.open()
	d.Eventually(fmt.Sprintf("the heir has answered tasks of %v", ids), func() bool {
		return !slices.ContainsFunc(ids, func(id string) bool { return d.ours.least(answered, id) == 0 && !d.Status(id).State.Final() })
	})
}

// drained has a replay find all that waits, and waits until the orders have ended.
func (d *duel) drained(ids ...string) {
	d.T.Helper()
	d.store.set("", 0)
	if d.seen.Orientation(ltp.DefaultComponent).Hold == nil {
		d.down()
	}
	d.up()
	for _, id := range ids {
		d.Ended(id)
	}
}

// down has the component become unfit, and up fit again; both return the epoch.
func (d *duel) down() int64 {
	d.T.Helper()
	d.Hold("the test")
	return d.Until(d.seen, ltp.Unstable).Epoch
}

func (d *duel) up() int64 {
	d.T.Helper()
	d.Release()
	return d.Until(d.seen, ltp.Stable).Epoch
}

// passed waits until a moment is over.
func passed(d *duel, at time.Time) {
	select {
	case <-time.After(time.Until(at)):
	case <-d.Ctx.Done():
	}
}

// agree holds what an order ended as against its row: a row if and only if it was
// executed, and then the receipt is of the write that happened.
func (d *duel) agree(ids ...string) {
	d.T.Helper()
	db, err := orderdb.Open(d.Ctx, d.Orders)
	require.NoError(d.T, err)
	defer db.Close()
	tally, err := db.Tally(d.Ctx, "")
	require.NoError(d.T, err)
	assert.Zero(d.T, tally.Duplicates)
	assert.Equal(d.T, tally.Orders, tally.Outbox)
	for _, id := range ids {
		st := d.Status(id)
		row, err := db.Row(d.Ctx, id)
		switch {
		case st.State == ltp.Executed && assert.NoErrorf(d.T, err, "%s is EXECUTED, and has no row", id) && assert.NotNil(d.T, st.Receipt, id):
			want, got := row.Receipt, *st.Receipt
			assert.Equal(d.T, want.Attempt, got.Attempt, id)
			assert.Equal(d.T, want.Worker, got.Worker, id)
			assert.Truef(d.T, want.BegunAt.Equal(got.BegunAt), "%s: begun at %s and %s", id, want.BegunAt, got.BegunAt)
			assert.Equal(d.T, want.Fence.Epoch, got.Fence.Epoch, id)
			assert.Equal(d.T, want.Fence.State, got.Fence.State, id)
		case st.State == ltp.Executed:
		case slices.Contains([]ltp.OrderState{ltp.Cancelled, ltp.Expired, ltp.Rejected}, st.State):
			assert.ErrorIsf(d.T, err, orderdb.ErrNotFound, "%s is %s, and has a row: %+v", id, st.State, row.Receipt)
		default:
			assert.Failf(d.T, "it has not ended", "%s is %s", id, st.State)
		}
		if d.T.Failed() {
			d.T.Logf("%s\n%s", id, d.history(ltp.OrderWorkflowID(id)))
		}
	}
}
