package faults

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/converter"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/link"
	"github.com/ltp-node/ltp/orderdb/pgtest"
)

// TestTheActiveObserverIsBelievedAgainstTheStandby: one sees the database, and the other sees it over a
// link that is cut. The one that is active is believed, and what it cannot see is
// unfit; the other changes nothing, frozen, thawed or standing by.
func TestTheActiveObserverIsBelievedAgainstTheStandby(t *testing.T) {
	t.Parallel()
	pair := pgtest.StartPair(t)
	cable, err := link.New(pair.Leader().Host())
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, cable.Close()) })
	over, err := url.Parse(pair.Leader().URL("postgres"))
	require.NoError(t, err)
	over.Host = cable.Address()

	r := newRig(t, pair.URL("postgres"))
	r.worker(r.Address)
	short := r.observer(over.String())
	r.Until(r.seen, ltp.Stable)
	sound := r.observer(r.Orders)
	r.awaitObserver(short)

	cable.Cut()
	down := r.Until(r.seen, ltp.Unstable)
	assert.Contains(t, down.Observer, fmt.Sprint(short.Cmd.Process.Pid))
	ids := r.defers("disagree", 10)
	assert.Empty(t, r.rows(), "nothing is written into what nobody sees")

	short.Freeze()
	r.awaitObserver(sound)
	up := r.Until(r.seen, ltp.Stable)
	assert.Greater(t, up.Epoch, down.Epoch)
	short.Thaw()
	r.Submit("disagree-thawed")
	ids = append(ids, "disagree-thawed")
	require.Equal(t, ltp.Executed, r.Ended("disagree-thawed").State)
	assert.Equal(t, up.Epoch, r.Until(r.seen, ltp.Stable).Epoch, "what it says is not believed")

	sound.Interrupt() // it hands over to the one that cannot see
	r.awaitObserver(short)
	r.Until(r.seen, ltp.Unstable)
	ids = append(ids, r.defers("disagree-again", 5)...)
	cable.Mend()
	r.executedOnce(ids)
}

// awaitObserver waits until an observer is the active one.
func (r *rig) awaitObserver(o *process) {
	r.T.Helper()
	r.AwaitActivity(ltp.OrientationWorkflowID(ltp.DefaultComponent), func(a *workflowpb.PendingActivityInfo) bool {
		var beat ltp.Heartbeat
		err := converter.GetDefaultDataConverter().FromPayloads(a.GetHeartbeatDetails(), &beat)
		return err == nil && strings.HasSuffix(beat.Observer, fmt.Sprintf("/%d", o.Cmd.Process.Pid))
	})
}

// observed reports whether that is the latest verdict of the observers, read or not.
func (r *rig) observed(v ltp.Verdict) bool {
	r.T.Helper()
	var last ltp.Observation
	events := r.Client.GetWorkflowHistory(r.Ctx, ltp.OrientationWorkflowID(ltp.DefaultComponent), "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		require.NoError(r.T, err)
		if s := e.GetWorkflowExecutionSignaledEventAttributes(); s.GetSignalName() == ltp.ObservationSignal {
			require.NoError(r.T, converter.GetDefaultDataConverter().FromPayloads(s.GetInput(), &last))
		}
	}
	return last.Verdict == v
}
