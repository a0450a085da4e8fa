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

// Watch observes one component until ctx ends. It goes on from last, the verdict in
// force, which is empty without one. It calls emit with its first verdict and with every
// change of it, and heartbeat several times a second with the newest sample. Both return
// quickly.
type Watch func(ctx context.Context, last ltp.Verdict, emit func(ltp.Observation), heartbeat func(ltp.Heartbeat)) error

// Observer is the activity of a process that observes a component.
type Observer struct {
	Client client.Client
	// Name says who observes, in frames and heartbeats.
	Name  string
	Watch Watch
	Log   *slog.Logger
}

// Observe watches a component and signals what it sees to the component's
// Orientation workflow. It runs until its worker stops, the workflow cancels it,
// or it is taken for dead because its heartbeats stopped arriving; the workflow
// then schedules it again, and whoever takes it is the active observer.
func (o *Observer) Observe(ctx context.Context, in ltp.ObserveInput) (ltp.Handover, error) {
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
	err := o.Watch(watching, in.LastVerdict, func(seen ltp.Observation) {
		seen.Component, seen.Observer, seen.Term = in.Component, o.Name, in.Term
		news.put(seen)
	}, func(b ltp.Heartbeat) {
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
		return ltp.Handover{}, err
	}
	return ltp.Handover{Observer: o.Name, Why: why, At: ltp.Stamped(time.Now())}, nil
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
