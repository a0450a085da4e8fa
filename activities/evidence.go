package activities

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp"
)

// Evidence signals to Orientations which writes of orders failed for a reason that is not
// known to be the order's own, and how many orders waited for a worker. It is safe for
// concurrent use; nobody waits for it.
type Evidence struct {
	Client client.Client
	Worker string
	Log    *slog.Logger

	mu      sync.Mutex
	pending map[string]*report // by component
	commits map[string]int     // by component, since the last report of failures
}

// report is what is gathered of a component until it is sent; each part may be nil.
type report struct {
	failed  *ltp.FailedWrites
	backlog *ltp.Backlog
}

// gathered is the report of a component, which is sent a moment after it was begun.
func (e *Evidence) gathered(component string) *report {
	r := e.pending[component]
	if r == nil {
		if e.pending == nil {
			e.pending = map[string]*report{}
		}
		r = &report{}
		e.pending[component] = r
		time.AfterFunc(reportAfter, func() { e.send(component) })
	}
	return r
}

const (
	// reportAfter is how long failures are gathered: those of one moment go together.
	reportAfter = 100 * time.Millisecond
	// signalWithin is how long Temporal may take for a report. One that is lost is made up
	// for by the next failure.
	signalWithin = 5 * time.Second
)

// Failed reports that the write of an order failed under an epoch of a component.
func (e *Evidence) Failed(component string, epoch int64, w ltp.FailedWrite) {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.gathered(component)
	if r.failed == nil || r.failed.Epoch < epoch {
		r.failed = &ltp.FailedWrites{Component: component, Worker: e.Worker, Epoch: epoch, Commits: e.commits[component]}
	}
	delete(e.commits, component)
	if p := r.failed; p.Epoch == epoch && len(p.Orders) < ltp.MaxFailed {
		p.Orders = append(p.Orders, w)
	}
}

// Committed notes that the write of an order was committed: what failed before it is
// evidence against the component no more.
func (e *Evidence) Committed(component string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.commits == nil {
		e.commits = map[string]int{}
	}
	e.commits[component]++
	if r := e.pending[component]; r != nil && r.failed != nil {
		r.failed.Orders, r.failed.Commits = nil, r.failed.Commits+1
	}
}

// Waited reports that an order was deferred under an epoch of a component because it had
// waited for a worker with many others.
func (e *Evidence) Waited(component string, epoch int64, waited time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.gathered(component)
	if r.backlog == nil || r.backlog.Epoch < epoch {
		r.backlog = &ltp.Backlog{Component: component, Worker: e.Worker, Epoch: epoch}
	}
	if b := r.backlog; b.Epoch == epoch {
		b.Orders++
		b.WaitedMs = max(b.WaitedMs, waited.Milliseconds())
	}
}

// send signals what was gathered of a component.
func (e *Evidence) send(component string) {
	e.mu.Lock()
	r := e.pending[component]
	delete(e.pending, component)
	e.mu.Unlock()
	if r.failed != nil {
		e.signal(component, ltp.FailingSignal, *r.failed)
	}
	if r.backlog != nil {
		e.signal(component, ltp.BacklogSignal, *r.backlog)
	}
}

func (e *Evidence) signal(component, name string, report any) {
	ctx, cancel := context.WithTimeout(context.Background(), signalWithin)
	defer cancel()
	if err := e.Client.SignalWorkflow(ctx, ltp.OrientationWorkflowID(component), "", name, report); err != nil {
		e.Log.Warn("what orders met is not reported; what follows is", "component", component, "signal", name, "error", err)
	}
}
