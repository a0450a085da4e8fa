package activities

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp"
)

// Watch observes one component until ctx ends. It calls emit with its first
// verdict and with every change of it, and beat several times a second with the
// newest sample. Both return quickly.
type Watch func(ctx context.Context, emit func(ltp.Observation), beat func(Beat)) error

// Beat is the newest thing seen of a component: what the Observe activity
// heartbeats, and so what Temporal UI shows of it.
type Beat struct {
	At        time.Time   `json:"at"`
	Verdict   ltp.Verdict `json:"verdict,omitempty"`
	LatencyMs int64       `json:"latency_ms"`
	// Leader and Timeline are who took the probe's write, where it can be told.
	Leader   string `json:"leader,omitempty"`
	Timeline string `json:"timeline,omitempty"`
	Observer string `json:"observer"`
}

// Observer is the activity of a process that observes a component.
type Observer struct {
	Client client.Client
	// Name says who observes, in frames and heartbeats.
	Name  string
	Watch Watch
	Log   *slog.Logger
}

// ObserveInput names the component to observe.
type ObserveInput struct {
	Component string `json:"component"`
	// Term is carried by every observation, so that one which arrives after another
	// observer has been asked to take over is told from the other's; see
	// [ltp.Observation].
	Term int64 `json:"term,omitempty"`
}

// Handover is how Observe ends in good order.
type Handover struct {
	Observer string    `json:"observer"`
	Why      string    `json:"why"`
	At       time.Time `json:"at"`
}

// Observe watches a component and signals what it sees to the component's
// Orientation workflow. It runs until its worker stops, the workflow cancels it,
// or it is taken for dead because its heartbeats stopped arriving; the workflow
// then schedules it again, and whoever takes it is the active observer.
func (o *Observer) Observe(ctx context.Context, in ObserveInput) (Handover, error) {
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	var stopping atomic.Bool
	go func() {
		select {
		case <-activity.GetWorkerStopChannel(ctx):
			stopping.Store(true)
			cancel()
		case <-watching.Done():
		}
	}()

	news := newMailbox()
	delivered := make(chan struct{})
	go func() {
		defer close(delivered)
		o.deliver(watching, in.Component, news)
	}()
	err := o.Watch(watching, func(seen ltp.Observation) {
		seen.Component, seen.Observer, seen.Term = in.Component, o.Name, in.Term
		news.put(seen)
	}, func(b Beat) {
		b.Observer = o.Name
		activity.RecordHeartbeat(ctx, b)
	})
	cancel()
	<-delivered
	why := "its watch ended"
	switch {
	case ctx.Err() != nil:
		// The workflow cancelled it, which does not read the answer, or heartbeats did
		// not get through, which is no failure of observing: the next is asked at once.
		why = "Temporal stopped it: " + context.Cause(ctx).Error()
	case stopping.Load():
		why = "its worker stopped"
	case err != nil && !errors.Is(err, context.Canceled):
		return Handover{}, err
	}
	return Handover{Observer: o.Name, Why: why, At: stamp(time.Now())}, nil
}

// deliver signals the newest observation, again and again until Temporal has it.
func (o *Observer) deliver(ctx context.Context, component string, news *mailbox) {
	const again = 500 * time.Millisecond
	for {
		seen, ok := news.take(ctx)
		if !ok {
			return
		}
		for ctx.Err() == nil {
			err := o.Client.SignalWorkflow(ctx, ltp.OrientationWorkflowID(component), "", ltp.ObservationSignal, seen)
			if err == nil {
				break
			}
			o.Log.Warn("observation not delivered, trying again", "component", component, "verdict", seen.Verdict, "error", err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(again):
			case seen = <-news.c: // newer news replaces what could not be delivered
			}
		}
	}
}

// mailbox holds the newest observation.
type mailbox struct{ c chan ltp.Observation }

func newMailbox() *mailbox { return &mailbox{make(chan ltp.Observation, 1)} }

func (m *mailbox) put(o ltp.Observation) {
	for {
		select {
		case m.c <- o:
			return
		default:
		}
		select {
		case <-m.c:
		default:
		}
	}
}

func (m *mailbox) take(ctx context.Context) (ltp.Observation, bool) {
	select {
	case <-ctx.Done():
		return ltp.Observation{}, false
	case o := <-m.c:
		return o, true
	}
}
