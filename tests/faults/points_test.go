package faults

import (
	"bytes"
	"context"
	"fmt"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/link"
)

// point is where a worker is in an attempt to write an order, or to withdraw it.
type point string

const (
	beforeReading point = "before the reading"       // the fence has asked, and has no answer
	beforeWrite   point = "before the write"         // the fence lets it begin, and the statement has not reached Postgres
	inWrite       point = "in the write"             // the statement waits in Postgres
	beforeAnswer  point = "after the commit"         // and before Temporal has the answer
	before        point = "before it reads anything" // the task has been given, and not looked at
)

// waitsSQL has the INSERT of an order, or of a tombstone, wait for whoever holds the lock.
const waitsSQL = `
CREATE FUNCTION waits() RETURNS trigger AS $$ BEGIN PERFORM pg_advisory_xact_lock_shared(%d); RETURN NEW; END $$ LANGUAGE plpgsql;
CREATE TRIGGER waits BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION waits();
CREATE TRIGGER waits BEFORE INSERT ON order_keys FOR EACH ROW WHEN (NEW.kind <> 'ORDER') EXECUTE FUNCTION waits()`

const waitsLock = 4711

// watch holds up what the victim writes of an order.
func (d *duel) watch(_ int64, toTarget bool, data []byte) link.Verdict {
	if !toTarget {
		return link.Pass
	}
	for _, id := range d.ids {
		if bytes.Contains(data, append([]byte(id), 0)) || bytes.Contains(data, []byte(`"`+id+`"`)) {
			if d.statements.pass(context.Background(), id) != nil {
				return link.CutBefore
			}
			break
		}
	}
	return link.Pass
}

// holdUp holds up what the victim asks of Temporal.
func (d *duel) holdUp(ctx context.Context, call any, pass func() (any, error)) (any, error) {
	switch c := call.(type) {
	case *workflowservice.PollWorkflowTaskQueueRequest:
		answer, err := pass()
		task, _ := answer.(*workflowservice.PollWorkflowTaskQueueResponse)
		if id, ok := ltp.OrderID(task.GetWorkflowExecution().GetWorkflowId()); err == nil && ok {
			err = d.polls.pass(context.Background(), id)
		}
		return answer, err
	case *workflowservice.DescribeWorkflowExecutionRequest:
		if c.GetExecution().GetWorkflowId() == ltp.OrientationWorkflowID(ltp.DefaultComponent) {
			if err := d.readings.pass(ctx, "reading"); err != nil {
				return nil, err
			}
			defer d.read.Add(1)
		}
	case *workflowservice.RespondWorkflowTaskCompletedRequest:
		if id := d.theirs.of(c.GetTaskToken()); id != "" && ends(c) {
			if err := d.answers.pass(context.Background(), id); err != nil {
				return nil, err
			}
		}
	}
	return pass()
}

// raise has the victim stop at a point.
func (d *duel) raise(at point) {
	d.T.Helper()
	switch at {
	case before:
		d.polls.raise()
	case beforeReading:
		d.readings.raise()
	case beforeWrite:
		d.statements.raise()
	case inWrite:
		_, err := d.lock.Exec(d.Ctx, fmt.Sprintf("SELECT pg_advisory_lock(%d)", waitsLock))
		require.NoError(d.T, err)
	case beforeAnswer:
		d.answers.raise()
	}
}

// lower lets what stopped there go on; when it is lost, it was on its way with a process
// that is no more.
func (d *duel) lower(at point, lost bool) {
	d.T.Helper()
	b := map[point]*barrier{before: d.polls, beforeReading: d.readings, beforeWrite: d.statements, beforeAnswer: d.answers}[at]
	switch {
	case at == inWrite:
		_, err := d.lock.Exec(d.Ctx, "SELECT pg_advisory_unlock_all()")
		require.NoError(d.T, err)
	case lost:
		b.drop()
	default:
		b.lower()
	}
}

// readingsKept is how many readings a board has under way at most by itself: one more is
// the fence's.
const readingsKept = 4

// await waits until the victim has stopped at the point with all of the orders.
func (d *duel) await(at point, ids ...string) {
	d.T.Helper()
	defer func() {
		if d.T.Failed() {
			d.T.Logf("held up are %v", append(d.answers.held(), append(d.statements.held(), d.polls.held()...)...))
		}
	}()
	d.Eventually(fmt.Sprintf("the victim is %s with %v", at, ids), func() bool { return d.reached(at, ids...) })
}

// reached reports whether the victim has stopped at the point with all of the orders.
func (d *duel) reached(at point, ids ...string) bool {
	d.T.Helper()
	switch at {
	case before:
		return len(d.polls.held()) >= len(ids)
	case beforeReading: // each holds a connection already
		return d.readings.holds("reading") > readingsKept && d.connections("prepared") >= len(ids)
	case beforeWrite:
		return len(d.statements.held()) >= len(ids)
	case inWrite:
		return d.hanging() >= len(ids)
	}
	return len(d.answers.held()) >= len(ids)
}
