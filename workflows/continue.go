package workflows

import (
	"slices"

	"go.temporal.io/sdk/workflow"
)

// continueAsNew begins a new run with everything that this one knows. What came
// meanwhile is applied first, so that nothing is lost: applying may take a while in
// which more comes, and no handler may be left in the middle. What arrives after that
// fails this workflow task, and the next one begins here with it.
func (o *orientation) continueAsNew(ctx workflow.Context) error {
	if o.observingEnd != nil {
		o.observingEnd()
	}
	for more := true; more; {
		if err := workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) }); err != nil {
			return err
		}
		var err error
		if more, err = o.catchUp(ctx); err != nil {
			return err
		}
	}
	next := o.in
	next.Continued, next.Term, next.ReplayControl, next.Applied = &o.condition, o.term, o.replayControl, o.applied
	return workflow.NewContinueAsNewError(ctx, Orientation, next)
}

// catchUp applies the signals that have arrived, and reports whether there were any.
func (o *orientation) catchUp(ctx workflow.Context) (some bool, err error) {
	for i := 0; i < len(o.signals); i++ {
		took, err := o.signals[i].take(ctx)
		if err != nil {
			return some, err
		}
		if took {
			some, i = true, -1 // those before it go first again
		}
	}
	return some, nil
}

// maxApplied is how many Updates are remembered: more than Temporal has under way at once
// for one workflow.
const maxApplied = 32

// handle carries out the Updates of operators under a name, if they may be. One that the
// run before carried out in the very workflow task in which it continued as new is
// delivered to this run again, by Temporal itself: it is answered with what holds, and not
// carried out twice.
func handle[Update, Answer any](ctx workflow.Context, o *orientation, name string,
	carryOut func(workflow.Context, Update) (Answer, error), may func(Update) error, now func() Answer) error {
	return workflow.SetUpdateHandlerWithOptions(ctx, name,
		func(ctx workflow.Context, w Update) (Answer, error) {
			if o.repeated(ctx) {
				return now(), nil
			}
			o.applied = append(o.applied, workflow.GetCurrentUpdateInfo(ctx).ID)
			o.applied = o.applied[max(0, len(o.applied)-maxApplied):]
			return carryOut(ctx, w)
		},
		workflow.UpdateHandlerOptions{Validator: func(ctx workflow.Context, w Update) error {
			if o.repeated(ctx) {
				return nil
			}
			return may(w)
		}})
}

// repeated reports whether an earlier run has carried out the Update.
func (o *orientation) repeated(ctx workflow.Context) bool {
	return slices.Contains(o.in.Applied, workflow.GetCurrentUpdateInfo(ctx).ID)
}
