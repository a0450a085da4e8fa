package replay_test

import (
	"cmp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/replay"
)

func (w *waiting) class() int {
	if w.priority == nil {
		return ltp.DefaultPriority
	}
	return *w.priority
}

// byClass is the order of a release: a class before the next, in it the oldest first.
func byClass(x, y *waiting) int {
	return cmp.Or(cmp.Compare(x.class(), y.class()), x.started.Compare(y.started), cmp.Compare(x.id, y.id))
}

func TestAClassGoesBeforeTheNextAndInItTheOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(1200)
		for _, class := range []int{5, 1, 0, 4, 2} {
			n.add(120, ofClass(class))
		}
		n.add(20, ofClass(3), func(i int, w *waiting) { w.started = w.started.Add(-time.Hour) }) // as those without one
		_, err := release(t, engine(n, s, oneByOne()), drain)
		require.NoError(t, err)
		assert.Equal(t, n.sorted(byClass), n.released())
	})
}

// TestOrdersOfAnUnknownClassAreReleasedToo: an attribute that no class was meant for strands nobody.
func TestOrdersOfAnUnknownClassAreReleasedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(10)
		n.add(10, ofClass(-7))
		n.add(10, ofClass(99))
		report, err := release(t, engine(n, s, oneByOne()), drain)
		require.NoError(t, err)
		assert.Equal(t, 30, report.Released)
	})
}

// TestWhatIsExpeditedDuringTheReleaseGoesNext, after the page under way at the latest.
func TestWhatIsExpeditedDuringTheReleaseGoesNext(t *testing.T) {
	for name, prepare := range map[string]func(*namespace){
		"no class before":   func(*namespace) {},
		"some class before": func(n *namespace) { n.add(3, ofClass(2)); n.add(3, ofClass(5)) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
				n.add(5000)
				prepare(n)
				expedited := map[string]bool{}
				n.releasing = func(nth int) {
					if nth != 1000 {
						return
					}
					n.change(func() {
						for _, w := range n.orders {
							if w.priority == nil && time.Since(w.started) < 100*time.Second {
								zero := 0
								w.priority = &zero
								expedited[w.id] = true
							}
						}
					})
				}
				_, err := release(t, engine(n, s, oneByOne()), drain)
				require.NoError(t, err)
				require.NotEmpty(t, expedited)
				last := 0
				for i, id := range n.released() {
					if expedited[id] {
						last = i + 1
					}
				}
				assert.LessOrEqual(t, last, 1000+500+len(expedited))
				assert.Len(t, n.released(), len(n.orders), "each once")
			})
		})
	}
}

// TestWhatIsExpeditedDuringAPauseGoesNext when it ends.
func TestWhatIsExpeditedDuringAPauseGoesNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(2000)
		n.releasing = func(nth int) {
			if nth == 700 {
				s.controlled(ltp.ReplayControl{Paused: true})
				time.AfterFunc(time.Minute, func() {
					n.change(func() { zero := 0; n.orders["order/01999"].priority = &zero })
					s.controlled(ltp.ReplayControl{})
				})
			}
		}
		_, err := release(t, engine(n, s, oneByOne()), drain)
		require.NoError(t, err)
		assert.Contains(t, n.released()[700:703], "order/01999")
	})
}

// TestClassesCostNothingWhereThereAreNone but a question for each sweep and page.
func TestClassesCostNothingWhereThereAreNone(t *testing.T) {
	lists := func(prepare func(*namespace)) (lists int) {
		synctest.Test(t, func(t *testing.T) {
			n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
			n.add(1000)
			prepare(n)
			n.releasing = func(nth int) {
				if nth == 1000 {
					lists = n.lists
				}
			}
			_, err := release(t, engine(n, s, oneByOne()), drain)
			require.NoError(t, err)
		})
		return lists
	}
	without, with := lists(func(*namespace) {}), lists(func(n *namespace) { n.add(1, ofClass(0)) })
	assert.Less(t, without, 25)
	assert.Greater(t, with, without)
}

// TestAPlanIsWhatAReleaseThenDoes, and releases nothing.
func TestAPlanIsWhatAReleaseThenDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(1200)
		for _, class := range []int{5, 1, 0} {
			n.add(120, ofClass(class))
		}
		var planned []string
		err := replay.Plan(t.Context(), n, db, 5, func(o replay.PlannedOrder) error {
			w := n.orders[o.WorkflowID]
			assert.Equal(t, replay.PlannedOrder{
				OrderID: w.id[len("order/"):], WorkflowID: w.id, StartedAt: w.started.UTC(), Priority: w.class(),
			}, o)
			planned = append(planned, o.WorkflowID)
			return nil
		})
		require.NoError(t, err)
		assert.Zero(t, n.begun)
		_, err = release(t, engine(n, s, oneByOne()), drain)
		require.NoError(t, err)
		assert.Equal(t, planned, n.released())
	})
}

func TestAPlanEndsWithTheErrorOfWhoReadsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNamespace()
		n.add(1000)
		count := 0
		err := replay.Plan(t.Context(), n, db, 5, func(replay.PlannedOrder) error {
			if count++; count == 10 {
				return assert.AnError
			}
			return nil
		})
		require.ErrorIs(t, err, assert.AnError)
		assert.Equal(t, 10, count)
	})
}
