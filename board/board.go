// Package board keeps the last orientation read of each component at hand, so that
// routing an order costs no network call.
//
// A board never answers with an orientation older than its lease. When it cannot
// read, or what it reads cannot be trusted, the component is UNKNOWN: the order
// node fails closed.
package board

import (
	"context"
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
	// FenceAge is the oldest reading under which a write may begin. Routing may be a
	// little late, since the fence comes after it; nothing comes after the fence.
	FenceAge = 500 * time.Millisecond
	// reads is how many reads of a component may be under way: one that is slow does
	// not hold up the next.
	reads = 4
)

// Board is safe for concurrent use. Until Run has read a component, that
// component is UNKNOWN.
type Board struct {
	client     client.Client
	components []string
	log        *slog.Logger
	now        func() time.Time

	mu       sync.Mutex
	readings map[string]Reading
	watchers map[*watcher]struct{}
	failing  map[string]bool
	changed  chan struct{} // closed and replaced at every Put
}

// New makes a board of the components. Nothing is read before Run.
func New(c client.Client, components []string, log *slog.Logger) *Board {
	return &Board{
		client: c, components: components, log: log, now: time.Now,
		readings: map[string]Reading{}, watchers: map[*watcher]struct{}{}, failing: map[string]bool{}, changed: make(chan struct{}),
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
		wg.Go(func() { b.keep(ctx, component, poke) })
	}
	wg.Wait()
}

// keep reads one component again and again.
func (b *Board) keep(ctx context.Context, component string, poke <-chan struct{}) {
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
	r, err := Read(asking, b.client, component)
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
	if old, ok := b.readings[r.Component]; ok && overtaken(r, old) {
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
		w.tell()
	}
}

// overtaken reports whether r is an answer that was older than old when it arrived.
// An answer takes a lease at most: what was asked for after that and still tells of
// an earlier epoch is of a workflow that was started over.
func overtaken(r, old Reading) bool {
	return old.ReadAt.After(r.ReadAt) || (old.Epoch > r.Epoch && r.ReadAt.Sub(old.ReadAt) <= Lease)
}

// Orientation is what the board holds true of a component right now.
func (b *Board) Orientation(component string) Reading {
	b.mu.Lock()
	r, ok := b.readings[component]
	b.mu.Unlock()
	now := b.now()
	if !ok {
		return blind(ltp.Orientation{Component: component}, time.Time{}, "not read yet")
	}
	if now.Sub(r.ReadAt) > Lease {
		return blind(r.Orientation, r.ReadAt, "the last reading is older than the lease")
	}
	return r
}

// Route asks the decision table about an order that depends on the components.
// The Reading is the one that decided.
func (b *Board) Route(components []string, r ltp.Request) (Reading, ltp.Decision, ltp.Reason) {
	readings := make(map[string]Reading, len(components))
	all := make([]ltp.Orientation, 0, len(components))
	for _, c := range components {
		reading := b.Orientation(c)
		readings[c] = reading
		all = append(all, reading.Orientation)
	}
	worst, decision, reason := ltp.Route(all, r)
	return readings[worst.Component], decision, reason
}

// Fence asks the decision table at the last moment before a write. It waits until no
// reading is older than FenceAge where what is at hand would admit the order, and so
// returns an error only when ctx ends first.
func (b *Board) Fence(ctx context.Context, components []string, r ltp.Request) (Reading, ltp.Decision, error) {
	fresh := func(now Reading) bool { return b.now().Sub(now.ReadAt) <= FenceAge }
	for {
		old := slices.IndexFunc(components, func(c string) bool { return !fresh(b.Orientation(c)) })
		reading, decision, _ := b.Route(components, r)
		if old < 0 || (!decision.Admissible() && !reading.Blind) {
			return reading, decision, nil
		}
		if _, err := b.Wait(ctx, components[old], fresh); err != nil {
			return b.Orientation(components[old]), ltp.Defer, err
		}
	}
}

type watcher struct {
	component string
	tell      func()
}

// OnUnfit calls tell once, as soon as the board learns that one of the components
// is no longer fit. The returned function ends the watch.
func (b *Board) OnUnfit(components []string, tell func()) (stop func()) {
	var once sync.Once
	ws := make([]*watcher, len(components))
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, c := range components {
		ws[i] = &watcher{component: c, tell: func() { once.Do(tell) }}
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
