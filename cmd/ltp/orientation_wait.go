package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/internal/words"
	"github.com/ltp-node/ltp/orderdb"
)

const (
	// waitPace is the time between two looks at the hold and at the order database.
	waitPace = 100 * time.Millisecond
	// lookWithin is how long either may take to answer.
	lookWithin = 10 * time.Second
)

// drained returns when no write of an order is in flight under a hold, which is in force
// from now on.
func (a *app) drained(cmd *cobra.Command, held ltp.Orientation, by string, o ordersDB) error {
	d := drain{held: held, by: by, since: time.Now(), out: cmd.ErrOrStderr()}
	ctx := cmd.Context()
	if o.url == "" {
		o.url = a.ownOrders()
	}
	db, err := orderdb.Open(context.WithoutCancel(ctx), o.url, orderdb.WithSchema(o.schema))
	if err != nil {
		return d.standing(err)
	}
	defer func() { _ = db.Close() }()
	t, err := a.connect(ctx)
	if err != nil {
		return d.standing(err)
	}
	defer t.stop()
	d.read = func(ctx context.Context) (board.Reading, error) { return board.Read(ctx, t, held.Component) }
	d.count = db.InFlight
	return d.wait(ctx)
}

// drain waits for the writes that are in flight when a component begins to be held.
type drain struct {
	held  ltp.Orientation
	by    string    // whose hold it is
	since time.Time // when it was in force
	read  func(context.Context) (board.Reading, error)
	count func(context.Context) (int, error)
	out   io.Writer
}

func (d drain) say(format string, args ...any) { fmt.Fprintf(d.out, "ltp: "+format+"\n", args...) }

// standing is an error that ends the wait, and not the hold.
func (d drain) standing(err error) error {
	return fmt.Errorf("%s stays held, and nobody knows whether a write is in flight: %w", d.held.Component, err)
}

// wait returns when a write can neither be in flight nor begin on a reading from before the
// hold: each begins on one that was asked for in its own attempt, and no attempt lasts
// longer than ltp.AttemptTimeout.
func (d drain) wait(ctx context.Context) error {
	d.say("%s is held. For %s writes may begin that had read it before.", d.held.Component, words.Short(ltp.AttemptTimeout))
	tick := time.NewTicker(waitPace)
	defer tick.Stop()
	for said := -1; ; {
		n, err := d.look(ctx)
		switch over := time.Since(d.since) >= ltp.AttemptTimeout; {
		case ctx.Err() != nil:
			return fmt.Errorf("interrupted: %s stays held", d.held.Component)
		case err != nil:
			return err
		case n == 0 && over:
			d.say("No write of an order is in flight.")
			return nil
		case n != said:
			said = n
			d.say("%s in flight.", words.Plural(n, "write"))
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// look counts the writes in flight, if the hold is still in force.
func (d drain) look(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	now, err := d.read(ctx)
	switch {
	case err != nil:
		return 0, d.standing(err)
	case now.Epoch != d.held.Epoch || !slices.ContainsFunc(now.Hold.Holds(), func(h ltp.Hold) bool { return h.By == d.by }):
		return 0, fmt.Errorf("the hold of %s on %s has ended meanwhile, and orders may be written: it is %s now (%s)", d.by, d.held.Component, now.State, now.Reason)
	}
	n, err := d.count(ctx)
	if err != nil {
		return 0, d.standing(err)
	}
	return n, nil
}
