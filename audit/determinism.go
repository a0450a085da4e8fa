package audit

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/words"
	"github.com/ltp-node/ltp/trace"
	"github.com/ltp-node/ltp/workflows"
)

// Replay runs the workflow code over the history of one run and returns an error when it would have
// done anything else than what the history says: another command, another order of
// them, another result. A history to which no worker has answered yet decides nothing.
func Replay(events []*historypb.HistoryEvent) error {
	if !begun(events) {
		return nil
	}
	r := workflows.Replayer()
	if err := r.ReplayWorkflowHistory(quiet, &historypb.History{Events: events}); err != nil {
		return err
	}
	return sameResult(r, events)
}

// sameResult compares results, which the SDK's replayer only says it does. Both are
// read as the type of today, which may have gained fields.
func sameResult(r worker.WorkflowReplayer, events []*historypb.HistoryEvent) error {
	end := events[len(events)-1].GetWorkflowExecutionCompletedEventAttributes()
	if end == nil {
		return nil
	}
	var recorded, replayed any
	switch name := events[0].GetWorkflowExecutionStartedEventAttributes().GetWorkflowType().GetName(); name {
	case ltp.OrderWorkflow:
		recorded, replayed = new(ltp.Outcome), new(ltp.Outcome)
	case ltp.ReplayWorkflow:
		recorded, replayed = new(ltp.ReleaseReport), new(ltp.ReleaseReport)
	default:
		return nil // an Orientation returns nothing, nor does a Sequence
	}
	if err := trace.Decode(end.GetResult(), recorded); err != nil {
		return fmt.Errorf("its result: %w", err)
	}
	results, ok := r.(interface {
		GetWorkflowResult(workflowID string, into any) error
	})
	if !ok {
		return errors.New("the SDK no longer gives the result of a replay")
	}
	if err := results.GetWorkflowResult("", replayed); err != nil {
		return fmt.Errorf("its result, replayed: %w", err)
	}
	was, err := json.Marshal(recorded)
	if err != nil {
		return err
	}
	is, err := json.Marshal(replayed)
	if err != nil {
		return err
	}
	if !bytes.Equal(was, is) {
		return fmt.Errorf("its result is %s, and was %s", is, was)
	}
	return nil
}

var quiet = log.NewStructuredLogger(slog.New(slog.DiscardHandler))

// begun reports whether a worker has answered.
func begun(events []*historypb.HistoryEvent) bool {
	for _, e := range events {
		if e.GetEventType() == enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED {
			return true
		}
	}
	return false
}

// replays replays histories, as many at a time as there are processors.
type replays struct {
	queue chan replay
	done  sync.WaitGroup
	once  sync.Once
	next  int // the number of the next history

	mu       sync.Mutex
	c        Claim
	counts   map[string]int64 // by kind of workflow
	pending  int64            // no worker has answered
	differ   []replay         // in no order
	messages map[int]string
}

type replay struct {
	no     int
	what   string
	events []*historypb.HistoryEvent
}

func newReplays() *replays {
	r := &replays{
		queue: make(chan replay, 2*runtime.GOMAXPROCS(0)), c: claim(Deterministic, "Recovery is deterministic: the workflow code decides the same again"),
		counts: map[string]int64{}, messages: map[int]string{},
	}
	for range runtime.GOMAXPROCS(0) {
		r.done.Go(r.work)
	}
	return r
}

// add has a history replayed; it waits while many are.
func (r *replays) add(what string, events []*historypb.HistoryEvent) {
	r.queue <- replay{no: r.next, what: what, events: events}
	r.next++
}

// close waits for what was added.
func (r *replays) close() {
	r.once.Do(func() { close(r.queue) })
	r.done.Wait()
}

func (r *replays) work() {
	for h := range r.queue {
		err := Replay(h.events)
		r.mu.Lock()
		kind, _, _ := strings.Cut(h.what, "/")
		r.counts[kind]++
		if !begun(h.events) {
			r.pending++
		}
		if err != nil {
			r.messages[h.no] = firstLine(err)
			r.differ = append(r.differ, replay{no: h.no, what: h.what})
		}
		r.mu.Unlock()
	}
}

// firstLine is the first line of an error, which may quote whole commands.
func firstLine(err error) string {
	line := words.Clean(err.Error())
	const longest = 300
	if runes := []rune(line); len(runes) > longest {
		line = string(runes[:longest]) + "…"
	}
	return line
}

func (r *replays) claim() Claim {
	r.close()
	c := r.c
	differ := map[int]replay{}
	for _, h := range r.differ {
		differ[h.no] = h
	}
	for no := range r.next { // the first that differs is named first
		if h, ok := differ[no]; ok {
			c.breach(h.what, "replayed, it decides otherwise: %s", r.messages[no])
		}
	}
	c.add("%s replayed through the workflow code, event by event: %s", words.Plural(r.next, "history"),
		cmp.Or(words.Some(" + ", words.Part(r.counts["order"], "of orders"), words.Part(r.counts["orientation"], "of the orientation"), words.Part(r.counts["replay"], "of the replay engine")), "none"))
	switch {
	case c.Broken > 0:
		c.add("%s differently; the first is %s", words.Count(c.Broken)+" decided", c.Breaches[0].What)
	case r.next > 0:
		c.add("every one decided the same")
	}
	if r.pending > 0 {
		c.add("%s has not been worked on yet, and decides nothing", words.Count(r.pending)+" of them")
	}
	c.Figures["histories"], c.Figures["orders"], c.Figures["differ"] = int64(r.next), r.counts["order"], int64(c.Broken)
	c.Figures["orientation"], c.Figures["replay"] = r.counts["orientation"], r.counts["replay"]
	return c
}

// replayControl adds the runs of the Orientation workflow that meet the window, and the
// Replay workflows that they started in it.
func replayControl(ctx context.Context, r *trace.Reader, f Found, w trace.Window, all *replays) error {
	events, err := r.OrientationHistory(ctx, f.Orientation.Component)
	if err != nil {
		return err
	}
	for _, run := range trace.Runs(events) {
		first, last := run[0].GetEventTime().AsTime(), run[len(run)-1].GetEventTime().AsTime()
		if last.Before(w.From) || (!w.To.IsZero() && first.After(w.To)) {
			continue
		}
		all.add(ltp.OrientationWorkflowID(f.Orientation.Component), run)
		for _, e := range run {
			child := e.GetChildWorkflowExecutionStartedEventAttributes().GetWorkflowExecution()
			if child == nil || !w.Contains(e.GetEventTime().AsTime()) {
				continue
			}
			history, err := r.Events(ctx, child.GetWorkflowId(), child.GetRunId())
			switch {
			case errors.Is(err, trace.ErrNotFound):
				all.miss(child.GetWorkflowId())
			case err != nil:
				return fmt.Errorf("read what the replay engine did: %w", err)
			default:
				all.add(child.GetWorkflowId(), history)
			}
		}
	}
	return nil
}

// miss notes a history that Temporal no longer has.
func (r *replays) miss(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.c.unchecked("Temporal no longer has %s", what)
}
