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

// probeFunc is a probe as a function.
type probeFunc func(ctx context.Context) (map[string]string, error)

func (f probeFunc) Probe(ctx context.Context) (map[string]string, error) { return f(ctx) }

// keeper is evidence that says what the test sets, after a while.
type keeper struct {
	takes time.Duration
	asked atomic.Int32
	says  atomic.Pointer[error]
}

func (k *keeper) say(err error) { k.says.Store(&err) }

func (k *keeper) Probe(ctx context.Context) (map[string]string, error) {
	k.asked.Add(1)
	if err := hang(ctx, k.takes); err != nil {
		return nil, err
	}
	var err error
	if said := k.says.Load(); said != nil {
		err = *said
	}
	return map[string]string{"leader": "db1"}, err
}

// watchWith watches a component beside evidence, until the last question has ended.
func watchWith(t *testing.T, d time.Duration, c *component, evidence observer.Probe) ([]said, []observer.Status) {
	t.Helper()
	defer time.Sleep(time.Minute)
	return watchProbe(t, d, observer.WithEvidence(c, observer.Evidence{Name: "keeper", Probe: evidence}))
}

func TestEvidenceEndsAWriteThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outage := func(n int) bool { return n >= 5 && n <= 20 } // at 1 s
		k := &keeper{takes: 10 * time.Millisecond}
		c := &component{write: func(ctx context.Context, n int) error {
			if n == 5 {
				k.say(fault{definite: true})
			}
			if n > 20 {
				k.say(nil)
			}
			if outage(n) {
				return hang(ctx, time.Hour)
			}
			return hang(ctx, time.Millisecond)
		}}
		all, _ := watchWith(t, 20*time.Second, c, k)
		require.Len(t, all, 3)
		down := all[1]
		assert.Equal(t, ltp.Unhealthy, down.Verdict)
		assert.Equal(t, "DB Out of Order", down.Reason)
		assert.Equal(t, "keeper: fault, definite: true", down.Evidence.Error)
		assert.True(t, down.Evidence.Definite)
		assert.Equal(t, "db1", down.Evidence.Facts["keeper_leader"])
		assert.Less(t, down.after, 1600*time.Millisecond, "long before the write has hung for 5 s")
		assert.Equal(t, ltp.Healthy, all[2].Verdict, "the writes alone brought it back")
		assert.LessOrEqual(t, c.most.Load(), int32(1), "writes at once")
		assert.LessOrEqual(t, k.asked.Load(), int32(21), "once a second")
	})
}

func TestAWriteThatSucceedsIsGoodWhateverTheEvidence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{}
		k.say(fault{definite: true})
		c := &component{write: func(ctx context.Context, _ int) error { return hang(ctx, 400*time.Millisecond) }}
		all, _ := watchWith(t, 10*time.Second, c, k)
		require.Len(t, all, 1)
		assert.Equal(t, ltp.Healthy, all[0].Verdict)
	})
}

func TestEvidenceMakesAFailedWriteDefinite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{}
		c := &component{write: func(_ context.Context, n int) error {
			if n < 9 {
				k.say(fault{definite: true})
				return nil
			}
			return errors.New("connection lost")
		}}
		all, _ := watchWith(t, 5*time.Second, c, k)
		require.Len(t, all, 2)
		assert.Equal(t, "DB Out of Order", all[1].Reason)
		assert.Equal(t, 2*time.Second, all[1].after, "at the first of them")
		assert.Equal(t, "keeper: fault, definite: true; the write: connection lost", all[1].Evidence.Error)
	})
}

func TestEvidenceThatCannotBeHadSaysNothing(t *testing.T) {
	for name, k := range map[string]*keeper{
		"it fails":     {},
		"it hangs":     {takes: time.Hour},
		"it is unsure": {takes: time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k.say(errors.New("refused"))
				if name == "it is unsure" {
					k.say(fault{definite: false})
				}
				c := &component{write: func(ctx context.Context, n int) error {
					if n == 5 {
						return hang(ctx, 4*time.Second)
					}
					return nil
				}}
				all, _ := watchWith(t, 20*time.Second, c, k)
				require.Len(t, all, 1)
				assert.Equal(t, ltp.Healthy, all[0].Verdict)
			})
		})
	}
}

func TestACondemnedWriteThatDoesNotEndIsNotJoinedByAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{}
		k.say(fault{definite: true})
		c := &component{write: func(context.Context, int) error {
			time.Sleep(30 * time.Second) // hears no context
			return errors.New("at last")
		}}
		all, _ := watchWith(t, 20*time.Second, c, k)
		require.Len(t, all, 1)
		assert.Equal(t, ltp.Unhealthy, all[0].Verdict)
		assert.EqualValues(t, 1, c.writes.Load())
	})
}

func TestOldEvidenceCondemnsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := 0
		evidence := probeFunc(func(ctx context.Context) (map[string]string, error) {
			if answers++; answers > 1 {
				return nil, hang(ctx, time.Hour)
			}
			return nil, fault{definite: true}
		})
		c := &component{write: func(ctx context.Context, n int) error {
			if n == 20 { // at 4.75 s
				return hang(ctx, 4*time.Second)
			}
			return nil
		}}
		all, _ := watchWith(t, 20*time.Second, c, evidence)
		require.Len(t, all, 1)
		assert.Equal(t, ltp.Healthy, all[0].Verdict)
	})
}

// reader is a probe that only reads.
type reader struct{ probeFunc }

func (reader) ReadOnly() bool { return true }

func TestAComponentThatIsOnlyReadIsNeverCalledFit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reads := reader{func(context.Context) (map[string]string, error) { return nil, nil }}
		all, beats := watchProbe(t, 10*time.Second, reads)
		assert.Empty(t, all)
		assert.True(t, beats[0].Sample.ReadOnly)
		corroborated, ok := observer.WithEvidence(reads, observer.Evidence{Probe: &keeper{}}).(observer.Reader)
		assert.True(t, ok && corroborated.ReadOnly())
	})
}
