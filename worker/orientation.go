package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/internal/memo"
)

// EnsureOrientation starts the Orientation workflow of a component unless it runs already, so
// that orders may depend on the component. The state begins as UNKNOWN. Where an earlier
// workflow was ended, epochs go on from its, and its policy and what operators said stay, as
// far as Temporal still remembers them; the policy given is that of a component of which
// nothing is remembered.
func EnsureOrientation(ctx context.Context, c client.Client, component string, policy ltp.Policy) error {
	_, _, err := ensure(ctx, c, component, policy)
	return err
}

// ensure also returns the policy in force, and whether an earlier workflow had been ended.
func ensure(ctx context.Context, c client.Client, component string, policy ltp.Policy) (inForce ltp.Policy, again bool, err error) {
	if err := errors.Join(ltp.ValidComponent(component), policy.Validate()); err != nil {
		return policy, false, err
	}
	known, found, running, err := lastInput(ctx, c, component)
	if err != nil || running {
		return known.Policy, false, err
	}
	if known.Policy.Validate() != nil {
		known.Policy = policy
	}
	_, err = c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:                       ltp.OrientationWorkflowID(component),
		TaskQueue:                ltp.ControlQueue,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		StaticSummary:            "orientation of " + component,
		Memo:                     firstMemo(known),
		StaticDetails:            "Owns the state of " + component + ". The memo holds the orientation in force; each WorkflowPropertiesModified event is an orientation frame.",
	}, ltp.OrientationWorkflow, known)
	if err != nil {
		return known.Policy, false, fmt.Errorf("start the orientation of %s: %w", component, err)
	}
	return known.Policy, found, nil
}

// firstMemo is that of an Orientation until its first task: also one that ends before has its
// epoch remembered, and what operators said.
func firstMemo(in ltp.OrientationInput) map[string]any {
	fields := map[string]any{ltp.PolicyMemo: in.Policy}
	if in.ReplayControl != (ltp.ReplayControl{}) {
		fields[ltp.ReplayControlMemo] = in.ReplayControl
	}
	if in.Epoch > 0 {
		o := ltp.NewCondition(in.Component, in.Epoch, time.Now().UTC()).Orientation
		o.Hold = in.Held
		fields[ltp.OrientationMemo] = o
	}
	return fields
}

// lastInput is what Temporal holds of the latest Orientation workflow of a component: how
// another would begin, whether there was one, and whether it runs.
func lastInput(ctx context.Context, c client.Client, component string) (in ltp.OrientationInput, found, running bool, err error) {
	in.Component = component
	d, err := c.DescribeWorkflowExecution(ctx, ltp.OrientationWorkflowID(component), "")
	if errors.As(err, new(*serviceerror.NotFound)) {
		return in, false, false, nil
	}
	if err != nil {
		return in, false, false, fmt.Errorf("look for the orientation of %s: %w", component, err)
	}
	var last ltp.Orientation
	fields := d.GetWorkflowExecutionInfo().GetMemo()
	_, oriented := memo.Read(fields, ltp.OrientationMemo, &last)
	_, controlled := memo.Read(fields, ltp.ReplayControlMemo, &in.ReplayControl)
	_, set := memo.Read(fields, ltp.PolicyMemo, &in.Policy)
	if err := errors.Join(oriented, controlled, set); err != nil {
		return in, true, false, fmt.Errorf("look for the orientation of %s: %w", component, err)
	}
	in.Epoch, in.Held = last.Epoch, last.Hold
	return in, true, d.GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, nil
}

const (
	// keepEvery is how often a process sees to it that Orientations run.
	keepEvery = time.Minute
	// policyWithin is how long an Orientation may take to change its policy.
	policyWithin = 15 * time.Second
)

// Keeper sees to it that the Orientations of components run, and under the policy that was
// asked for.
type Keeper struct {
	Client     client.Client
	Components []string
	// Policy is what was asked for explicitly, by whom and why. A running Orientation keeps
	// what it does not name; one that begins anew takes that from the default.
	Policy ltp.PolicyChange
	Log    *slog.Logger

	asked map[string]bool // the components that have been asked for Policy
}

// Ensure starts those Orientations that do not run. The first error ends it.
func (k *Keeper) Ensure(ctx context.Context) error {
	for _, component := range k.Components {
		if _, err := k.ensure(ctx, component); err != nil {
			return err
		}
	}
	return nil
}

func (k *Keeper) ensure(ctx context.Context, component string) (ltp.Policy, error) {
	now, again, err := ensure(ctx, k.Client, component, ltp.DefaultPolicy().Next(k.Policy))
	if again {
		k.Log.Warn("the Orientation workflow had ended and was started again", "component", component)
	}
	return now, err
}

// Run asks for the policy where it differs from the one in force, which needs a worker,
// and looks again every minute, until ctx ends. An error is logged, and tried again then.
// An operator's change after the first is left alone.
func (k *Keeper) Run(ctx context.Context) {
	k.asked = map[string]bool{}
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		for _, component := range k.Components {
			if err := k.ensureWithPolicy(ctx, component); err != nil && ctx.Err() == nil {
				k.Log.Warn("the Orientation was not seen to, trying again in a minute", "component", component, "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (k *Keeper) ensureWithPolicy(ctx context.Context, component string) error {
	now, err := k.ensure(ctx, component)
	if err != nil || k.asked[component] {
		return err
	}
	if now.Difference(now.Next(k.Policy)) != "" {
		if err := k.setPolicy(ctx, component, now); err != nil {
			return err
		}
	}
	k.asked[component] = true
	return nil
}

func (k *Keeper) setPolicy(ctx context.Context, component string, before ltp.Policy) error {
	within, cancel := context.WithTimeout(ctx, policyWithin)
	defer cancel()
	var now ltp.Policy
	if err := board.SendUpdate(within, k.Client, component, ltp.PolicyUpdate, k.Policy, &now); err != nil {
		return fmt.Errorf("the policy stays %s: %w", before, err)
	}
	k.Log.Warn(fmt.Sprintf("policy of %s changed: %s", component, before.Difference(now)))
	return nil
}
