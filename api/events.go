package api

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/ltp-node/ltp/starter"
)

// Limits of a stream of events.
const (
	// followersAtOnce is how many may be open, with the look-ups that wait for a change; each
	// costs a long poll of Temporal.
	followersAtOnce = 256
	// streamTime is how long one lasts. The client then connects anew, perhaps elsewhere.
	streamTime = 10 * time.Minute
	// streamBeat is how often a stream says that it is there, which proxies and clients
	// may need, and by which it notices that its client has gone.
	streamBeat = 15 * time.Second
	// streamRetry is how long a client waits before it connects anew.
	streamRetry = 2 * time.Second
)

// change waits until an order is elsewhere than at st, for at most d, and reports whether
// there was room to wait.
func (a *api) change(w http.ResponseWriter, r *http.Request, st starter.Status, d time.Duration) (now starter.Status, waited bool) {
	leave, err := a.followers.Enter(r.Context(), tenantOf(r.Context()))
	if err != nil {
		return st, false
	}
	defer leave()
	ctx, cancel := waiting(w, r, d)
	defer cancel()
	known := eventID(st)
	for now, err := range a.of(r).Changes(ctx, st.OrderID) {
		switch {
		case err != nil: // what is known of the order stands
			a.log.Warn("an order cannot be followed", "order", fullID(r, st.OrderID), "error", err)
			return st, true
		case eventID(now) != known:
			return now, true
		}
	}
	return st, true
}

// events streams where an order is, each time that it changes, as Server-Sent Events:
// GET /orders/{id}/events. While the order is deferred, the latest event is sent again with
// each beat at which its place in the backlog is another. A client that knows the latest already, by its Last-Event-ID, is
// not sent it again; of an order that has ended it gets 204, at which it stops to ask. A
// client that closes its half of the connection is taken for one that has gone. The stream ends
// before anything is sent to a caller who would not be let in any more.
func (a *api) events(w http.ResponseWriter, r *http.Request) *problem {
	id, p := pathID(r)
	if p != nil {
		return p
	}
	done, p := enter(r.Context(), a.reads)
	if p != nil {
		return p.of(id)
	}
	looking, cancel := lookupContext(r)
	st, err := a.of(r).Get(looking, id)
	cancel()
	done()
	if err != nil {
		return problemOf(err, "Ask again later.").of(id)
	}
	known := r.Header.Get("Last-Event-ID")
	if st.State.Final() && eventID(st) == known {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // nginx would keep events back
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	leave, p := enter(r.Context(), a.followers)
	if p != nil {
		h.Del("X-Accel-Buffering")
		return p.of(id)
	}
	defer leave()
	ctx, cancel := waiting(w, r, streamTime)
	defer cancel()
	defer context.AfterFunc(untilHalfClosed(r), cancel)()
	if err := a.stream(ctx, w, r, id, known); err != nil && ctx.Err() == nil {
		// The client connects anew, and is answered with a problem if it lasts.
		a.log.Warn("a stream of an order's events has broken off", "order", fullID(r, id), "error", err)
	}
	return nil
}

// lookup is what has been read of an order.
type lookup struct {
	st  starter.Status
	err error
}

// stream writes an order's events until it has ended or ctx has. known is the event that
// the client has.
func (a *api) stream(ctx context.Context, w http.ResponseWriter, r *http.Request, id, known string) error {
	orders := a.of(r)
	ctx, stop := context.WithCancel(ctx)
	changes := make(chan lookup)
	defer func() {
		stop()
		for range changes { // what was on its way
		}
	}()
	go func() {
		defer close(changes)
		defer func() {
			if v := recover(); v != nil { // of this goroutine the server would not survive it
				select {
				case changes <- lookup{err: fmt.Errorf("panic: %v\n%s", v, debug.Stack())}:
				case <-ctx.Done():
				}
			}
		}()
		for st, err := range orders.Changes(ctx, id) {
			select {
			case changes <- lookup{st, err}:
			case <-ctx.Done():
				return
			}
		}
	}()
	to := http.NewResponseController(w)
	send := func(text string) error {
		_ = to.SetWriteDeadline(time.Now().Add(2 * streamBeat))
		if _, err := w.Write([]byte(text)); err != nil {
			return fmt.Errorf("write an event: %w", err)
		}
		return to.Flush()
	}
	if err := send(fmt.Sprintf("retry: %d\n\n", streamRetry.Milliseconds())); err != nil {
		return err
	}
	beat := time.NewTicker(streamBeat)
	defer beat.Stop()
	var last starter.Status
	for {
		select {
		case <-beat.C:
			if recheck(r) != nil {
				return nil
			}
			text := ":\n\n"
			if place := a.place(ctx, orders, last); place != nil && (last.Backlog == nil || *place != *last.Backlog) {
				last.Backlog = place
				text = written(known, last)
			}
			if err := send(text); err != nil {
				return err
			}
		case now, ok := <-changes:
			switch {
			case !ok:
				return nil
			case now.err != nil:
				return now.err
			}
			last = now.st
			id := eventID(last)
			if id == known {
				continue
			}
			if recheck(r) != nil {
				return nil
			}
			known = id
			last.Backlog = a.place(ctx, orders, last)
			if err := send(written(known, last)); err != nil {
				return err
			}
		}
	}
}

// written is an event as it is streamed.
func written(id string, st starter.Status) string {
	return fmt.Sprintf("id: %s\nevent: order\ndata: %s\n", id, encoded(starter.CustomerView(st))) // data ends its line
}

// eventID names what a client is shown of an order: the same for the same, whoever serves
// it. The place in a backlog, which moves, is asked for after it.
func eventID(st starter.Status) string {
	sum := sha256.Sum256(encoded(starter.CustomerView(st)))
	return fmt.Sprintf("%x", sum[:8])
}
