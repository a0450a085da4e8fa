package main

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
)

// waiting is a wait under ann's hold, with what the order database says at a time since its
// beginning.
func waiting(out *bytes.Buffer, inFlight func(time.Duration) int) *drain {
	held := ltp.Orientation{Component: ltp.DefaultComponent, State: ltp.Unstable, Epoch: 7, Hold: &ltp.Hold{By: "ann", Why: "migration"}}
	d := &drain{held: held, by: "ann", since: time.Now(), out: out}
	begun := d.since
	d.read = func(context.Context) (board.Reading, error) { return board.Reading{Orientation: d.held}, nil }
	d.count = func(context.Context) (int, error) { return inFlight(time.Since(begun)), nil }
	return d
}

// TestTheWaitLastsAsLongAsAnAttempt, though nothing is in flight: a worker may hold a
// reading from before the hold. And it lasts on while a write does.
func TestTheWaitLastsAsLongAsAnAttempt(t *testing.T) {
	for name, row := range map[string]struct {
		inFlight func(time.Duration) int
		lasts    time.Duration
		says     string
	}{
		"nothing in flight": {func(time.Duration) int { return 0 }, ltp.AttemptTimeout, "ltp: 0 writes in flight.\n"},
		"one that begins late": {func(d time.Duration) int {
			if d > 6*time.Second && d < 9*time.Second {
				return 1
			}
			return 0
		}, 9 * time.Second, "ltp: 0 writes in flight.\nltp: 1 write in flight.\n"},
		"some that hang": {func(d time.Duration) int { return max(0, 3-int(d/(20*time.Second))) }, time.Minute,
			"ltp: 3 writes in flight.\nltp: 2 writes in flight.\nltp: 1 write in flight.\n"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				begun := time.Now()
				require.NoError(t, waiting(&out, row.inFlight).wait(t.Context()))
				assert.Equal(t, row.lasts, time.Since(begun))
				assert.Equal(t, "ltp: orders-db is held. For 7s writes may begin that had read it before.\n"+row.says+
					"ltp: No write of an order is in flight.\n", out.String())
			})
		})
	}
}

// TestTheWaitEndsWithTheHold: nothing it could say would be true any more.
func TestTheWaitEndsWithTheHold(t *testing.T) {
	for name, change := range map[string]func(*ltp.Orientation){
		"released": func(o *ltp.Orientation) {
			o.Hold, o.State, o.Epoch, o.Reason = nil, ltp.Recovering, 8, "Released by bob: over"
		},
		"released while it is unfit":   func(o *ltp.Orientation) { o.Hold, o.Reason = nil, "Released by bob: over" },
		"released and held again":      func(o *ltp.Orientation) { o.Epoch, o.Reason = 9, "Released by bob: over" },
		"held by somebody else by now": func(o *ltp.Orientation) { o.Hold, o.Reason = &ltp.Hold{By: "bob"}, "Released by bob: over" },
		"nobody can say what it is  ":  nil,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				d := waiting(&out, func(time.Duration) int { return 0 })
				d.read = func(context.Context) (board.Reading, error) {
					now := d.held
					if time.Since(d.since) > time.Second {
						if change == nil {
							return board.Reading{}, errors.New("temporal is away")
						}
						change(&now)
					}
					return board.Reading{Orientation: now}, nil
				}
				err := d.wait(t.Context())
				if change == nil {
					require.EqualError(t, err, "orders-db stays held, and nobody knows whether a write is in flight: temporal is away")
				} else {
					require.ErrorContains(t, err, "the hold of ann on orders-db has ended meanwhile, and orders may be written: it is ")
					require.ErrorContains(t, err, " now (Released by bob: over)")
				}
				assert.NotContains(t, out.String(), "No write")
			})
		})
	}
}

// TestTheWaitDoesNotOutliveWhoWaits, and the hold does.
func TestTheWaitDoesNotOutliveWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.EqualError(t, waiting(&out, func(time.Duration) int { return 2 }).wait(ctx), "interrupted: orders-db stays held")
	})
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		d := waiting(&out, nil)
		d.count = func(context.Context) (int, error) { return 0, errors.New("no route to host") }
		require.ErrorContains(t, d.wait(t.Context()), "orders-db stays held, and nobody knows whether a write is in flight: no route to host")
	})
}
