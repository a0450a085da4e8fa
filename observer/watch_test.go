package observer_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/observer"
)

// component is a database as a probe meets it: how long the nth write hangs, and
// how it ends.
type component struct {
	write    func(ctx context.Context, n int) error
	writes   atomic.Int32
	underWay atomic.Int32
	most     atomic.Int32
}

func (c *component) Probe(ctx context.Context) (map[string]string, error) {
	c.most.Store(max(c.most.Load(), c.underWay.Add(1)))
	defer c.underWay.Add(-1)
	return nil, c.write(ctx, int(c.writes.Add(1)))
}

// hang is a write that takes a while, or as long as its context.
func hang(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

type said struct {
	after time.Duration // since the watch began
	ltp.Observation
}

// watch runs a watch for a while in the time of a bubble and returns what it said.
func watch(t *testing.T, d time.Duration, c *component) (all []said, beats []observer.Status) {
	t.Helper()
	all, beats = watchProbe(t, d, c)
	assert.LessOrEqual(t, c.most.Load(), int32(1), "writes at once")
	return all, beats
}

func watchProbe(t *testing.T, d time.Duration, p observer.Probe) (all []said, beats []observer.Status) {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	err := observer.Watch(ctx, p, observer.DefaultSettings(), "",
		func(o ltp.Observation) { all = append(all, said{time.Since(began), o}) },
		func(s observer.Status) { beats = append(beats, s) })
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Equal(t, d, time.Since(began))
	return all, beats
}

func TestAHealthyComponentIsSaidOnceAndSampledSteadily(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &component{write: func(ctx context.Context, _ int) error { return hang(ctx, 3*time.Millisecond) }}
		all, beats := watch(t, 9900*time.Millisecond, c)
		require.Len(t, all, 1)
		assert.Equal(t, ltp.Healthy, all[0].Verdict)
		assert.Equal(t, 253*time.Millisecond, all[0].after)
		assert.EqualValues(t, 40, c.writes.Load())
		assert.Len(t, beats, 40)
		assert.Equal(t, observer.Status{At: beats[9].At, Verdict: ltp.Healthy, Sample: observer.Sample{Latency: 3 * time.Millisecond}, Result: observer.ResultGood}, beats[9])
	})
}

func TestAHangIsNoticedAtTheThresholdWhileItHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &component{write: func(ctx context.Context, n int) error {
			if n == 5 { // at 1 s
				return hang(ctx, 9*time.Second)
			}
			return hang(ctx, time.Millisecond)
		}}
		all, beats := watch(t, 15*time.Second, c)
		require.Len(t, all, 3)
		assert.Equal(t, "DB Write Latency > 5000ms", all[1].Reason)
		assert.Equal(t, 6*time.Second, all[1].after)
		assert.EqualValues(t, 5000, all[1].Evidence.LatencyMs)
		assert.Equal(t, ltp.Healthy, all[2].Verdict)
		assert.Equal(t, 10*time.Second+251*time.Millisecond, all[2].after)
		for i := 1; i < len(beats); i++ {
			assert.LessOrEqual(t, beats[i].At.Sub(beats[i-1].At), 500*time.Millisecond)
		}
		hanging := beats[len(beats)/2]
		assert.True(t, hanging.Sample.Hanging)
		assert.Greater(t, hanging.Sample.Latency, 5*time.Second)
		assert.Equal(t, ltp.Unhealthy, hanging.Verdict)
		assert.Equal(t, observer.ResultHung, hanging.Result)
	})
}

func TestAWriteThatHangsForEverIsGivenUpAndTriedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &component{write: func(ctx context.Context, n int) error {
			if n == 1 {
				return hang(ctx, time.Hour)
			}
			return nil
		}}
		all, _ := watch(t, time.Minute, c)
		require.Len(t, all, 2)
		assert.Equal(t, 5*time.Second, all[0].after)
		assert.Equal(t, ltp.Healthy, all[1].Verdict)
		assert.Equal(t, 10*time.Second+250*time.Millisecond, all[1].after)
	})
}

func TestAProbeThatIgnoresItsContextHoldsNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &component{write: func(context.Context, int) error {
			time.Sleep(time.Hour)
			return nil
		}}
		all, _ := watch(t, time.Minute, c)
		require.Len(t, all, 1)
		assert.Equal(t, ltp.Unhealthy, all[0].Verdict)
		assert.EqualValues(t, 1, c.writes.Load())
		time.Sleep(time.Hour) // lets it end, as a bubble must
	})
}

func TestErrorsAreToldWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &component{write: func(_ context.Context, n int) error {
			if n > 4 && n <= 20 {
				return errors.New("connection lost")
			}
			return nil
		}}
		all, _ := watch(t, 10*time.Second, c)
		require.Len(t, all, 3)
		assert.Equal(t, ltp.Unhealthy, all[1].Verdict)
		assert.Equal(t, 1500*time.Millisecond, all[1].after, "the outage began before 1 s")
		assert.Equal(t, ltp.Healthy, all[2].Verdict)
		assert.Equal(t, 5250*time.Millisecond, all[2].after, "the outage ended before 5 s")
	})
}

func TestTheEndOfAWatchIsNoFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &component{write: func(ctx context.Context, _ int) error {
			<-ctx.Done()
			return fault{definite: true}
		}}
		all, _ := watch(t, time.Second, c)
		assert.Empty(t, all)
	})
}

func TestAWatchWithSettingsThatCannotWorkDoesNotBegin(t *testing.T) {
	err := observer.Watch(t.Context(), &component{}, observer.Settings{}, "", nil, nil)
	require.ErrorContains(t, err, "interval")
}

// TestAWatchGoesOnFromTheVerdictInForce: writes of 3 s do not make fit what was unfit, by
// whomever it is watched.
func TestAWatchGoesOnFromTheVerdictInForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &component{write: func(ctx context.Context, _ int) error { return hang(ctx, 3*time.Second) }}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		beats := 0
		err := observer.Watch(ctx, c, observer.DefaultSettings(), ltp.Unhealthy,
			func(o ltp.Observation) { t.Errorf("said %s: %s", o.Verdict, o.Reason) },
			func(s observer.Status) {
				beats++
				assert.Equal(t, ltp.Unhealthy, s.Verdict)
			})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Positive(t, beats)
	})
}
