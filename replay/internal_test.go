package replay

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"go.temporal.io/sdk/activity"
	"pgregory.net/rapid"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/replay/pace"
)

func TestTheOrdersReleasedLatelyAreRememberedUpToABound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(1, 50).Draw(t, "generation")
		s := newReleasedSet(most)
		var latest []string
		for i := range rapid.IntRange(0, 500).Draw(t, "orders") {
			id := fmt.Sprintf("order/%d", i)
			if !s.has(id) {
				s.add(id, mark{})
			}
			latest = append(latest, id)
			assert.LessOrEqual(t, len(s.young)+len(s.old), 2*most)
		}
		for _, id := range latest[max(len(latest)-most, 0):] {
			assert.True(t, s.has(id), id)
		}
		assert.False(t, s.has("order/other"))
		s.forget()
		assert.Zero(t, len(s.young)+len(s.old))
	})
}

func TestALeaseRunsOutAndIsNotHeldBeforeItWasTaken(t *testing.T) {
	l := newLease(activity.Info{HeartbeatTimeout: 10 * time.Second})
	assert.False(t, l.held())
	assert.False(t, l.lost())
	l.since = time.Now().Add(-4 * time.Second)
	assert.True(t, l.held())
	l.since = time.Now().Add(-6 * time.Second)
	assert.False(t, l.held())
	assert.True(t, l.lost())
	// The clock of the process stood still while the machine slept.
	l.since = time.Now().Round(0).Add(-6 * time.Second)
	assert.False(t, l.held())
}

func TestWhatAnAnswerSaysOfTheComponent(t *testing.T) {
	deferred := func(component string, reason ltp.Reason, result ltp.Result) ltp.Answer {
		return ltp.Answer{State: ltp.Deferred, Wait: ltp.Wait{Component: component, Epoch: 5, Reason: reason}, Result: result}
	}
	for name, c := range map[string]struct {
		answer ltp.Answer
		want   outcome
	}{
		"it was executed":               {ltp.Answer{State: ltp.Executed, Result: ltp.ResultExecuted}, committed},
		"it had been executed":          {ltp.Answer{State: ltp.Executed}, committed},
		"it was refused":                {ltp.Answer{State: ltp.Rejected, Result: ltp.ResultRefused}, neutral},
		"it was cancelled":              {ltp.Answer{State: ltp.Cancelled}, neutral},
		"it expired":                    {ltp.Answer{State: ltp.Expired}, neutral},
		"a tombstone was found":         {ltp.Answer{State: ltp.Cancelled, Result: ltp.ResultWithdrawn}, neutral},
		"its attempt failed":            {deferred("db", ltp.ReasonExecuteUnavailable, ltp.ResultUnavailable), setback},
		"its attempt gave no answer":    {deferred("db", ltp.ReasonExecuteUnavailable, ltp.ResultUnknown), setback},
		"the component fell":            {deferred("db", ltp.ReasonUnstable, ltp.ResultNotBegun), setback},
		"the worker could not read":     {deferred("db", ltp.ReasonUnknown, ltp.ResultNotBegun), setback},
		"another component deferred it": {deferred("stock", ltp.ReasonUnstable, ltp.ResultNotBegun), neutral},
		"it fails with another":         {deferred("stock", ltp.ReasonExecuteUnavailable, ltp.ResultUnavailable), neutral},
		"it awaits its turn":            {deferred("db", ltp.ReasonAwaitsTurn, ltp.ResultNotBegun), neutral},
		"a pause deferred it":           {deferred("db", ltp.ReasonReplayPaused, ltp.ResultNotBegun), neutral},
		"its end was asked for":         {deferred("db", ltp.ReasonAwaitsProof, ""), neutral},
		"it had no attempt":             {deferred("db", ltp.ReasonRecovering, ""), neutral},
	} {
		assert.Equal(t, c.want, outcomeOf(c.answer, "db"), name)
	}
}

// TestAReleaseThatMeetsAWorkerThatIsBehindIsTriedAgain: the worker has not read yet of the
// state that released the order, and nobody else would release it.
func TestAReleaseThatMeetsAWorkerThatIsBehindIsTriedAgain(t *testing.T) {
	for name, c := range map[string]struct {
		wait  ltp.Wait
		again bool
	}{
		"under an epoch of before":     {ltp.Wait{Component: "db", Epoch: 5, Reason: ltp.ReasonDegraded}, true},
		"under the one of the release": {ltp.Wait{Component: "db", Epoch: 6, Reason: ltp.ReasonExecuteUnavailable}, false},
		"for another component":        {ltp.Wait{Component: "stock", Epoch: 5, Reason: ltp.ReasonUnstable}, false},
		"for its turn":                 {ltp.Wait{Component: "db", Epoch: 5, Reason: ltp.ReasonAwaitsTurn}, false},
	} {
		r := newRelease(&Engine{Pace: pace.Default()}, ltp.ReleaseInput{Component: "db", Epoch: 6, Settle: true}, activity.Info{})
		r.nextSweep()
		o, _ := r.claim(waiting{id: "order/1"})
		r.recordOutcome(o, time.Now(), ltp.Answer{State: ltp.Deferred, Result: ltp.ResultNotBegun, Wait: c.wait}, nil)
		r.nextSweep()
		assert.Equal(t, c.again, len(r.unreleased([]waiting{{id: "order/1"}})) == 1, name)
		assert.EqualValues(t, 1, r.progress.report().Released, name)
	}
}

// TestWhatCouldNotBeReleasedIsTriedByTheNextSweep, and not again by the same one.
func TestWhatCouldNotBeReleasedIsTriedByTheNextSweep(t *testing.T) {
	r := newRelease(&Engine{Pace: pace.Default()}, ltp.ReleaseInput{}, activity.Info{})
	r.nextSweep()
	o, claimed := r.claim(waiting{id: "order/1"})
	assert.True(t, claimed)
	_, again := r.claim(o)
	assert.False(t, again)
	r.retry(o, true)
	assert.Empty(t, r.unreleased([]waiting{o}))
	r.nextSweep()
	assert.Len(t, r.unreleased([]waiting{o}), 1)
	o, claimed = r.claim(waiting{id: "order/1"})
	assert.True(t, claimed)
	assert.True(t, o.late, "its answer was late before")
	r.nextSweep()
	_, claimed = r.claim(o)
	assert.False(t, claimed)
}
