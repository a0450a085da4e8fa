package orderdb

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// groupSize is the most writes that are committed in one transaction: as many as the replay
// engine has on their way at once. They share one question of the fence and one commit.
const groupSize = 64

// pending is a write whose caller waits.
type pending struct {
	*write
	ctx     context.Context
	outcome chan outcome // takes one

	mu        sync.Mutex // held while the write is admitted
	begun     bool       // it may be in the database
	abandoned bool       // its caller waits no longer, and nothing was begun
}

type outcome struct {
	stored Stored
	err    error
}

func (w *pending) end(stored Stored, err error) { w.outcome <- outcome{stored, err} }

// askAdmission asks whether the write may begin, and ends it if not.
func (w *pending) askAdmission() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.abandoned {
		return false
	}
	err := w.admitted()
	if err != nil {
		w.end(Stored{}, err)
	}
	return err == nil
}

// begin reports whether the write may begin: its caller still waits.
func (w *pending) begin() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.begun = !w.abandoned
	return w.begun
}

// abandon reports whether a caller may go: nothing was begun, and nothing will be.
func (w *pending) abandon() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.abandoned = !w.begun
	return w.abandoned
}

// groupCommit runs one transaction at a time. Writes that come while one is under way
// share the next: they are admitted at one time, and committed at one time.
type groupCommit struct {
	idle  chan struct{} // holds one: whoever takes it may begin a transaction
	mu    sync.Mutex
	queue []*pending
}

func newGroupCommit() *groupCommit {
	g := &groupCommit{idle: make(chan struct{}, 1)}
	g.idle <- struct{}{}
	return g
}

// commit queues a write and waits for its outcome: until its context has ended, and a
// moment longer where it has begun.
func (g *groupCommit) commit(ctx context.Context, w *write, transact func([]*pending)) (Stored, error) {
	p := &pending{write: w, ctx: ctx, outcome: make(chan outcome, 1)}
	g.enqueue(p)
	for {
		select {
		case o := <-p.outcome:
			return o.stored, o.err
		case <-g.idle:
			// What hangs in the operating system, on a disk that does not answer, cannot
			// be interrupted. Its callers go, and it keeps the turn, so that nothing is
			// begun after it.
			go func() {
				defer func() { g.idle <- struct{}{} }()
				if group := g.dequeue(); len(group) > 0 {
					transact(group)
				}
			}()
		case <-ctx.Done():
			return g.abandon(p)
		}
	}
}

// alone does something in a turn of its own, between two transactions, and returns soon
// after ctx ends. What hangs then keeps the turn.
func (g *groupCommit) alone(ctx context.Context, do func() error) error {
	select {
	case <-g.idle:
	case <-ctx.Done():
		return unavailable(context.Cause(ctx))
	}
	done := make(chan error, 1)
	go func() {
		defer func() { g.idle <- struct{}{} }()
		done <- do()
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return err
	case <-time.After(interruptWithin):
		return unknown(context.Cause(ctx))
	}
}

func (g *groupCommit) enqueue(p *pending) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.queue = append(g.queue, p)
}

// dequeue takes the writes that have waited longest.
func (g *groupCommit) dequeue() []*pending {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := min(len(g.queue), groupSize)
	group := slices.Clone(g.queue[:n])
	g.queue = slices.Delete(g.queue, 0, n)
	return group
}

func (g *groupCommit) remove(p *pending) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.queue = slices.DeleteFunc(g.queue, func(other *pending) bool { return other == p })
}

// abandon ends a write whose context has ended.
func (g *groupCommit) abandon(p *pending) (Stored, error) {
	g.remove(p)
	if p.abandon() {
		select {
		case o := <-p.outcome: // why it was not admitted
			return o.stored, o.err
		default:
			return Stored{}, unavailable(context.Cause(p.ctx))
		}
	}
	select {
	case o := <-p.outcome:
		return o.stored, o.err
	case <-time.After(interruptWithin):
		return Stored{}, unknown(context.Cause(p.ctx))
	}
}

// admitted asks for all of a group at one time, and returns those that may begin.
func admitted(group []*pending) (in []*pending) {
	yes := make([]bool, len(group))
	var asked sync.WaitGroup
	for i, w := range group {
		asked.Go(func() { yes[i] = w.askAdmission() })
	}
	asked.Wait()
	for i, w := range group {
		if yes[i] {
			in = append(in, w)
		}
	}
	return in
}

// untilAllEnd is a context that ends when all of theirs have.
func untilAllEnd(group []*pending) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(context.Background())
	var left atomic.Int64
	left.Store(int64(len(group)))
	var stops []func() bool
	for _, w := range group {
		stops = append(stops, context.AfterFunc(w.ctx, func() {
			if left.Add(-1) == 0 {
				cancel(context.Cause(w.ctx))
			}
		}))
	}
	return ctx, func() {
		for _, stop := range stops {
			stop()
		}
		cancel(nil)
	}
}
