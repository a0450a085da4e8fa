// Package sequence reaches the sequences of ordering keys, which are FIFO queues, one for each
// key: it puts orders into them, and
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

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/longpoll"
	"github.com/ltp-node/ltp/internal/memo"
)

// Temporal is what this package needs of a client.Client.
type Temporal interface {
	SignalWithStartWorkflow(ctx context.Context, workflowID, signalName string, signalArg any,
		options client.StartWorkflowOptions, workflow any, workflowArgs ...any) (client.WorkflowRun, error)
	SignalWorkflow(ctx context.Context, workflowID, runID, signalName string, arg any) error
	DescribeWorkflowExecution(ctx context.Context, workflowID, runID string) (*workflowservice.DescribeWorkflowExecutionResponse, error)
	GetWorkflowHistory(ctx context.Context, workflowID, runID string, longPoll bool, filter enumspb.HistoryEventFilterType) client.HistoryEventIterator
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
	if _, err := memo.Read(info.GetMemo(), ltp.SequenceMemo, &s.Sequence); err != nil {
		return Seen{}, fmt.Errorf("look at the sequence of %s: %w", key, err)
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
	}, ltp.SequenceWorkflow, ltp.SequenceInput{Key: key})
	if err != nil {
		return fmt.Errorf("put order %s into the sequence of %s: %w", orderID, key, err)
	}
	return nil
}

// ReleaseTurn says to the sequence of a key that its head ends now. A sequence that is
// gone needs no such message.
func ReleaseTurn(ctx context.Context, c Temporal, key, orderID string) error {
	err := c.SignalWorkflow(ctx, ltp.SequenceWorkflowID(key), "", ltp.DoneSignal, orderID)
	if err != nil && !errors.As(err, new(*serviceerror.NotFound)) {
		return fmt.Errorf("release the turn of order %s in the sequence of %s: %w", orderID, key, err)
	}
	return nil
}

// GiveTurn gives an order its turn, unless turn is nil, and waits for at most watch until
// it has ended. An order that Temporal does not have, has ended.
func GiveTurn(ctx context.Context, c Temporal, orderID string, turn *ltp.Turn, watch time.Duration) (ltp.SequenceEnd, error) {
	id := ltp.OrderWorkflowID(orderID)
	if turn != nil {
		err := c.SignalWorkflow(ctx, id, "", ltp.TurnSignal, turn)
		switch {
		case errors.As(err, new(*serviceerror.NotFound)):
			watch = 0
		case err != nil:
			return ltp.SequenceEnd{}, fmt.Errorf("give order %s its turn: %w", orderID, err)
		}
	}
	if watch > 0 {
		if err := awaitClose(ctx, c, id, watch); err != nil {
			return ltp.SequenceEnd{}, fmt.Errorf("watch order %s: %w", orderID, err)
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

// ended asks for the latest run: one that was reset, or has continued as new, has closed,
// and its order goes on.
func ended(ctx context.Context, c Temporal, id string) (ltp.SequenceEnd, error) {
	d, err := c.DescribeWorkflowExecution(ctx, id, "")
	if errors.As(err, new(*serviceerror.NotFound)) {
		return ltp.SequenceEnd{Ended: true}, nil
	}
	if err != nil {
		return ltp.SequenceEnd{}, err
	}
	info := d.GetWorkflowExecutionInfo()
	switch info.GetStatus() {
	case enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, enumspb.WORKFLOW_EXECUTION_STATUS_PAUSED,
		enumspb.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW, enumspb.WORKFLOW_EXECUTION_STATUS_UNSPECIFIED:
		return ltp.SequenceEnd{}, nil
	case enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED:
		return ltp.SequenceEnd{Ended: true}, nil
	}
	return ltp.SequenceEnd{Ended: true, Forced: info.GetCloseTime().AsTime()}, nil
}
