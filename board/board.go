// Package board is a cache with a lease: it keeps the last orientation read of each component
// at hand, so that routing an order costs no network call.
//
// A board never answers with an orientation older than its lease. When it cannot
// read, or what it reads cannot be trusted, the component is UNKNOWN: the order
// node fails closed.
package board

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp"
)

// Defaults of a board.
const (
	// Refresh is how often a board reads each component.
	Refresh = 250 * time.Millisecond
	// Lease is for how long a reading may be used, counted from before it was
	// asked for.
	Lease = 5 * time.Second
	// reads is how many reads of a component may be under way: one that is slow does
	// not hold up the next.
	reads = 4
)

// Source reads the orientation of a component as it is now: [Read], but in tests.
type Source func(ctx context.Context, component string) (Reading, error)

// Board is safe for concurrent use. Until Run has read a component, that
// component is UNKNOWN.
type Board struct {
	client     client.Client
	source     Source
	components []string
	log        *slog.Logger
	now        func() time.Time

	mu       sync.Mutex
	readings map[string]Reading
	watchers map[*watcher]struct{}
	failing  map[string]bool
	changed  chan struct{} // closed and replaced at every Put
	// asking holds the components that are read for the fence now, and whether somebody
	// has come too late for that reading.
	asking  map[string]bool
	workers Workers
}

// New makes a board of the components. Nothing is read before Run.
func New(c client.Client, components []string, log *slog.Logger) *Board {
	b := Of(func(ctx context.Context, component string) (Reading, error) { return Read(ctx, c, component) }, components, log)
	b.client = c
	return b
}

// Of makes a board that reads from a source, only when the fence asks: it has no
// Temporal for Run to follow.
func Of(source Source, components []string, log *slog.Logger) *Board {
	return &Board{
		source: source, components: components, log: log, now: time.Now,
		readings: map[string]Reading{}, watchers: map[*watcher]struct{}{}, failing: map[string]bool{}, changed: make(chan struct{}),
		asking: map[string]bool{},
	}
}

// Components are the components on the board.
func (b *Board) Components() []string { return b.components }

// Run keeps the board fresh until ctx ends: it reads every Refresh, and at once
// when an orientation workflow's history grows.
func (b *Board) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, component := range b.components {
		poke := make(chan struct{}, 1)
		wg.Go(func() { b.follow(ctx, component, poke) })
		wg.Go(func() { b.keepFresh(ctx, component, poke) })
	}
	wg.Wait()
}

// keepFresh reads one component again and again.
func (b *Board) keepFresh(ctx context.Context, component string, poke <-chan struct{}) {
	tick := time.NewTicker(Refresh)
	defer tick.Stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, reads)
	for {
		select {
		case slots <- struct{}{}:
			wg.Go(func() {
				defer func() { <-slots }()
				b.read(ctx, component)
			})
		default:
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-poke:
		}
	}
}

func (b *Board) read(ctx context.Context, component string) {
	asking, cancel := context.WithTimeout(ctx, Lease)
	defer cancel()
	r, err := b.source(asking, component)
	if err == nil {
		b.Put(r)
	}
	if ctx.Err() != nil {
		return
	}
	b.mu.Lock()
	news := (err != nil) != b.failing[component]
	b.failing[component] = err != nil
	b.mu.Unlock()
	if news && err != nil { // said once an outage, not four times a second
		b.log.Warn("orientation cannot be read", "component", component, "error", err)
	}
}

// follow pokes when the orientation's history grows. It only makes news travel
// faster: what counts is what keep reads.
func (b *Board) follow(ctx context.Context, component string, poke chan<- struct{}) {
	for ctx.Err() == nil {
		events := b.client.GetWorkflowHistory(ctx, ltp.OrientationWorkflowID(component), "", true,
			enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for events.HasNext() {
			e, err := events.Next()
			if err != nil {
				break
			}
			if e.GetEventType() == enumspb.EVENT_TYPE_WORKFLOW_PROPERTIES_MODIFIED {
				select {
				case poke <- struct{}{}:
				default:
				}
			}
		}
		select { // the run ended or Temporal is away; the next run is followed anew
		case <-ctx.Done():
		case <-time.After(Refresh):
		}
	}
}

// Put sets a reading. Run calls it; so do tests.
func (b *Board) Put(r Reading) {
	b.mu.Lock()
	if old, ok := b.readings[r.Component]; ok && isOutdated(r, old) {
		b.mu.Unlock()
		return
	}
	b.readings[r.Component] = r
	close(b.changed)
	b.changed = make(chan struct{})
	var fired []*watcher
	for w := range b.watchers {
		if w.component == r.Component && !r.State.Fit() {
			fired = append(fired, w)
			delete(b.watchers, w)
		}
	}
	b.mu.Unlock()
	for _, w := range fired {
		w.notify()
	}
}

// isOutdated reports whether r is an answer that was older than old when it arrived.
// An answer takes a lease at most: what was asked for after that and still shows
// an earlier epoch is of a workflow that was started over.
func isOutdated(r, old Reading) bool {
	return old.ReadAt.After(r.ReadAt) || (old.Epoch > r.Epoch && r.ReadAt.Sub(old.ReadAt) <= Lease)
}

// Orientation is what the board holds true of a component right now.
func (b *Board) Orientation(component string) Reading {
	b.mu.Lock()
	r, ok := b.readings[component]
	b.mu.Unlock()
	now := b.now()
	if !ok {
		return unreadable(ltp.Orientation{Component: component}, time.Time{}, "not read yet")
	}
	if now.Sub(r.ReadAt) > Lease {
		return unreadable(r.Orientation, r.ReadAt, "the last reading is older than the lease")
	}
	return r
}

// Route answers a route request by what the board holds: no network, and nothing newer
// than the last refresh.
func (b *Board) Route(in ltp.RouteInput) ltp.Routing {
	for _, c := range in.Components {
		if b.Orientation(c).ReplayControl.Paused {
			in.Request.Paused = append(in.Request.Paused, c)
		}
	}
	r, _ := b.RouteReleased(in)
	return r
}

// RouteReleased is Route for an order that was released. It ignores a pause by an operator,
// since what is released goes on. The Fence is of the component that is written to; where
// that is not known here, of the component that decided.
func (b *Board) RouteReleased(in ltp.RouteInput) (ltp.Routing, ltp.Fence) {
	readings := make(map[string]Reading, len(in.Components))
	all := make([]ltp.Orientation, 0, len(in.Components))
	for _, c := range in.Components {
		reading := b.Orientation(c)
		readings[c] = reading
		all = append(all, reading.Orientation)
	}
	worst, decision, reason := ltp.Route(all, in.Request)
	by := readings[worst.Component]
	written, ok := readings[in.Written]
	if !ok {
		written = by
	}
	return ltp.Routing{
		Attempt: in.Attempt, Woken: in.Woken, Request: in.Request, Decision: decision, Reason: reason,
		Component: by.Component, State: by.State, Epoch: by.Epoch, ReadAt: ltp.Stamped(by.ReadAt), Unreadable: by.Unreadable,
		Written: readings[in.Written].Epoch,
	}, written.Fence()
}

// Fence answers a route request at the last moment before a write, on readings that were
// begun after the call: a write that follows knows of whatever was published before it
// was asked. What is known to be unfit is refused at once. It returns an error only when
// ctx ends first; the Routing is then unreadable.
func (b *Board) Fence(ctx context.Context, in ltp.RouteInput) (ltp.Routing, ltp.Fence, error) {
	asked := b.now()
	fresh := func(now Reading) bool { return !now.ReadAt.Before(asked) }
	for first := true; ; first = false {
		old := slices.IndexFunc(in.Components, func(c string) bool { return !fresh(b.Orientation(c)) })
		r, fence := b.RouteReleased(in)
		if old < 0 || (!r.Decision.Admissible() && !r.Unreadable) {
			return r, fence, nil
		}
		if first {
			for _, c := range in.Components {
				b.askFresh(c)
			}
		}
		if _, err := b.Wait(ctx, in.Components[old], fresh); err != nil {
			return in.NotRouted(), ltp.Fence{}, fmt.Errorf("no orientation of %s could be read: %w", in.Components[old], err)
		}
	}
}

// Fresh reads a component anew: the reading was begun after the call. It returns an error
// only when ctx ends first.
func (b *Board) Fresh(ctx context.Context, component string) (Reading, error) {
	asked := b.now()
	b.askFresh(component)
	r, err := b.Wait(ctx, component, func(now Reading) bool { return !now.ReadAt.Before(asked) })
	if err != nil {
		return b.Orientation(component), fmt.Errorf("no orientation of %s could be read: %w", component, err)
	}
	return r, nil
}

// askFresh begins a reading of a component. Where one has been asked for that is still under
// way, it begins after that, and serves all who came meanwhile.
func (b *Board) askFresh(component string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, underWay := b.asking[component]; underWay {
		b.asking[component] = true
		return
	}
	b.asking[component] = false
	go b.answerFresh(component)
}

// answerFresh reads until nobody has come too late.
func (b *Board) answerFresh(component string) {
	for late := true; late; {
		b.read(context.Background(), component)
		b.mu.Lock()
		if late = b.asking[component]; late {
			b.asking[component] = false
		} else {
			delete(b.asking, component)
		}
		b.mu.Unlock()
	}
}

type watcher struct {
	component string
	notify    func()
}

// OnUnfit calls notify once, as soon as the board learns that one of the components
// is no longer fit. The returned function ends the watch.
func (b *Board) OnUnfit(components []string, notify func()) (stop func()) {
	var once sync.Once
	ws := make([]*watcher, len(components))
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, c := range components {
		ws[i] = &watcher{component: c, notify: func() { once.Do(notify) }}
		b.watchers[ws[i]] = struct{}{}
	}
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, w := range ws {
			delete(b.watchers, w)
		}
	}
}

// Wait returns the first reading of a component that fits, or ctx's error.
func (b *Board) Wait(ctx context.Context, component string, fits func(Reading) bool) (Reading, error) {
	tick := time.NewTicker(Refresh)
	defer tick.Stop()
	for {
		b.mu.Lock()
		changed := b.changed
		b.mu.Unlock()
		if r := b.Orientation(component); fits(r) {
			return r, nil
		}
		select {
		case <-ctx.Done():
			return Reading{}, ctx.Err()
		case <-changed:
		case <-tick.C: // readings also change by growing old
		}
	}
}
