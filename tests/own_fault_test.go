package tests

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/starter"
)

// own is an activity of the user's that fails for every order while err is set.
type own struct {
	err  atomic.Pointer[error]
	mu   sync.Mutex
	done map[string]int
}

func (o *own) fulfil(_ context.Context, job ltp.Job) error {
	if err := o.err.Load(); err != nil {
		return *err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.done[job.Order.ID]++
	return nil
}

// works registers it and polls, until the test ends.
func (r *rig) works() *own {
	r.T.Helper()
	c := r.Dial()
	o := &own{done: map[string]int{}}
	w := worker.New(c, fulfil.TaskQueue, worker.Options{})
	w.RegisterActivityWithOptions(o.fulfil, activity.RegisterOptions{Name: fulfil.Activity})
	require.NoError(r.T, w.Start())
	r.T.Cleanup(w.Stop)
	r.Start = starter.New(r.Client, starter.WithExecution(fulfil))
	return o
}

// TestActivityOfTheUsersThatFailsForAllCostsNoOrder: whatever it says of each order, it says
// it of all, and none is executed meanwhile: the component is UNSTABLE in the activity's
// words, again after canaries have failed, no order ends, and all are executed after the
// repair.
func TestActivityOfTheUsersThatFailsForAllCostsNoOrder(t *testing.T) {
	for name, fails := range map[string]error{
		"a plain error":   errors.New("the warehouse has no quota left"),
		"unavailable":     temporal.NewApplicationError("the warehouse has no quota left", ltp.UnavailableError),
		"it refuses them": temporal.NewApplicationError("the warehouse has no quota left", ltp.RejectedError),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			shop := r.works()
			n := r.up(r.config())
			r.Until(n.Board, ltp.Stable)
			var ids []string
			for i := range 3 {
				ids = append(ids, fmt.Sprintf("before-%d", i))
				r.Submit(ids[i])
				r.becomes(ids[i], ltp.Executed)
			}
			shop.err.Store(&fails)
			for i := range 15 {
				id := fmt.Sprintf("own-%02d", i)
				r.Submit(id)
				ids = append(ids, id)
			}
			fell := r.Until(n.Board, ltp.Unstable)
			assert.Contains(t, fell.Reason, "Orders fail: the warehouse has no quota left")
			again, err := n.Board.Wait(r.Ctx, ltp.DefaultComponent, func(now board.Reading) bool {
				return now.State == ltp.Unstable && now.Epoch > fell.Epoch
			})
			require.NoError(t, err)
			assert.Contains(t, again.Reason, "the warehouse has no quota left")
			t.Logf("%s; then %s", fell.Reason, again.Reason)
			for _, id := range ids[3:] {
				st := r.becomes(id, ltp.Deferred)
				assert.False(t, st.State.Final())
			}
			shop.err.Store(nil)
			for _, id := range ids {
				r.becomes(id, ltp.Executed)
			}
			r.Until(n.Board, ltp.Stable)
			want := map[string]int{}
			for _, id := range ids {
				want[id] = 1
			}
			shop.mu.Lock()
			defer shop.mu.Unlock()
			assert.Equal(t, want, shop.done)
		})
	}
}
