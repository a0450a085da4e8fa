package faults

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"

	commandpb "go.temporal.io/api/command/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/ltp-node/ltp"
)

// valve stops the polls of a worker: while it is shut, the worker gets no task.
type valve struct {
	mu     sync.Mutex
	isShut bool
	change chan struct{} // closed and replaced when it is turned
}

func newValve() *valve { return &valve{change: make(chan struct{})} }

func (v *valve) shut() { v.turn(true) }
func (v *valve) open() { v.turn(false) }

func (v *valve) turn(shut bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.isShut != shut {
		v.isShut = shut
		close(v.change)
		v.change = make(chan struct{})
	}
}

// enter waits until the valve is open, and returns a context that ends when it is shut.
func (v *valve) enter(ctx context.Context) (context.Context, context.CancelFunc, error) {
	for {
		v.mu.Lock()
		shut, change := v.isShut, v.change
		v.mu.Unlock()
		if !shut {
			polling, cancel := context.WithCancel(ctx)
			go func() {
				select {
				case <-change:
					cancel()
				case <-polling.Done():
				}
			}()
			return polling, cancel, nil
		}
		select {
		case <-change:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// barrier holds up what reaches it, and counts that. It is open at first.
type barrier struct {
	mu      sync.Mutex
	raised  bool
	dropped bool          // what is held up gets lost
	change  chan struct{} // closed when it is lowered
	waiting map[string]int
}

func newBarrier() *barrier { return &barrier{waiting: map[string]int{}} }

// raise holds up what comes from now on.
func (b *barrier) raise() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.raised {
		b.raised, b.dropped, b.change = true, false, make(chan struct{})
	}
}

// lower lets through what was held up, and drop loses it.
func (b *barrier) lower() { b.end(false) }
func (b *barrier) drop()  { b.end(true) }

func (b *barrier) end(dropped bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.raised {
		b.raised, b.dropped = false, dropped
		close(b.change)
	}
}

var errLost = errors.New("it got lost on its way")

// pass returns nil when what came may go on, and an error when it is lost.
func (b *barrier) pass(ctx context.Context, what string) error {
	b.mu.Lock()
	if !b.raised {
		b.mu.Unlock()
		return nil
	}
	change := b.change
	b.waiting[what]++
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.waiting[what]--
	}()
	select {
	case <-change:
	case <-ctx.Done():
		return ctx.Err()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dropped {
		return errLost
	}
	return nil
}

// holds is how many of one kind are held up, and held all that are.
func (b *barrier) holds(what string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.waiting[what]
}

func (b *barrier) held() (all []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for what, n := range b.waiting {
		if n > 0 {
			all = append(all, what)
		}
	}
	return all
}

// tasks counts the workflow tasks of orders that pass an exchange.
type tasks struct {
	ids []string

	mu                       sync.Mutex
	given, answered, refused map[string]int
	late                     map[string]*workflowservice.RespondWorkflowTaskCompletedRequest // the last that was refused
}

func newTasks(ids []string) *tasks {
	return &tasks{ids: ids, given: map[string]int{}, answered: map[string]int{}, refused: map[string]int{},
		late: map[string]*workflowservice.RespondWorkflowTaskCompletedRequest{}}
}

// of is the order of a task token, and "" for another.
func (k *tasks) of(token []byte) string {
	i := slices.IndexFunc(k.ids, func(id string) bool { return of(token, id) })
	if i < 0 {
		return ""
	}
	return k.ids[i]
}

func (k *tasks) handle(_ context.Context, call any, pass func() (any, error)) (any, error) {
	answer, err := pass()
	k.mu.Lock()
	defer k.mu.Unlock()
	switch c := call.(type) {
	case *workflowservice.PollWorkflowTaskQueueRequest:
		if task, ok := answer.(*workflowservice.PollWorkflowTaskQueueResponse); ok && err == nil {
			if id, ok := ltp.OrderID(task.GetWorkflowExecution().GetWorkflowId()); ok {
				k.given[id]++
			}
		}
	case *workflowservice.RespondWorkflowTaskCompletedRequest:
		id := k.of(c.GetTaskToken())
		switch next, _ := answer.(*workflowservice.RespondWorkflowTaskCompletedResponse); {
		case id == "":
		case err != nil:
			k.refused[id]++
			k.late[id] = c
		default:
			k.answered[id]++
			if next.GetWorkflowTask() != nil {
				k.given[id]++
			}
		}
	}
	return answer, err
}

// least is the smallest count of the orders that are counted.
func (k *tasks) least(count func(*tasks) map[string]int, ids ...string) (least int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	least = 1 << 30
	for _, id := range ids {
		least = min(least, count(k)[id])
	}
	return least
}

// last is the last answer of an order that was refused.
func (k *tasks) last(id string) *workflowservice.RespondWorkflowTaskCompletedRequest {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.late[id]
}

func answered(k *tasks) map[string]int { return k.answered }
func refused(k *tasks) map[string]int  { return k.refused }

// of reports whether a task token is of an order.
func of(token []byte, id string) bool {
	name := []byte(ltp.OrderWorkflowID(id))
	i := bytes.Index(token, name)
	if i < 0 {
		return false
	}
	end := i + len(name)
	return end == len(token) || token[end] < ' ' // the next field follows
}

// ends reports whether an answer to a workflow task ends the workflow.
func ends(c *workflowservice.RespondWorkflowTaskCompletedRequest) bool {
	return slices.ContainsFunc(c.GetCommands(), func(command *commandpb.Command) bool {
		switch command.GetCommandType() {
		case enumspb.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION, enumspb.COMMAND_TYPE_CANCEL_WORKFLOW_EXECUTION:
			return true
		}
		return false
	})
}
