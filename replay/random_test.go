package replay_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/replay/pace"
)

// fault is something that goes wrong for a while.
type fault struct {
	what     string
	at, last time.Duration
}

var faults = []string{
	"store errs", "store hangs", "store freezes", "counts lie", "board blind", "no heartbeat", "paused", "slow lane", "flip",
}

// TestEveryOrderIsReleasedWhateverTheStoreDoesAndNoneAfterTheStateMovedOn: orders of all
// kinds, shown late and for long, and faults of all kinds, that end. What one release
// leaves, since the state moved on, or a store that lies said that nothing is left, those
// that follow release.
func TestEveryOrderIsReleasedWhateverTheStoreDoesAndNoneAfterTheStateMovedOn(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		type kind struct {
			class, age, shown, lag, works, refuse, busy int
			stuck, fails                                bool
		}
		kinds := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) kind {
			return kind{
				class: rapid.IntRange(-1, 6).Draw(rt, "class"), age: rapid.IntRange(0, 5000).Draw(rt, "age"),
				shown: rapid.IntRange(0, 10).Draw(rt, "shown"), lag: rapid.IntRange(0, 10).Draw(rt, "lag"),
				works: rapid.IntRange(1, 2000).Draw(rt, "works"), refuse: rapid.IntRange(0, 2).Draw(rt, "refuse"),
				busy:  rapid.IntRange(0, 2).Draw(rt, "busy"),
				stuck: rapid.IntRange(0, 20).Draw(rt, "stuck") == 0, fails: rapid.IntRange(0, 20).Draw(rt, "fails") == 0,
			}
		}), 1, 40).Draw(rt, "orders")
		copies := rapid.IntRange(1, 30).Draw(rt, "copies")
		troubles := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) fault {
			return fault{
				what: rapid.SampledFrom(faults).Draw(rt, "fault"),
				at:   time.Duration(rapid.IntRange(0, 20_000).Draw(rt, "at")) * time.Millisecond,
				last: time.Duration(rapid.IntRange(1, 20_000).Draw(rt, "last")) * time.Millisecond,
			}
		}), 0, 5).Draw(rt, "faults")
		synctest.Test(t, func(t *testing.T) {
			n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
			for _, k := range kinds {
				n.add(copies, func(i int, w *waiting) {
					w.started = time.Now().Add(-time.Duration(k.age)*time.Second - time.Duration(i)*time.Millisecond)
					w.shown, w.lag = time.Now().Add(time.Duration(k.shown)*time.Second), time.Duration(k.lag)*time.Second
					w.works, w.refuse, w.busy = time.Duration(k.works)*time.Millisecond, k.refuse, k.busy
					w.stuck, w.fails = k.stuck, k.fails
					if k.class != 3 {
						w.priority = &k.class
					}
				})
			}
			watch := &moments{n: n, s: s, epoch: 5, state: ltp.Recovering}
			n.releasing = func(int) {
				assert.NoError(t, watch.allows())
			}
			for _, f := range troubles {
				time.AfterFunc(f.at, func() { watch.strike(f) })
			}
			began, in := time.Now(), drain
			for calm := false; ; {
				report, err := release(t, engine(n, s, pace.Default()), in)
				require.NoError(t, err)
				if calm && !report.MovedOn {
					break
				}
				if !report.MovedOn {
					watch.enter(ltp.Stable)
				}
				time.Sleep(time.Second)
				calm = time.Since(began) > time.Minute // every fault is over
				in.Epoch, in.Settle = watch.now(), true
			}
			released := map[string]bool{}
			for _, took := range n.taken {
				released[took.order] = true
			}
			for id := range n.orders {
				assert.True(t, released[id], id)
			}
		})
	})
}

// moments is what is the case while a release runs.
type moments struct {
	n     *namespace
	s     *sight
	epoch int64
	state ltp.State
	// unfit and paused are since when nothing may be released; zero is that it may.
	unfit, paused time.Time
}

func (m *moments) now() (epoch int64) {
	m.n.change(func() { epoch = m.epoch })
	return epoch
}

// enter puts another state in force.
func (m *moments) enter(state ltp.State) {
	var epoch int64
	m.n.change(func() {
		m.epoch++
		epoch, m.state, m.unfit = m.epoch, state, time.Time{}
		if !state.Fit() {
			m.unfit = time.Now()
		}
	})
	m.s.sees(state, epoch)
}

// seen is that the board shows again what is the case.
func (m *moments) seen() {
	var epoch int64
	var state ltp.State
	m.n.change(func() { epoch, state = m.epoch, m.state })
	m.s.sees(state, epoch)
}

func (m *moments) control(w ltp.ReplayControl) {
	m.n.change(func() {
		m.paused = time.Time{}
		if w.Paused {
			m.paused = time.Now()
		}
	})
	m.s.controlled(w)
}

// allows reports what speaks against a release at this moment. One that is on its way when
// the state moves on may go on.
func (m *moments) allows() (err error) {
	m.n.change(func() {
		for _, since := range []time.Time{m.unfit, m.paused} {
			if !since.IsZero() && time.Now().After(since) {
				err = errors.New("released although nothing may be")
			}
		}
	})
	return err
}

// strike lets something go wrong for a while.
func (m *moments) strike(f fault) {
	begin, end := func() {}, func() {}
	switch n := m.n; f.what {
	case "store errs":
		begin, end = func() { n.broken = errors.New("away") }, func() { n.broken = nil }
	case "store hangs":
		begin, end = func() { n.hangs = true }, func() { n.hangs = false }
	case "store freezes":
		m.n.freeze()
		end = func() { n.frozen = nil }
	case "counts lie":
		begin, end = func() { n.counts = func(c int64) int64 { return c/2 + 3*(c%2) } }, func() { n.counts = nil }
	case "no heartbeat":
		begin, end = func() { n.answers = func() error { return errors.New("away") } }, func() { n.answers = nil }
	}
	m.n.change(begin)
	switch f.what {
	case "board blind":
		m.s.loses()
	case "paused":
		m.control(ltp.ReplayControl{Paused: true})
	case "slow lane":
		m.control(ltp.ReplayControl{Rate: 20})
	case "flip":
		m.enter(ltp.Unstable)
	}
	time.AfterFunc(f.last, func() {
		m.n.change(end)
		switch f.what {
		case "board blind":
			m.seen()
		case "paused", "slow lane":
			m.control(ltp.ReplayControl{})
		case "flip":
			m.enter(ltp.Stable)
		}
	})
}
