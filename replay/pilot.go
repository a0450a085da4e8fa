package replay

import (
	"context"
	"sync"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/converter"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/longpoll"
	"github.com/ltp-node/ltp/replay/pace"
)

// firstLook is how long a pilot is waited for before it is looked up; twice as long
// each time after that.
const firstLook = 250 * time.Millisecond

// verdict is what the end of a pilot says of the component.
type verdict int

const (
	silent    verdict = iota // it was rejected, cancelled or expired, or waits for something else
	committed                // it was executed
	setback                  // it was not executed in time, or was deferred again
	inLine                   // it awaits its turn, and says nothing for as long as that takes
)

// fate waits for the end of an order that was signalled at a time, for CanaryWait at
// most, and says what it tells.
func (r *release) fate(ctx context.Context, o waiting, at time.Time) (verdict, pace.Result) {
	end := at.Add(r.Pace.CanaryWait)
	for wait := firstLook; ; wait *= 2 {
		outcome, ended := r.outcome(ctx, o, min(wait, time.Until(end)))
		took := time.Since(at)
		if ended {
			return told(outcome, took)
		}
		if ctx.Err() != nil {
			return silent, pace.Result{}
		}
		late := took >= r.Pace.CanaryWait
		if v := r.seen(ctx, o, late); v != silent || late {
			return v, pace.Result{Took: took}
		}
	}
}

// outcome waits for the end of an order for a while. An order that ended otherwise than
// with an outcome has ended, too.
func (r *release) outcome(ctx context.Context, o waiting, wait time.Duration) (outcome ltp.Outcome, ended bool) {
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	polling, stop := longpoll.Patient(waiting)
	defer stop()
	err := r.Client.GetWorkflow(polling, o.id, "").Get(polling, &outcome)
	return outcome, err == nil || waiting.Err() == nil
}

// told is what an outcome says of the component. What the order database refuses, or a
// customer takes back, says nothing of it.
func told(outcome ltp.Outcome, took time.Duration) (verdict, pace.Result) {
	if outcome.State != ltp.Executed {
		return silent, pace.Result{}
	}
	result := pace.Result{Committed: true, Took: took}
	if receipt := outcome.Receipt; receipt != nil {
		result.Write = receipt.CommittedAt.Sub(receipt.BegunAt)
	}
	return committed, result
}

// seen looks an order up that has not ended.
func (r *release) seen(ctx context.Context, o waiting, late bool) verdict {
	asking, cancel := context.WithTimeout(ctx, signalTimeout)
	defer cancel()
	d, err := r.Client.DescribeWorkflowExecution(asking, o.id, "")
	if err != nil {
		return silent
	}
	return judge(d, r.in, late)
}

// judge says what an order that has not ended tells of the component: it was deferred
// again by it, or it is late and its execution is still under way, or nobody has run it
// yet. One that is late because it stands in line behind another says nothing.
func judge(d *workflowservice.DescribeWorkflowExecutionResponse, in ReleaseInput, late bool) verdict {
	if d.GetWorkflowExecutionInfo().GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		return silent
	}
	if len(d.GetPendingActivities()) > 0 || d.GetPendingWorkflowTask() != nil {
		if late {
			return setback
		}
		return silent
	}
	var component string
	var epoch int64
	fields := d.GetWorkflowExecutionInfo().GetSearchAttributes().GetIndexedFields()
	_ = converter.GetDefaultDataConverter().FromPayload(fields[ltp.ComponentAttribute], &component)
	_ = converter.GetDefaultDataConverter().FromPayload(fields[ltp.EpochAttribute], &epoch)
	switch {
	case component == in.Component && epoch >= in.Epoch:
		return setback
	case component == "":
		return inLine
	}
	return silent
}

// learn lets the pace know what a pilot told. When so many fail in a row, and none
// commits, the release begins again with canaries.
func (r *release) learn(v verdict, result pace.Result) {
	switch v {
	case silent, inLine:
		return
	case committed:
		r.bad.Store(0)
	case setback:
		r.progress.update(func(report *ReleaseReport) { report.Setbacks++ })
		if int(r.bad.Add(1)) >= 2*r.Pace.Pilots {
			r.warm.Store(false)
		}
	}
	r.pacer.report(result)
}

// canaries releases the first of the orders and waits for their end. It returns how many
// it took; whether the rest may follow, it notes.
func (r *release) canaries(ctx context.Context, orders []waiting) (int, error) {
	r.progress.stage(PhaseCanary)
	begun := time.Now()
	some := orders[:min(r.Pace.Canary, len(orders))]
	var mu sync.Mutex
	var done sync.WaitGroup
	verdicts := map[verdict]int{}
	for _, o := range some {
		if err := r.canary(ctx, o, &done, func(v verdict, result pace.Result) {
			r.learn(v, result)
			mu.Lock()
			verdicts[v]++
			mu.Unlock()
		}); err != nil {
			return 0, err
		}
	}
	done.Wait()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	switch good, bad := verdicts[committed], verdicts[setback]; {
	case bad > 0 && bad >= good:
		r.Log.Warn("canaries did not commit; some more are tried before the rest", "component", r.in.Component,
			"committed", good, "failed", bad)
		return len(some), sleep(ctx, r.Pace.CanaryWait)
	case good > 0, len(some) == 0, time.Since(begun) >= r.Pace.CanaryWait:
		r.bad.Store(0)
		r.warm.Store(true)
	} // else they were gone, or refused: the next may tell
	return len(some), nil
}

// canary releases an order and tells its fate.
func (r *release) canary(ctx context.Context, o waiting, done *sync.WaitGroup, tell func(verdict, pace.Result)) error {
	now, err := r.admitted(ctx)
	if err != nil {
		return err
	}
	if now.Steering.Rate > 0 { // an operator's rate is for canaries, too; the ramp begins after them
		if err := r.turn(ctx); err != nil {
			return err
		}
	}
	if !r.claim(o) {
		return nil
	}
	r.progress.update(func(report *ReleaseReport) { report.Oldest = o.started })
	done.Add(1)
	return r.send(ctx, o, func(at time.Time, taken bool) {
		r.watches.Go(func() {
			defer done.Done()
			if taken {
				tell(r.fate(ctx, o, at))
			}
		})
	})
}
