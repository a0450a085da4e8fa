package replay_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/replay"
)

// DescribeWorkflowExecution finds no replay.
func (n *namespace) DescribeWorkflowExecution(_ context.Context, id, _ string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	return nil, serviceerror.NewNotFound("no " + id)
}

var fallen = board.Reading{Orientation: ltp.Orientation{Component: db, State: ltp.Unstable, Epoch: 4}}

// plan is what a plan says of a backlog, in turn.
func plan(t *testing.T, n *namespace) (all []replay.PlannedOrder) {
	t.Helper()
	require.NoError(t, replay.Plan(t.Context(), n, db, 5, func(o replay.PlannedOrder) error {
		all = append(all, o)
		return nil
	}))
	return all
}

// mixed adds orders of every class, and of one that is none.
func (n *namespace) mixed(each int) {
	for _, class := range []int{5, 1, 3, 0, 99} {
		n.add(each, ofClass(class))
	}
	n.add(each)
}

// TestThePlaceOfAnOrderIsThatOfThePlan: of every order of a backlog that one page shows.
func TestThePlaceOfAnOrderIsThatOfThePlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNamespace()
		n.mixed(160)
		planned := plan(t, n)
		require.Len(t, planned, 960)
		n.lists, n.counted = 0, 0
		p := replay.NewPlaces(n)
		for i, o := range planned {
			place, ok := p.Of(t.Context(), fallen, o, 4)
			require.True(t, ok)
			require.Equal(t, ltp.Place{Ahead: int64(i)}, place, o.OrderID)
		}
		late := planned[200] // the store does not show it yet
		late.OrderID, late.WorkflowID, late.StartedAt = "zz", "order/zz", late.StartedAt.Add(time.Nanosecond)
		place, ok := p.Of(t.Context(), fallen, late, 4)
		require.True(t, ok)
		assert.Equal(t, int64(201), place.Ahead)
		assert.Equal(t, 1, n.lists, "questions for all")
		assert.Zero(t, n.counted)
	})
}

// TestThePlacesOfALongBacklogAreAbout those of the plan, never out of turn, and cost the
// same, however long it is.
func TestThePlacesOfALongBacklogAreAbout(t *testing.T) {
	for name, add := range map[string]func(*namespace){
		"of one class":   func(n *namespace) { n.add(6000) },
		"of every class": func(n *namespace) { n.mixed(1000) },
		"in bursts": func(n *namespace) {
			n.add(6000, func(i int, w *waiting) {
				w.started = time.Now().Add(time.Duration(-i%2) * time.Hour).Add(-time.Duration(i) * time.Millisecond)
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNamespace()
				add(n)
				planned := plan(t, n)
				require.Len(t, planned, 6000)
				n.lists, n.counted = 0, 0
				p, before := replay.NewPlaces(n), int64(0)
				for i, o := range planned {
					place, ok := p.Of(t.Context(), fallen, o, 4)
					require.True(t, ok)
					assert.InDelta(t, i, place.Ahead, 0.05*6000)
					assert.GreaterOrEqual(t, place.Ahead, before)
					before = place.Ahead
				}
				assert.Less(t, n.lists+n.counted, 100)
			})
		})
	}
}

// TestPlacesAreReadOnceForAll: a second long, and seldomer where that takes long.
func TestPlacesAreReadOnceForAll(t *testing.T) {
	for took, most := range map[time.Duration]int{0: 60, 500 * time.Millisecond: 11} {
		t.Run(took.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNamespace()
				n.add(10)
				c := &slow{namespace: n, took: took}
				p, o := replay.NewPlaces(c), plan(t, n)[3]
				var answered atomic.Int64
				var all sync.WaitGroup
				for range 50 {
					all.Go(func() {
						for range 600 { // a minute long, ten times a second
							if _, ok := p.Of(t.Context(), fallen, o, 4); ok {
								answered.Add(1)
							}
							time.Sleep(100 * time.Millisecond)
						}
					})
				}
				all.Wait()
				assert.LessOrEqual(t, c.asked.Load(), int64(most)+2)
				assert.GreaterOrEqual(t, answered.Load(), int64(50*600)-50, "and everybody is answered")
			})
		})
	}
}

// slow is a namespace whose store takes its time to list.
type slow struct {
	*namespace
	took  time.Duration
	asked atomic.Int64
}

func (s *slow) ListWorkflow(ctx context.Context, r *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error) {
	s.asked.Add(1)
	time.Sleep(s.took)
	return s.namespace.ListWorkflow(ctx, r)
}

// TestAPlaceThatCannotBeReadIsNotTold, and is waited for no longer than some moments.
func TestAPlaceThatCannotBeReadIsNotTold(t *testing.T) {
	for name, trouble := range map[string]func(*namespace){
		"errors": func(n *namespace) { n.broken = errors.New("visibility is away") },
		"hangs":  func(n *namespace) { n.hangs = true },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNamespace()
				n.add(10)
				o, p := plan(t, n)[3], replay.NewPlaces(n)
				trouble(n)
				begun := time.Now()
				for range 100 {
					ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
					_, ok := p.Of(ctx, fallen, o, 4)
					cancel()
					require.False(t, ok)
				}
				assert.LessOrEqual(t, time.Since(begun), 200*time.Millisecond, "for all of them")
				n.change(func() { n.broken, n.hangs = nil, false })
				time.Sleep(5 * time.Minute)
				place, ok := p.Of(t.Context(), fallen, o, 4)
				assert.True(t, ok)
				assert.Equal(t, int64(3), place.Ahead)
			})
		})
	}
}

// TestAnOldPlaceIsNotTold: what was read a minute ago is none of now.
func TestAnOldPlaceIsNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNamespace()
		n.add(10)
		o, p := plan(t, n)[3], replay.NewPlaces(n)
		_, ok := p.Of(t.Context(), fallen, o, 4)
		require.True(t, ok)
		n.change(func() { n.hangs = true })
		time.Sleep(time.Minute)
		_, ok = p.Of(t.Context(), fallen, o, 4)
		assert.False(t, ok)
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		_, ok = p.Of(gone, fallen, o, 4)
		assert.False(t, ok)
		time.Sleep(time.Minute) // until the question is given up
	})
}

// TestEachComponentHasItsOwnPlaces.
func TestEachComponentHasItsOwnPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNamespace()
		n.add(10)
		n.add(4, func(i int, w *waiting) { w.of, w.id = "payments", fmt.Sprintf("order/p%d", i) })
		p, other := replay.NewPlaces(n), fallen
		other.Component = "payments"
		last := slices.MaxFunc(plan(t, n), func(a, b replay.PlannedOrder) int { return a.StartedAt.Compare(b.StartedAt) })
		place, _ := p.Of(t.Context(), fallen, last, 4)
		assert.Equal(t, int64(9), place.Ahead)
		place, _ = p.Of(t.Context(), other, replay.PlannedOrder{OrderID: "p3", WorkflowID: "order/p3", Priority: 3}, 4)
		assert.Equal(t, int64(3), place.Ahead)
	})
}

// TestAPlaceCountsOrdersOfItsTenantAlone, in a short backlog and in a long one: what others
// have waiting moves nothing but the time at which the order is expected.
func TestAPlaceCountsOrdersOfItsTenantAlone(t *testing.T) {
	for name, c := range map[string]struct {
		own, others int
		about       float64 // how far the places of a long backlog may be off
	}{
		"a short backlog":                 {300, 500, 0},
		"a long one":                      {2000, 4000, 0.05 * 2000},
		"a long one with few of a tenant": {3, 4000, 0},
		"nobody else":                     {300, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNamespace()
				for i, tenant := range []string{"", "acme", "globex"} {
					each := c.others
					if i == 1 {
						each = c.own
					}
					n.add(each, ofClass(3), func(j int, w *waiting) {
						w.tenant, w.started = tenant, w.started.Add(time.Duration(i)*time.Millisecond)
					})
				}
				n.add(c.others, ofClass(1), func(_ int, w *waiting) { w.tenant = "globex" }) // before all of them
				rolls := fallen
				rolls.State = ltp.Recovering
				p, counted := replay.NewPlaces(n), map[string]int64{}
				for _, o := range plan(t, n) {
					tenant, _ := ltp.SplitID(o.OrderID)
					place, ok := p.Of(t.Context(), rolls, o, 4)
					require.True(t, ok)
					off := 0.05 * float64(2*c.others)
					if tenant == "acme" {
						off = c.about
					}
					require.InDelta(t, counted[tenant], place.Ahead, off, o.OrderID)
					counted[tenant]++
				}
				for range 60 { // an order that the store does not show yet
					late := replay.PlannedOrder{OrderID: "acme/zz", WorkflowID: "order/acme/zz", StartedAt: time.Now(), Priority: 3}
					place, ok := p.Of(t.Context(), rolls, late, 4)
					require.True(t, ok)
					require.Equal(t, int64(c.own), place.Ahead)
				}
			})
		})
	}
}
