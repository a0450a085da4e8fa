package board

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ltp-node/ltp"
)

// newBoard is a board on which is only what a test puts there.
func newBoard() *Board { return Of(mute, []string{db}, silent) }

func mute(context.Context, string) (Reading, error) { return Reading{}, errors.New("nobody answers") }

// seen is a reading of this moment.
func seen(s ltp.State, epoch int64) Reading {
	return Reading{Orientation: orientation(s, epoch), ReadAt: time.Now()}
}

// of is r, read of another component.
func (r Reading) of(component string) Reading {
	r.Component = component
	return r
}

// old is r, read earlier.
func (r Reading) old(age time.Duration) Reading {
	r.ReadAt = r.ReadAt.Add(-age)
	return r
}

// asked is a route request of an order that is written to db and depends on that, or on
// what is named.
func asked(r ltp.Request, components ...string) ltp.RouteInput {
	if len(components) == 0 {
		components = []string{db}
	}
	return ltp.RouteInput{OrderID: "A1", Components: components, Written: db, Request: r, Attempt: 2, Woken: ltp.WokenByTimer}
}

func TestWhatHasNotBeenReadIsUnknown(t *testing.T) {
	r := newBoard().Orientation(db)
	assert.Equal(t, ltp.Unknown, r.State)
	assert.Equal(t, db, r.Component)
	assert.True(t, r.Unreadable)
}

func TestAReadingIsUsedForItsLeaseAndNotLonger(t *testing.T) {
	b := newBoard()
	r := seen(ltp.Stable, 3)
	b.Put(r)
	now := r.ReadAt
	b.now = func() time.Time { return now }

	now = r.ReadAt.Add(Lease)
	assert.Equal(t, r, b.Orientation(db))

	now = r.ReadAt.Add(Lease + 1)
	late := b.Orientation(db)
	assert.Equal(t, ltp.Unknown, late.State)
	assert.True(t, late.Unreadable)
	assert.EqualValues(t, 3, late.Epoch, "the epoch stays known")
	assert.Equal(t, r.ReadAt, late.ReadAt)
	routing := b.Route(asked(ltp.Request{}))
	assert.Equal(t, ltp.Defer, routing.Decision)
	assert.Equal(t, ltp.ReasonUnknown, routing.Reason)
	assert.True(t, routing.Unreadable)
}

func TestAnAnswerThatWasOvertakenIsIgnored(t *testing.T) {
	first := seen(ltp.Unstable, 5)
	after := func(r Reading, d time.Duration) Reading { return r.old(-d) }
	rows := []struct {
		name  string
		then  Reading
		taken bool
	}{
		{"of the same state, read later", after(seen(ltp.Unstable, 5), time.Millisecond), true},
		{"of a later epoch, read later", after(seen(ltp.Recovering, 6), time.Millisecond), true},
		{"of the same state, asked for earlier", seen(ltp.Unstable, 5).old(time.Second), false},
		{"of a later epoch, asked for earlier", seen(ltp.Stable, 6).old(time.Second), false},
		{"of an earlier epoch, although asked for later", after(seen(ltp.Stable, 4), time.Second), false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			b := newBoard()
			b.Put(first)
			b.Put(row.then)
			if row.taken {
				assert.Equal(t, row.then, b.Orientation(db))
			} else {
				assert.Equal(t, first, b.Orientation(db))
			}
		})
	}
}

// An answer takes a lease at most: an earlier epoch that was asked for after that is
// that of a workflow that Temporal forgot or reset, and nothing else will ever come.
func TestAWorkflowThatWasStartedOverIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard()
		b.Put(seen(ltp.Stable, 57))
		time.Sleep(Lease)
		b.Put(seen(ltp.Stable, 2))
		assert.EqualValues(t, 57, b.Orientation(db).Epoch, "it may still be an answer that was overtaken")
		time.Sleep(time.Nanosecond)
		b.Put(seen(ltp.Stable, 2))
		assert.EqualValues(t, 2, b.Orientation(db).Epoch)
		assert.Equal(t, ltp.Stable, b.Orientation(db).State)
	})
}

func TestLosingSightReplacesAFitState(t *testing.T) {
	b := newBoard()
	b.Put(seen(ltp.Stable, 3))
	b.Put(unreadable(orientation(ltp.Stable, 3), time.Now(), "its observer is silent"))
	assert.Equal(t, ltp.Unknown, b.Orientation(db).State)
}
