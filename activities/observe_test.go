package activities_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
)

// orientationInbox takes the signals of an Orientation workflow.
type orientationInbox struct {
	client.Client
	mu      sync.Mutex
	away    bool // Temporal refuses
	hangs   bool // Temporal does not answer
	tried   int
	letters []ltp.Observation
}

func (i *orientationInbox) SignalWorkflow(ctx context.Context, id, run, signal string, arg any) error {
	i.mu.Lock()
	i.tried++
	hangs, away := i.hangs, i.away
	i.mu.Unlock()
	switch {
	case id != "orientation/orders-db" || run != "" || signal != ltp.ObservationSignal:
		panic("signalled " + id + " " + run + " " + signal)
	case hangs:
		<-ctx.Done()
		return ctx.Err()
	case away:
		return errors.New("connection refused")
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.letters = append(i.letters, arg.(ltp.Observation))
	return nil
}

func (i *orientationInbox) set(away bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.away = away
}

// verdicts are what has arrived, after everything under way has.
func (i *orientationInbox) verdicts() []ltp.Verdict {
	synctest.Wait()
	i.mu.Lock()
	defer i.mu.Unlock()
	var all []ltp.Verdict
	for _, o := range i.letters {
		all = append(all, o.Verdict)
	}
	return all
}

// eyes are a watch that sees what a test gives it, until ctx or the test ends it.
type eyes struct {
	seen       chan ltp.Verdict
	heartbeats chan ltp.Heartbeat
	end        chan error
	last       ltp.Verdict // which they go on from
}

func newEyes() *eyes {
	return &eyes{seen: make(chan ltp.Verdict), heartbeats: make(chan ltp.Heartbeat), end: make(chan error)}
}

func (e *eyes) watch(ctx context.Context, last ltp.Verdict, emit func(ltp.Observation), heartbeat func(ltp.Heartbeat)) error {
	e.last = last
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-e.end:
			return err
		case v := <-e.seen:
			emit(ltp.Observation{Verdict: v, Reason: "as seen", Observer: "?", At: time.Now()})
		case b := <-e.heartbeats:
			heartbeat(b)
		}
	}
}

// watch is an Observe under way.
type watch struct {
	*eyes
	inbox  *orientationInbox
	env    *testsuite.TestActivityEnvironment
	stop   chan struct{} // the worker stops
	cancel context.CancelFunc
	ended  chan struct{}

	handover ltp.Handover // once it has ended
	err      error
}

func observe(t *testing.T, inbox *orientationInbox, prepare ...func(*testsuite.TestActivityEnvironment)) *watch {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &watch{eyes: newEyes(), inbox: inbox, stop: make(chan struct{}), cancel: cancel, ended: make(chan struct{})}
	o := &activities.Observer{Client: inbox, Name: "eve", Watch: w.watch, Log: silent}
	w.env = environment(ctx, o)
	w.env.SetWorkerStopChannel(w.stop)
	for _, p := range prepare {
		p(w.env)
	}
	go func() {
		defer close(w.ended)
		w.handover, w.err = do[ltp.Handover](t, w.env, o.Observe, ltp.ObserveInput{Component: db, Term: 7, LastVerdict: ltp.Unhealthy})
	}()
	t.Cleanup(func() {
		cancel()
		<-w.ended
	})
	return w
}

func TestTheFirstVerdictAndEveryChangeAreSignalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inbox := &orientationInbox{}
		w := observe(t, inbox)
		began := time.Now()
		w.seen <- ltp.Healthy
		assert.Equal(t, []ltp.Verdict{ltp.Healthy}, inbox.verdicts())
		assert.Equal(t, ltp.Observation{Component: db, Observer: "eve", Term: 7, Verdict: ltp.Healthy, Reason: "as seen", At: began}, inbox.letters[0])
		assert.Equal(t, ltp.Unhealthy, w.last, "the verdict in force is handed over")

		w.seen <- ltp.Unhealthy
		assert.Equal(t, []ltp.Verdict{ltp.Healthy, ltp.Unhealthy}, inbox.verdicts())
		w.seen <- ltp.Healthy
		assert.Equal(t, []ltp.Verdict{ltp.Healthy, ltp.Unhealthy, ltp.Healthy}, inbox.verdicts())
		assert.Zero(t, time.Since(began), "news does not wait")

		time.Sleep(time.Hour)
		assert.Len(t, inbox.verdicts(), 3, "what was delivered is signalled once")
	})
}

func TestAnObservationIsSignalledUntilItIsDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inbox := &orientationInbox{away: true}
		w := observe(t, inbox)
		w.seen <- ltp.Unhealthy
		time.Sleep(time.Minute)
		assert.Empty(t, inbox.verdicts())
		assert.Greater(t, inbox.tried, 60, "several times a second")
		assert.Less(t, inbox.tried, 600, "and not in a tight loop")

		inbox.set(false)
		time.Sleep(time.Second)
		assert.Equal(t, []ltp.Verdict{ltp.Unhealthy}, inbox.verdicts())
	})
}

func TestANewerObservationReplacesOneThatCouldNotBeDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inbox := &orientationInbox{away: true}
		w := observe(t, inbox)
		for _, v := range []ltp.Verdict{ltp.Healthy, ltp.Unhealthy, ltp.Healthy, ltp.Slow} {
			w.seen <- v
		}
		synctest.Wait()
		inbox.set(false)
		time.Sleep(time.Second)
		assert.Equal(t, []ltp.Verdict{ltp.Slow}, inbox.verdicts())
	})
}

// TestANewObservationIsSentWithoutWaitingForTheRetryOfAnOlderOne: that the component is unfit is signalled at once, although what
// came before it could not be delivered a moment ago.
func TestANewObservationIsSentWithoutWaitingForTheRetryOfAnOlderOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inbox := &orientationInbox{away: true}
		w := observe(t, inbox)
		w.seen <- ltp.Healthy
		synctest.Wait()
		inbox.set(false)
		w.seen <- ltp.Unhealthy
		assert.Equal(t, []ltp.Verdict{ltp.Unhealthy}, inbox.verdicts())
	})
}

// TestSamplingNeverWaitsForTemporal: the newest samples show in heartbeats, and newest
// news is the one that counts, however long Temporal hangs.
func TestSamplingNeverWaitsForTemporal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inbox := &orientationInbox{hangs: true}
		w := observe(t, inbox)
		began := time.Now()
		for range 5 {
			w.seen <- ltp.Healthy
			w.seen <- ltp.Unhealthy
			w.heartbeats <- ltp.Heartbeat{}
		}
		assert.Zero(t, time.Since(began))
		synctest.Wait()
		w.cancel()
		<-w.ended
		assert.Equal(t, 1, inbox.tried)
	})
}

func TestHeartbeatsShowWhatIsSeenAndByWhom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var all []ltp.Heartbeat
		w := observe(t, &orientationInbox{}, func(e *testsuite.TestActivityEnvironment) {
			e.SetOnActivityHeartbeatListener(func(_ *activity.Info, details converter.EncodedValues) {
				var b ltp.Heartbeat
				assert.NoError(t, details.Get(&b))
				mu.Lock()
				defer mu.Unlock()
				all = append(all, b)
			})
		})
		sample := ltp.Heartbeat{At: time.Now().UTC(), Verdict: ltp.Slow, LatencyMs: 700}
		w.heartbeats <- sample
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		sample.Observer = "eve"
		assert.Equal(t, []ltp.Heartbeat{sample}, all)
	})
}

func TestAnObserverHandsOverWhenItsWorkerStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := observe(t, &orientationInbox{})
		w.seen <- ltp.Healthy
		close(w.stop)
		<-w.ended
		require.NoError(t, w.err)
		assert.Equal(t, ltp.Handover{Observer: "eve", Why: "its worker stopped", At: time.Now().UTC()}, w.handover)
	})
}

// TestAnObserverHandsOverAlthoughItsObservationCannotBeDelivered: the next one signals its own.
func TestAnObserverHandsOverAlthoughItsObservationCannotBeDelivered(t *testing.T) {
	for name, inbox := range map[string]func() *orientationInbox{
		"Temporal is away": func() *orientationInbox { return &orientationInbox{away: true} },
		"Temporal hangs":   func() *orientationInbox { return &orientationInbox{hangs: true} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := observe(t, inbox())
				w.seen <- ltp.Unhealthy
				synctest.Wait()
				stopped := time.Now()
				close(w.stop)
				<-w.ended
				require.NoError(t, w.err)
				assert.Equal(t, "its worker stopped", w.handover.Why)
				assert.Zero(t, time.Since(stopped))
			})
		})
	}
}

// TestAnObserverThatIsCancelledHandsOver: the SDK cancels an activity whose
// heartbeats do not get through, and that is no failure of observing.
func TestAnObserverThatIsCancelledHandsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := observe(t, &orientationInbox{})
		w.seen <- ltp.Healthy
		w.cancel()
		<-w.ended
		require.NoError(t, w.err)
		assert.Contains(t, w.handover.Why, context.Canceled.Error())
	})
}

func TestAWatchThatCannotWorkFailsWithItsReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := observe(t, &orientationInbox{})
		w.end <- errors.New("no table ltp_probe: run ltp setup")
		<-w.ended
		var failure *temporal.ApplicationError
		require.ErrorAs(t, w.err, &failure)
		assert.Equal(t, "no table ltp_probe: run ltp setup", failure.Message())
	})
}

func TestAWatchThatEndsByItselfIsAHandover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := observe(t, &orientationInbox{})
		w.end <- nil
		<-w.ended
		require.NoError(t, w.err)
		assert.Equal(t, ltp.Handover{Observer: "eve", Why: "its watch ended", At: time.Now().UTC()}, w.handover)
	})
}
