package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/ltp-node/ltp"
)

var paused = ltp.Routing{Decision: ltp.Defer, Reason: ltp.ReasonReplayPaused, State: ltp.Recovering, Epoch: 5}

// mark is what an order shows of its deferral.
type mark struct {
	component string
	epoch     int64
	reason    string
}

// marks keeps what an order shows.
func (e *orderTest) marks(args mock.Arguments) {
	component, epoch := temporal.NewSearchAttributeKeyKeyword(ltp.ComponentAttribute), temporal.NewSearchAttributeKeyInt64(ltp.EpochAttribute)
	reason := temporal.NewSearchAttributeKeyKeyword(ltp.ReasonAttribute)
	said := args.Get(0).(temporal.SearchAttributes)
	var m mark
	m.component, _ = said.GetKeyword(component)
	m.epoch, _ = said.GetInt64(epoch)
	m.reason, _ = said.GetKeyword(reason)
	e.marked = append(e.marked, m)
}

// TestAPausedReplayFindsAndWakesWhatTheBackstopWokeMeanwhile: the order stays under the
// epoch that it was deferred under, for which the replay looks, and takes the word of
// that replay when it is resumed.
func TestAPausedReplayFindsAndWakesWhatTheBackstopWokeMeanwhile(t *testing.T) {
	e := newOrderTest(t, []ltp.Routing{unstable, paused, paused})
	e.tell(20*time.Minute, ltp.Recovering, 5)
	began := e.Now()
	outcome, err := e.run(order)
	require.NoError(t, err)
	assert.Equal(t, ltp.Executed, outcome.State)
	assert.Equal(t, 20*time.Minute, e.Now().Sub(began).Truncate(time.Second), "woken by the signal")
	assert.Greater(t, len(e.routes), 2)
	assert.Equal(t, []mark{
		{ltp.DefaultComponent, 4, string(ltp.ReasonUnstable)},
		{ltp.DefaultComponent, 4, string(ltp.ReasonReplayPaused)},
	}, e.marked, "and once only")
}

// TestWhatIsLeftToAReplayIsMarkedUnderAnEpochOfBefore where the order was not deferred by
// the component before: the replay must find it, paused or under way.
func TestWhatIsLeftToAReplayIsMarkedUnderAnEpochOfBefore(t *testing.T) {
	for _, other := range []ltp.Routing{paused, left} {
		t.Run(string(other.Reason), func(t *testing.T) {
			both := order
			both.DependsOn = []string{ltp.DefaultComponent, "payments"}
			other.Component = "payments"
			e := newOrderTest(t, []ltp.Routing{unstable, other, {Decision: ltp.Execute, Reason: ltp.ReasonOK, State: ltp.Stable, Epoch: 6}})
			outcome, err := e.run(both)
			require.NoError(t, err)
			assert.Equal(t, ltp.Executed, outcome.State)
			assert.Equal(t, []mark{
				{ltp.DefaultComponent, 4, string(ltp.ReasonUnstable)},
				{"payments", 4, string(other.Reason)},
			}, e.marked)
		})
	}
}
