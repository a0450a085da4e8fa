package activities_test

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
)

// TestOrdersThatWaitedForAWorkerAreABacklog: a few go as canaries, the others are left to a
// release, which the Orientation is asked to begin.
func TestOrdersThatWaitedForAWorkerAreABacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backlogs := make(chan ltp.Backlog, 9)
		a := activities.Orders{
			Board:    boardThatHolds(ltp.Stable, 3),
			Evidence: &activities.Evidence{Client: signals{backlogs: backlogs}, Worker: "w-1", Log: slog.New(slog.DiscardHandler)},
		}
		route := func(waited time.Duration) ltp.Routing {
			r, err := a.CheckOrientation(t.Context(), ltp.RouteInput{
				OrderID: "A1", Components: []string{"orders-db"}, Written: "orders-db", Attempt: 1, Waited: waited,
			})
			require.NoError(t, err)
			assert.Equal(t, r.Reason == ltp.ReasonBacklog, r.Request.Backlog, "what decided is recorded")
			return r
		}
		for range 100 {
			assert.Equal(t, ltp.Execute, route(ltp.LateAfter-1).Decision, "a worker that died, or a little delay")
		}
		admitted := 0
		for i := range 40 {
			if route(ltp.LateAfter + time.Duration(i)*time.Second).Decision.Admissible() {
				admitted++
			}
		}
		assert.Equal(t, ltp.LateOrders, admitted)
		time.Sleep(time.Second)
		synctest.Wait()
		require.Len(t, backlogs, 1)
		assert.Equal(t, ltp.Backlog{
			Component: "orders-db", Worker: "w-1", Epoch: 3, Orders: 40 - ltp.LateOrders,
			WaitedMs: (ltp.LateAfter + 39*time.Second).Milliseconds(),
		}, <-backlogs)

		time.Sleep(ltp.LateWindow)
		a.Board = boardThatHolds(ltp.Stable, 3) // read anew
		assert.Equal(t, ltp.Execute, route(time.Hour).Decision, "one late order now and then is no backlog")
	})
}
