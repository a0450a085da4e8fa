package replay_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/replay/pace"
)

// troubles are ways in which a visibility store does not answer.
var troubles = map[string]func(*namespace){
	"errors": func(n *namespace) { n.broken = errors.New("visibility is away") },
	"hangs":  func(n *namespace) { n.hangs = true },
}

// TestAVisibilityStoreThatComesBackIsGoneOnWith, from where it went away.
func TestAVisibilityStoreThatComesBackIsGoneOnWith(t *testing.T) {
	for name, trouble := range troubles {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
				n.add(3000)
				n.releasing = func(nth int) {
					if nth == 700 {
						n.change(func() { trouble(n) })
						time.AfterFunc(30*time.Second, func() {
							n.change(func() { n.broken, n.hangs = nil, false })
						})
					}
				}
				_, err := release(t, engine(n, s, oneByOne()), drain)
				require.NoError(t, err)
				assert.Equal(t, n.oldestFirst(), n.released(), "in their order")
			})
		})
	}
}

// TestAVisibilityStoreThatStaysAwayDoesNotKeepARecoveryFromEnding, nor is it asked
// without end.
func TestAVisibilityStoreThatStaysAwayDoesNotKeepARecoveryFromEnding(t *testing.T) {
	for name, trouble := range troubles {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
				n.add(100)
				trouble(n)
				began := time.Now()
				p := pace.Default()
				report, err := release(t, engine(n, s, p), drain)
				require.NoError(t, err)
				assert.False(t, report.MovedOn)
				assert.GreaterOrEqual(t, time.Since(began), 4*p.Patience)
				assert.Less(t, time.Since(began), 6*p.Patience)
				assert.Less(t, report.Passes, 40)
			})
		})
	}
}

// TestSettlingGoesOnUntilTheStoreAnswers: what it does not show may be there.
func TestSettlingGoesOnUntilTheStoreAnswers(t *testing.T) {
	for name, trouble := range troubles {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, s := newNamespace(), newSight(t, ltp.Stable, 6)
				n.add(100)
				trouble(n)
				time.AfterFunc(3*time.Minute, func() { n.change(func() { n.broken, n.hangs = nil, false }) })
				report, err := release(t, engine(n, s, pace.Default()), settle)
				require.NoError(t, err)
				assert.Equal(t, 100, report.Released)
			})
		})
	}
}

// TestAListingThatIsFrozenDoesNotKeepARecoveryFromEnding: every order has long gone on,
// and is listed all the same.
func TestAListingThatIsFrozenDoesNotKeepARecoveryFromEnding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(2000)
		n.freeze()
		p := pace.Default()
		report, err := release(t, engine(n, s, p), drain)
		require.NoError(t, err)
		assert.Equal(t, 2000, report.Released)
		assert.Equal(t, 2000, n.begun, "each once")
		assert.Less(t, time.Since(n.taken[1999].at), 2*p.Patience)
		assert.Less(t, n.lists, 300)
	})
}

// TestAFrozenListingStrandsNobody: what it did not show is released when it thaws.
func TestAFrozenListingStrandsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(100)
		n.freeze()
		n.add(100)
		time.AfterFunc(10*time.Second, func() { n.change(func() { n.frozen = nil }) })
		report, err := release(t, engine(n, s, pace.Default()), drain)
		require.NoError(t, err)
		assert.Equal(t, 200, report.Released)
	})
}

// TestAListingThatRepeatsItsPageEnds: it is no endless backlog.
func TestAListingThatRepeatsItsPageEnds(t *testing.T) {
	for name, of := range map[string]func(i int, w *waiting){
		"of orders that wait":     func(int, *waiting) {},
		"of orders that are gone": func(_ int, w *waiting) { w.ends = time.Now() },
		"of one moment":           func(_ int, w *waiting) { w.started = time.Now().Add(-time.Minute) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
				n.add(60, of)
				for _, id := range n.oldestFirst() {
					n.page = append(n.page, n.orders[id])
				}
				p := pace.Default()
				began := time.Now()
				_, err := release(t, engine(n, s, p), drain)
				require.NoError(t, err)
				assert.Equal(t, 60, n.begun, "each once")
				assert.Less(t, time.Since(began), 3*p.Patience)
				assert.Less(t, n.lists, 1000)
			})
		})
	}
}

func TestWrongCountsNeitherEndADrainEarlyNorKeepItFromEnding(t *testing.T) {
	for name, counts := range map[string]func(int64) int64{
		"none":       func(int64) int64 { return 0 },
		"never none": func(n int64) int64 { return n + 7 },
		"more":       func(n int64) int64 { return 1_000_000 },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
				n.add(1500)
				n.counts = counts
				p := pace.Default()
				_, err := release(t, engine(n, s, p), drain)
				require.NoError(t, err)
				assert.ElementsMatch(t, n.oldestFirst(), n.released())
				assert.Less(t, time.Since(n.taken[1499].at), 2*p.Patience)
			})
		})
	}
}

func TestSweepsThatFindNothingNewBecomeSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(10, func(_ int, w *waiting) { w.inLine = true })
		p := pace.Default()
		p.Patience = 5 * time.Minute
		report, err := release(t, engine(n, s, p), drain)
		require.NoError(t, err)
		assert.Less(t, report.Passes, 180, "one in two seconds")
	})
}
