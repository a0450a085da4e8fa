package replay_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/replay"
	"github.com/ltp-node/ltp/replay/pace"
)

// lease is half of the heartbeat timeout that a release has when it has none.
const lease = 5 * time.Second

// TestAnAttemptThatWasFrozenAndReplacedReleasesNothingWhenItThaws: it does not know
// that yet, and its board shows the very state that it serves.
func TestAnAttemptThatWasFrozenAndReplacedReleasesNothingWhenItThaws(t *testing.T) {
	for name, answer := range map[string]error{
		"temporal answers that it is not the one in force": serviceerror.NewNotFound("activity task not found"),
		"temporal does not answer":                         errors.New("unavailable"),
		"an operator paused the activity":                  activity.ErrActivityPaused,
		"it was cancelled":                                 temporal.NewCanceledError(),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
				n.add(3000)
				var thawed time.Time
				n.releasing = func(nth int) {
					if nth != 100 {
						return
					}
					thawed = time.Now().Add(30 * time.Second)
					n.change(func() {
						n.answers = func() error { // the whole process stands still, and its heartbeats too
							time.Sleep(time.Until(thawed))
							return answer
						}
					})
					time.Sleep(30 * time.Second)
					s.sees(ltp.Recovering, 5)
				}
				time.AfterFunc(time.Minute, func() { s.sees(ltp.Unstable, 6) })
				_, _ = release(t, engine(n, s, oneByOne()), drain)
				assert.Equal(t, 100, n.begun)
			})
		})
	}
}

// TestAReleaseWithoutALeaseWaitsForIt: an attempt that cannot reach Temporal is not
// replaced for certain.
func TestAReleaseWithoutALeaseWaitsForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		p := pace.Default()
		n.add(20_000)
		var lost, back time.Time
		n.releasing = func(nth int) {
			if nth == 1000 {
				lost, back = time.Now(), time.Now().Add(30*time.Second)
				n.change(func() {
					n.answers = func() error {
						if time.Now().Before(back) {
							return errors.New("unavailable")
						}
						return nil
					}
				})
			}
		}
		report, err := release(t, engine(n, s, p), drain)
		require.NoError(t, err)
		assert.Equal(t, 20_000, report.Released)
		for _, took := range n.taken {
			assert.False(t, took.at.After(lost.Add(lease)) && took.at.Before(back), "without a lease")
		}
	})
}

func TestNothingIsReleasedBeforeTemporalHasTakenAHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(10)
		n.answers = func() error { return serviceerror.NewNotFound("activity task not found") }
		_, err := release(t, engine(n, s, pace.Default()), drain)
		require.ErrorContains(t, err, "another attempt")
		assert.Zero(t, n.begun)
	})
}

// TestAReleaseIsAliveWhileItWaits: it must not be taken for dead and begun a
// second time beside itself.
func TestAReleaseIsAliveWhileItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		s.loses()
		n.add(10)
		time.AfterFunc(time.Minute, func() { s.sees(ltp.Recovering, 5) })
		time.AfterFunc(30*time.Second, func() {
			assert.WithinDuration(t, time.Now(), n.heartbeat().At, 2*time.Second)
			assert.Equal(t, replay.PhaseUnreadable, n.heartbeat().Phase)
		})
		_, err := release(t, engine(n, s, oneByOne()), drain)
		require.NoError(t, err)
		assert.GreaterOrEqual(t, len(n.reports), 60)
	})
}

// TestTheReleaseOfAnEarlierEpochEndsByTheBoard: its lease knows nothing of the later one,
// which is an activity of another workflow.
func TestTheReleaseOfAnEarlierEpochEndsByTheBoard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 7)
		n.add(100)
		report, err := release(t, engine(n, s, pace.Default()), drain)
		require.NoError(t, err)
		assert.True(t, report.MovedOn)
		assert.Zero(t, n.begun)
	})
}
