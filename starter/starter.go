// Package starter is the client library of the node: it starts, looks up, lists and cancels
// orders, and is what an order API in Go imports. A repeat of an order is idempotent. Looking up needs no worker.
package starter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/internal/marks"
	"github.com/ltp-node/ltp/internal/memo"
	"github.com/ltp-node/ltp/payload"
	"github.com/ltp-node/ltp/replay"
	"github.com/ltp-node/ltp/sequence"
)

// The errors of a Starter, matched with errors.Is. An order that cannot be accepted
// as it stands is an *ltp.InvalidError.
var (
	// ErrNotFound: no such order, or Temporal's retention has passed it.
	ErrNotFound = errors.New("no such order")
	// ErrConflict: another order has this ID already.
	ErrConflict = errors.New("another order has this id")
	// ErrComponent: the order depends on a component that nobody has configured.
	ErrComponent = errors.New("unknown component")
	// ErrFrozen: an operator has stopped intake.
	ErrFrozen = errors.New("intake is frozen")
	// ErrFull: too many orders of its ordering key have not ended.
	ErrFull = errors.New("too many orders of one ordering key")
	// ErrNotStarted: no worker has ever run that keeps the orientation of what orders are
	// written to. Nothing was promised.
	ErrNotStarted = errors.New("the order node has not been started yet")
	// ErrEnded: the order has ended already, and cannot be changed.
	ErrEnded = errors.New("the order has ended")
	// ErrNotParked: the order is not parked, and takes no instruction.
	ErrNotParked = errors.New("the order is not parked")
	// ErrUnreachable: Temporal did not answer. Nothing was promised; the same order
	// may be submitted again under the same ID.
	ErrUnreachable = errors.New("temporal cannot be reached")
)

// Starter is safe for concurrent use.
type Starter struct {
	client    client.Client
	execution ltp.Execution
	board     *board.Board // nil where there is none in this process
	pages     pages
	keys      *payload.Keys // nil where customers are found by what they are called
	places    *replay.Places
	webhooks  func(tenant string) bool // nil where no tenant has any

	mu       sync.Mutex
	readings map[string]board.Reading // the door's own, by component
}

// New makes a Starter on a connected client.
func New(c client.Client, options ...Option) *Starter {
	s := &Starter{client: c, pages: newPages(), places: replay.NewPlaces(c), readings: map[string]board.Reading{}}
	for _, set := range options {
		set(s)
	}
	return s
}

// Submission is the durable promise that an order will be dealt with.
type Submission struct {
	OrderID string
	RunID   string
	// Repeated says that this very order had been accepted before.
	Repeated bool
	// NotInLine says that an order with an ordering key is durable, and could not be put in
	// line yet. It gets there by itself; orders of its key that are accepted before it does
	// may go first.
	NotInLine bool
	// Deferred is what the order waits for, by what the door had read when it accepted
	// it; nil where the order may be executed at once, or where the door could not see.
	Deferred *ltp.Wait
}

// Submit accepts an order: when it returns without an error, the order is durable
// and ends EXECUTED, REJECTED, CANCELLED or EXPIRED, whatever happens to this
// process, the workers or the order database. It needs no worker.
//
// Submitting the same order again returns the first submission, for as long as
// Temporal keeps closed workflows; after that, the order database recognizes a repeat.
//
// The order carries the epoch that its component was in before it was accepted: no write
// of it can have begun in an earlier one. Where an orientation does not let it act, its
// search attributes say from the start what it waits for.
//
// Submit bounds nothing. Orders of one ordering key change one workflow: whoever submits
// many of them at once lets a few go at a time, as the order API does.
func (s *Starter) Submit(ctx context.Context, o ltp.Order) (Submission, error) {
	if err := o.Validate(); err != nil {
		return Submission{}, err
	}
	if err := s.execution.Validate(); err != nil {
		return Submission{}, err
	}
	in, err := s.admit(ctx, o)
	if err != nil {
		if errors.Is(err, ErrFrozen) || errors.Is(err, ErrComponent) || errors.Is(err, ErrNotStarted) || errors.Is(err, ErrFull) {
			// What was accepted before stays accepted.
			if sub, known := s.repeat(ctx, o); !errors.Is(known, ErrNotFound) {
				return sub, known
			}
		}
		return Submission{}, err
	}
	mark := in.mark(o)
	sub := Submission{OrderID: o.ID}
	options := client.StartWorkflowOptions{
		ID:                                       ltp.OrderWorkflowID(o.ID),
		TaskQueue:                                ltp.OrderQueue,
		WorkflowIDReusePolicy:                    enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		WorkflowIDConflictPolicy:                 enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		EnableEagerStart:                         true,
		Memo:                                     s.memos(o),
		StaticSummary:                            summary(o),
		Priority:                                 temporal.Priority{PriorityKey: o.Priority}, // 0 is Temporal's default, too
	}
	tenant, _ := ltp.SplitID(o.ID)
	options.TypedSearchAttributes = marks.AtStart(tenant, s.customer(o.Customer)[0], mark)
	if mark != nil {
		sub.Deferred = &mark.Wait
	}
	progress := ltp.NewProgress(o, s.execution, in.stamp, mark)
	progress.Webhooks = s.webhooks != nil && s.webhooks(tenant)
	run, err := s.client.ExecuteWorkflow(ctx, options, ltp.OrderWorkflow, progress)
	var started *serviceerror.WorkflowExecutionAlreadyStarted
	switch {
	case err == nil:
		sub.RunID = run.GetRunID()
		sub.NotInLine = s.join(ctx, o) != nil
		return sub, nil
	case errors.As(err, &started):
		return s.repeat(ctx, o)
	}
	return Submission{}, unreachable("accept order "+o.ID, err)
}

// Repeat is Submit for an order that was accepted before, and returns ErrNotFound where no
// order of its ID was, or none that Temporal remembers: it starts nothing.
func (s *Starter) Repeat(ctx context.Context, o ltp.Order) (Submission, error) {
	if err := o.Validate(); err != nil {
		return Submission{}, err
	}
	return s.repeat(ctx, o)
}

// memos are what the order's workflow is started with for whoever looks it up.
func (s *Starter) memos(o ltp.Order) map[string]any {
	all := map[string]any{ltp.ContentMemo: o.ContentHash()}
	if s.execution.External() {
		all[ltp.ExecutionMemo] = s.execution.Activity
	}
	return all
}

// repeat answers for an order whose ID is taken.
func (s *Starter) repeat(ctx context.Context, o ltp.Order) (Submission, error) {
	d, err := s.describe(ctx, o.ID)
	if err != nil {
		return Submission{}, err
	}
	var content string
	if _, err := memo.Read(d.GetWorkflowExecutionInfo().GetMemo(), ltp.ContentMemo, &content); err != nil {
		return Submission{}, err
	}
	if content != o.ContentHash() {
		return Submission{}, fmt.Errorf("%w: %s was accepted before with different content", ErrConflict, o.ID)
	}
	sub := Submission{OrderID: o.ID, RunID: d.GetWorkflowExecutionInfo().GetExecution().GetRunId(), Repeated: true}
	if d.GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		// Whoever accepted it may have died before it stood in line.
		sub.NotInLine = s.join(ctx, o) != nil
	}
	return sub, nil
}

// join puts an order with an ordering key in line. Once it is acknowledged as being there,
// an order that is submitted after that stands behind it.
func (s *Starter) join(ctx context.Context, o ltp.Order) error {
	if o.OrderingKey == "" {
		return nil
	}
	err := sequence.Join(ctx, s.client, o.OrderingKey, o.ID)
	switch {
	case err == nil:
		return nil
	case errors.As(err, new(*serviceerror.InvalidArgument)): // more joins at once than Temporal takes for one workflow
		return fmt.Errorf("accept order %s: %w: %w", o.ID, ErrUnreachable, err)
	}
	return unreachable("accept order "+o.ID, err)
}

func (s *Starter) describe(ctx context.Context, orderID string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	if err := ltp.ValidID(orderID); err != nil {
		return nil, err
	}
	d, err := s.client.DescribeWorkflowExecution(ctx, ltp.OrderWorkflowID(orderID), "")
	if err != nil {
		return nil, lookup(orderID, err)
	}
	return d, nil
}

// OfCustomer returns ErrNotFound unless there is such an order and it is the customer's.
func (s *Starter) OfCustomer(ctx context.Context, orderID, customer string) error {
	d, err := s.describe(ctx, orderID)
	if err != nil {
		return err
	}
	key, err := marks.Customer(d.GetWorkflowExecutionInfo().GetSearchAttributes())
	if err != nil {
		return fmt.Errorf("order %s: %w", orderID, err)
	}
	if !slices.Contains(s.customer(customer), key) {
		return fmt.Errorf("%w: %s", ErrNotFound, orderID)
	}
	return nil
}

// Cancel asks an order to end without acting. It returns when Temporal has the request.
// An order that nobody can have written ends at once. Any other stays pending, with
// Status.CancelRequested, until the order database can say whether it was written, and
// ends CANCELLED or EXECUTED. Cancel returns ErrEnded for an order that has ended.
func (s *Starter) Cancel(ctx context.Context, orderID string) error {
	d, err := s.describe(ctx, orderID)
	if err != nil {
		return err
	}
	if d.GetWorkflowExecutionInfo().GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		return fmt.Errorf("%w: %s", ErrEnded, orderID)
	}
	err = s.client.CancelWorkflow(ctx, ltp.OrderWorkflowID(orderID), "")
	if errors.As(err, new(*serviceerror.NotFound)) {
		return fmt.Errorf("%w: %s", ErrEnded, orderID)
	}
	if err != nil {
		return unreachable("cancel order "+orderID, err)
	}
	return nil
}

// Instruct has a parked order do what an operator says: be tried again, or end REJECTED.
// It returns when Temporal has the instruction: it needs no worker. It returns ErrEnded
// for an order that has ended, and ErrNotParked for one in another state. An order that
// turns out to be written ends EXECUTED, whatever the instruction is.
func (s *Starter) Instruct(ctx context.Context, orderID string, i ltp.Instruction) error {
	if err := i.Validate(); err != nil {
		return &ltp.InvalidError{Field: "instruction", Hint: err.Error()}
	}
	d, err := s.describe(ctx, orderID)
	if err != nil {
		return err
	}
	switch st, err := statusOfListing(d.GetWorkflowExecutionInfo()); {
	case err != nil:
		return err
	case st.State.Final():
		return fmt.Errorf("%w: %s", ErrEnded, orderID)
	case st.State != ltp.Parked:
		return fmt.Errorf("%w: %s is %s", ErrNotParked, orderID, st.State)
	}
	return s.instruct(ctx, orderID, i)
}

// instruct sends an instruction, which an order that is not parked ignores.
func (s *Starter) instruct(ctx context.Context, orderID string, i ltp.Instruction) error {
	err := s.client.SignalWorkflow(ctx, ltp.OrderWorkflowID(orderID), "", ltp.InstructionSignal, i)
	return s.requestError(ctx, "instruct", orderID, err)
}

func lookup(orderID string, err error) error {
	if errors.As(err, new(*serviceerror.NotFound)) {
		return fmt.Errorf("%w: %s", ErrNotFound, orderID)
	}
	return unreachable("look up order "+orderID, err)
}

// unreachable marks what Temporal did not answer. What it did answer, such as a
// missing permission, passes as it is.
func unreachable(doing string, err error) error {
	var (
		away     *serviceerror.Unavailable
		late     *serviceerror.DeadlineExceeded
		busy     *serviceerror.ResourceExhausted
		canceled *serviceerror.Canceled
	)
	if errors.As(err, &away) || errors.As(err, &late) || errors.As(err, &busy) || errors.As(err, &canceled) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: %w: %w", doing, ErrUnreachable, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// markdown has Temporal UI, which renders summaries as Markdown, show text as it is.
var markdown = strings.NewReplacer(func() (pairs []string) {
	for _, c := range "\\`*_[]()<>|~&:" {
		pairs = append(pairs, string(c), "\\"+string(c))
	}
	return pairs
}()...)

func summary(o ltp.Order) string {
	s := fmt.Sprintf("order %s: %s for %s", o.ID, ltp.Amount(o.AmountMinor(), o.Currency), markdown.Replace(o.Customer))
	if o.Risk == ltp.HighRisk {
		s += ", high risk"
	}
	return strings.ToValidUTF8(s[:min(len(s), 300)], "")
}
