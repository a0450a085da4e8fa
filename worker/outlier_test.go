package worker

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/worker"

	"github.com/ltp-node/ltp"
)

// play is a worker of orders among others, in bubble time.
type play struct {
	outlier
	now      sync.Mutex // of what follows
	begun    time.Time
	broken   bool // its own way into the database
	fitNow   bool
	unstuck  []string
	commits  func(since time.Duration) bool
	starts   int
	stops    int
	reported []bool
}

type fakeWorker struct {
	worker.Worker
	*play
}

func (w fakeWorker) Start() error { w.set(func() { w.starts++ }); return nil }
func (w fakeWorker) Stop()        { w.set(func() { w.stops++ }) }

func (p *play) set(f func()) {
	p.now.Lock()
	defer p.now.Unlock()
	f()
}

func newPlay(t *testing.T) *play {
	p := &play{begun: time.Now(), broken: true, fitNow: true, commits: func(time.Duration) bool { return true }}
	p.outlier = outlier{
		make: func() worker.Worker { return fakeWorker{play: p} },
		try: func(context.Context) error {
			p.now.Lock()
			defer p.now.Unlock()
			if p.broken {
				return errors.New("permission denied for table orders")
			}
			return nil
		},
		fit: func(string) bool {
			p.now.Lock()
			defer p.now.Unlock()
			return p.fitNow
		},
		executed: func(_ context.Context, since time.Time) (last time.Time, err error) {
			p.now.Lock()
			defer p.now.Unlock()
			for at := p.begun; !at.After(time.Now()); at = at.Add(100 * time.Millisecond) {
				if p.commits(at.Sub(p.begun)) && at.After(since) {
					last = at
				}
			}
			return last, nil
		},
		unstick: func(_ context.Context, order string) error {
			p.set(func() { p.unstuck = append(p.unstuck, order) })
			return nil
		},
		ejected: func(e bool) { p.set(func() { p.reported = append(p.reported, e) }) },
		log:     slog.New(slog.DiscardHandler),
	}
	require.NoError(t, p.start())
	return p
}

// after lets time go on, and returns whether the worker runs orders then.
func (p *play) after(d time.Duration) bool {
	time.Sleep(d)
	synctest.Wait()
	p.now.Lock()
	defer p.now.Unlock()
	return p.starts > p.stops
}

func TestAWorkerThatFailsAloneRunsNoOrdersUntilItsWayWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlay(t)
		defer p.stop()
		p.suspect(ltp.DefaultComponent, "A1", time.Now())
		p.suspect(ltp.DefaultComponent, "A1", time.Now())
		assert.True(t, p.after(ltp.OutlierSlack), "others may have committed before")
		assert.False(t, p.after(12*trialEvery))
		assert.False(t, p.after(time.Minute))
		assert.Equal(t, []string{"A1", "A1"}, p.unstuck, "each order that failed may go elsewhere")
		p.set(func() { p.broken = false })
		assert.False(t, p.after(passesToReturn*trialEvery/2), "one trial that passes is not enough")
		assert.True(t, p.after(passesToReturn*trialEvery))
		assert.Equal(t, []bool{true, false}, p.reported)
		p.set(func() { p.broken = true })
		p.suspect(ltp.DefaultComponent, "A1", time.Now())
		assert.False(t, p.after(ltp.OutlierSlack+12*trialEvery), "it may be suspected again")
	})
}

func TestAWorkerIsNotEjected(t *testing.T) {
	for name, c := range map[string]func(*play){
		"while nobody executes orders":       func(p *play) { p.commits = func(time.Duration) bool { return false } },
		"for orders that had been committed": func(p *play) { p.commits = func(d time.Duration) bool { return d < ltp.OutlierSlack } },
		"while the component is unfit":       func(p *play) { p.fitNow = false },
		"whose orders commit":                func(p *play) { time.AfterFunc(2*time.Second, p.commit) },
		"when the component has just recovered": func(p *play) {
			p.fitNow = false
			time.AfterFunc(30*time.Second, func() { p.set(func() { p.fitNow = true }) })
			time.AfterFunc(30*time.Second+trialEvery, func() { p.set(func() { p.broken = false }) })
		},
		"whose way works again":  func(p *play) { time.AfterFunc(2*time.Second, func() { p.set(func() { p.broken = false }) }) },
		"that has no way to try": func(p *play) { p.try = nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlay(t)
				defer p.stop()
				c(p)
				p.suspect(ltp.DefaultComponent, "A1", time.Now())
				assert.True(t, p.after(time.Minute))
				assert.Empty(t, p.reported)
			})
		})
	}
}

// TestAnEjectedWorkerComesBackWhereNobodyExecutesOrders: the others may fail as well.
func TestAnEjectedWorkerComesBackWhereNobodyExecutesOrders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlay(t)
		defer p.stop()
		p.set(func() { p.commits = func(d time.Duration) bool { return d < 10*time.Second } })
		p.suspect(ltp.DefaultComponent, "A1", time.Now())
		assert.False(t, p.after(10*time.Second))
		assert.True(t, p.after(quietAfter+trialEvery))
		assert.True(t, p.after(time.Minute))
		p.set(func() { p.commits = func(time.Duration) bool { return true } })
		assert.False(t, p.after(time.Minute), "it is still suspected")
	})
}

func TestAnEjectedWorkerStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlay(t)
		p.suspect(ltp.DefaultComponent, "A1", time.Now())
		assert.False(t, p.after(time.Minute))
		p.stop()
		assert.Equal(t, p.starts, p.stops)
		p.suspect(ltp.DefaultComponent, "A1", time.Now())
		assert.False(t, p.after(time.Minute))
	})
}
