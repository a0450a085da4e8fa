// Package sequence reaches the sequences of ordering keys: it puts orders into them, and
// looks whether their heads have ended. The Sequence workflow keeps one.
package sequence

import (
	"context"
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/longpoll"
)

// Temporal is what this package needs of a client.Client.
type Temporal interface {
	SignalWithStartWorkflow(ctx context.Context, workflowID, signalName string, signalArg any,
		options client.StartWorkflowOptions, workflow any, workflowArgs ...any) (client.WorkflowRun, error)
	SignalWorkflow(ctx context.Context, workflowID, runID, signalName string, arg any) error
	DescribeWorkflowExecution(ctx context.Context, workflowID, runID string) (*workflowservice.DescribeWorkflowExecutionResponse, error)
	GetWorkflowHistory(ctx context.Context, workflowID, runID string, longPoll bool, filter enumspb.HistoryEventFilterType) client.HistoryEventIterator
}

// Input begins, or continues, the sequence of a key.
type Input struct {
	Key string `json:"key"`
	// Orders stand in line, the head first; Told says that the head knows that its turn
	// has come, and Said how many orders the memo tells of. Only continue-as-new sets
	// them.
	Orders []string `json:"orders,omitempty"`
	Told   bool     `json:"told,omitempty"`
	Said   int      `json:"said,omitempty"`
}

// Seen is what Temporal holds of a sequence.
type Seen struct {
	// Running is false where no order stands in line.
	Running bool
	// Begun names the sequence, from when it was last empty until it is empty again.
	Begun string
	ltp.Sequence
	// Events is the length of its history: at least how many joins are unread.
	Events int64
}

// Full reports whether no further order may join.
func (s Seen) Full() bool { return s.Running && s.Sequence.Full(s.Events) }

// Look asks Temporal for the sequence of a key: one call, and no worker.
func Look(ctx context.Context, c Temporal, key string) (Seen, error) {
	d, err := c.DescribeWorkflowExecution(ctx, ltp.SequenceWorkflowID(key), "")
	if errors.As(err, new(*serviceerror.NotFound)) {
		return Seen{}, nil
	}
	if err != nil {
		return Seen{}, fmt.Errorf("look at the sequence of %s: %w", key, err)
	}
	info := d.GetWorkflowExecutionInfo()
	s := Seen{
		Running: info.GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING,
		Begun:   info.GetFirstRunId(), Events: info.GetHistoryLength(),
	}
	if p, ok := info.GetMemo().GetFields()[ltp.SequenceMemo]; ok {
		if err := converter.GetDefaultDataConverter().FromPayload(p, &s.Sequence); err != nil {
			return Seen{}, fmt.Errorf("look at the sequence of %s: its memo is damaged: %w", key, err)
		}
	}
	return s, nil
}

// Join puts an order at the end of the sequence of its key, unless it stands there already.
// When it returns without an error, the place is durable. It needs no worker.
func Join(ctx context.Context, c Temporal, key, orderID string) error {
	_, err := c.SignalWithStartWorkflow(ctx, ltp.SequenceWorkflowID(key), ltp.JoinSignal, orderID, client.StartWorkflowOptions{
		TaskQueue:     ltp.OrderQueue,
		StaticSummary: "sequence of the ordering key " + key,
		StaticDetails: "Gives its turn to one order of the key after the other, in the order in which they were acknowledged.",
	}, ltp.SequenceWorkflow, Input{Key: key})
	if err != nil {
		return fmt.Errorf("put order %s into the sequence of %s: %w", orderID, key, err)
	}
	return nil
}

// Leave tells the sequence of a key that its head ends now. A sequence that is gone has nobody
// to tell.
func Leave(ctx context.Context, c Temporal, key, orderID string) error {
	err := c.SignalWorkflow(ctx, ltp.SequenceWorkflowID(key), "", ltp.DoneSignal, orderID)
	if err != nil && !errors.As(err, new(*serviceerror.NotFound)) {
		return fmt.Errorf("tell the sequence of %s that order %s ends: %w", key, orderID, err)
	}
	return nil
}

// End is whether an order has ended, and how.
type End struct {
	Ended bool `json:"ended,omitempty"`
	// Forced is when it was ended by force in Temporal: a write of it may have been under
	// way.
	Forced time.Time `json:"forced,omitzero"`
}

// Lead gives an order its turn, unless turn is nil, and waits for at most watch until it
// has ended. An order that Temporal does not have, has ended.
func Lead(ctx context.Context, c Temporal, orderID string, turn *ltp.Turn, watch time.Duration) (End, error) {
	id := ltp.OrderWorkflowID(orderID)
	if turn != nil {
		err := c.SignalWorkflow(ctx, id, "", ltp.TurnSignal, turn)
		switch {
		case errors.As(err, new(*serviceerror.NotFound)):
			watch = 0
		case err != nil:
			return End{}, fmt.Errorf("give order %s its turn: %w", orderID, err)
		}
	}
	if watch > 0 {
		if err := awaitClose(ctx, c, id, watch); err != nil {
			return End{}, fmt.Errorf("watch order %s: %w", orderID, err)
		}
	}
	return ended(ctx, c, id)
}

// awaitClose returns when a run of the workflow has closed, or after the time.
func awaitClose(ctx context.Context, c Temporal, id string, most time.Duration) error {
	watching, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	polling, stop := longpoll.Patient(watching)
	defer stop()
	for events := c.GetWorkflowHistory(polling, id, "", true, enumspb.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT); events.HasNext(); {
		if _, err := events.Next(); err != nil {
			if watching.Err() != nil || errors.As(err, new(*serviceerror.NotFound)) {
				return ctx.Err()
			}
			return err
		}
	}
	return nil
}

// ended asks for the latest run, since a run that was reset has closed, too.
func ended(ctx context.Context, c Temporal, id string) (End, error) {
	d, err := c.DescribeWorkflowExecution(ctx, id, "")
	if errors.As(err, new(*serviceerror.NotFound)) {
		return End{Ended: true}, nil
	}
	if err != nil {
		return End{}, err
	}
	info := d.GetWorkflowExecutionInfo()
	switch info.GetStatus() {
	case enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, enumspb.WORKFLOW_EXECUTION_STATUS_PAUSED, enumspb.WORKFLOW_EXECUTION_STATUS_UNSPECIFIED:
		return End{}, nil
	case enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED:
		return End{Ended: true}, nil
	}
	return End{Ended: true, Forced: info.GetCloseTime().AsTime()}, nil
}
