package trace

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	enumspb "go.temporal.io/api/enums/v1"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/visibility"
)

// How often Follow asks Temporal, and for how much.
const (
	roundLasts = time.Second
	roundReads = 200              // histories in a round
	roundAgain = 20               // of them, of orders that wait
	lag        = 10 * time.Second // how late the visibility store may be
	undecided  = 3 * time.Second  // for so long, an execution waits for its end
)

// Follow passes on what happens to a component and its orders from a time on, as it
// happens: entries in order of time, as far as Temporal shows them by then, with frames
// numbered from 1. It returns when ctx ends, without an error, or with the first error.
//
// Temporal is asked for at most a few pages of orders and 200 histories a second: of
// more orders than that, it is late. An order that is deferred again while it waits
// is late when very many wait.
func (r *Reader) Follow(ctx context.Context, component string, since time.Time, show func([]Entry) error) error {
	f := follower{Reader: r, component: component, since: since, printed: map[ltp.Source]bool{}, orders: map[string]*followed{}, seen: since}
	grown := r.growth(ctx, ltp.OrientationWorkflowID(component))
	tick := time.NewTicker(roundLasts)
	defer tick.Stop()
	for fresh := true; ; {
		entries, err := f.round(ctx, fresh)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if len(entries) > 0 {
			if err := show(entries); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		select {
		case <-grown:
			fresh = true
		default:
			fresh = false
		}
	}
}

// FollowOrder passes on what happens to an order until it ends, and what has happened so
// far. It returns its error, or none when ctx ends.
func (r *Reader) FollowOrder(ctx context.Context, orderID string, show func([]Entry) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	grown, f := r.growth(ctx, ltp.OrderWorkflowID(orderID)), follower{Reader: r}
	order := &followed{}
	for {
		t, err := r.Order(ctx, orderID)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if entries := f.numbered(order.news(t, time.Time{}, time.Now())); len(entries) > 0 {
			if err := show(entries); err != nil {
				return err
			}
		}
		if order.ended {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-grown:
		case <-time.After(undecided):
		}
	}
}

// growth says that the history of a workflow may have grown, at most once a second.
func (r *Reader) growth(ctx context.Context, workflowID string) <-chan struct{} {
	grown := make(chan struct{}, 1)
	go func() {
		for ctx.Err() == nil {
			events := r.client.GetWorkflowHistory(ctx, workflowID, "", true, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
			for events.HasNext() {
				if _, err := events.Next(); err != nil {
					break
				}
				select {
				case grown <- struct{}{}:
				default:
				}
			}
			select { // the run has ended, or Temporal is away
			case <-ctx.Done():
			case <-time.After(roundLasts):
			}
		}
	}()
	return grown
}

// follower is what has been passed on.
type follower struct {
	*Reader
	component string
	since     time.Time
	seen      time.Time // up to when orders have been listed
	printed   map[ltp.Source]bool
	orders    map[string]*followed // by workflow ID
	queue     []*followed
	no        int
}

// followed is an order that is followed.
type followed struct {
	id      string
	n       int // entries that have been passed on
	first   int // the number of its first frame
	open    bool
	waits   bool
	queued  bool
	ended   bool
	readAt  time.Time
	endedAt time.Time
}

func (f *follower) round(ctx context.Context, fresh bool) ([]Entry, error) {
	now := time.Now()
	var news []newEntry
	if fresh {
		about, err := f.about(ctx)
		if err != nil {
			return nil, err
		}
		news = append(news, about...)
	}
	if err := f.list(ctx, now); err != nil {
		return nil, err
	}
	orders, err := f.read(ctx, now)
	if err != nil {
		return nil, err
	}
	return f.numbered(append(news, orders...)), nil
}

// newEntry is one that has not been passed on, and the order that it is of.
type newEntry struct {
	Entry
	of *followed
}

// about is what is new of the component.
func (f *follower) about(ctx context.Context) (news []newEntry, err error) {
	o, err := f.Orientation(ctx, f.component)
	if err != nil {
		return nil, err
	}
	w := Window{From: f.since}
	for _, e := range orientationEntries(o, o.During(w), w) {
		if !f.printed[e.source()] {
			f.printed[e.source()] = true
			news = append(news, newEntry{Entry: e})
		}
	}
	return news, nil
}

// list queues the orders that may have moved: those that began or ended of late, those
// that are between two decisions, and some of those that wait.
func (f *follower) list(ctx context.Context, now time.Time) error {
	late := f.seen.Add(-lag)
	found, err := f.listing(fmt.Sprintf("WorkflowType='%s' AND (StartTime>='%[2]s' OR CloseTime>='%[2]s')",
		ltp.OrderWorkflow, late.UTC().Format(time.RFC3339Nano))).All(ctx)
	if err != nil {
		return err
	}
	for _, w := range found {
		f.listed(w)
	}
	f.seen = now
	var waiting []*followed
	for id, o := range f.orders {
		switch {
		case o.ended && o.endedAt.Before(late.Add(-lag)):
			delete(f.orders, id) // it is not listed again
		case o.ended || o.queued:
		case o.waits:
			waiting = append(waiting, o)
		default:
			f.enqueue(o)
		}
	}
	slices.SortFunc(waiting, func(a, b *followed) int { return a.readAt.Compare(b.readAt) })
	for _, o := range waiting[:min(len(waiting), roundAgain)] {
		f.enqueue(o)
	}
	return nil
}

func (f *follower) listed(w visibility.Execution) {
	id := w.GetExecution().GetWorkflowId()
	o, known := f.orders[id]
	if !known {
		o = &followed{id: id}
		f.orders[id] = o
	}
	if !known || !o.ended && w.GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		f.enqueue(o)
	}
}

func (f *follower) enqueue(o *followed) {
	if !o.queued {
		o.queued = true
		f.queue = append(f.queue, o)
	}
}

// read reads as many orders of the queue as a round may.
func (f *follower) read(ctx context.Context, now time.Time) (news []newEntry, err error) {
	n := min(len(f.queue), roundReads)
	traces, errs := make([]OrderTrace, n), make([]error, n)
	var wait sync.WaitGroup
	free := make(chan struct{}, parallel)
	for i, o := range f.queue[:n] {
		id, _ := ltp.OrderID(o.id)
		free <- struct{}{}
		wait.Go(func() {
			traces[i], errs[i] = f.Order(ctx, id)
			<-free
		})
	}
	wait.Wait()
	for i, o := range f.queue[:n] {
		o.queued, o.readAt = false, now
		switch {
		case errors.Is(errs[i], ErrNotFound), errors.As(errs[i], new(*DamageError)):
			o.ended, o.endedAt = true, now
			news = append(news, newEntry{Entry: Entry{At: now, Note: &Note{At: now, Kind: NoteOperator, Text: errs[i].Error()}}})
		case errs[i] != nil:
			return nil, errs[i]
		case !traces[i].DependsOn(f.component):
			o.ended, o.endedAt = traces[i].Outcome != nil, traces[i].EndedAt
			o.waits = true
		default:
			news = append(news, o.news(traces[i], f.since, now)...)
		}
	}
	f.queue = slices.Delete(f.queue, 0, n)
	return news, nil
}

// news are the entries of an order that have not been passed on. A routing that admitted the
// order waits for how its execution ended, unless that takes long.
func (o *followed) news(t OrderTrace, since, now time.Time) (news []newEntry) {
	entries := orderEntries(t, Window{From: since})
	for ; o.n < len(entries); o.n++ {
		e := entries[o.n]
		if len(e.Frames) == 2 && e.Frames[1].Response.Admissible && t.Outcome == nil &&
			o.n == len(entries)-1 && (e.Execution == nil || e.Execution.Running()) {
			if now.Sub(e.At) < undecided {
				return news
			}
			o.open = true
		}
		news = append(news, newEntry{e, o})
	}
	o.waits = t.State() == ltp.Deferred || t.State() == ltp.Parked
	if o.ended = t.Outcome != nil; o.ended {
		o.endedAt = t.EndedAt
		if n := len(entries); o.open && (n == 0 || entries[n-1].Ended == nil) {
			news = append(news, newEntry{Entry{At: t.EndedAt, OrderID: t.Order.ID, Amount: amount(t.Order), Ended: t.Outcome}, o})
		}
	}
	return news
}

// numbered puts entries in order and numbers their frames.
func (f *follower) numbered(news []newEntry) (entries []Entry) {
	slices.SortStableFunc(news, func(a, b newEntry) int { return byTime(a.Entry, b.Entry) })
	for _, e := range news {
		for j := range e.Frames {
			f.no++
			e.Frames[j].No = f.no
			switch q := e.Frames[j].Request; {
			case q == nil:
			case q.Replay:
				e.Replays = e.of.first
			default:
				e.of.first = f.no
			}
		}
		entries = append(entries, e.Entry)
	}
	return entries
}
