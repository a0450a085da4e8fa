// Package demo plays the incident of the postmortem for real: orders arrive through
// the order API, the order database stops taking writes, 1,500 more orders arrive,
// writes come back. It then measures what became of every order.
package demo

import (
	"context"
	"fmt"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/orderdb"
	"github.com/ltp-node/ltp/trace"
)

// Config is what a demo plays on: a running order node.
type Config struct {
	Client    client.Client
	Namespace string
	Board     *board.Board
	DB        Rows
	Fault     Fault  // of the order database
	APIURL    string // the order API, such as http://127.0.0.1:8080
	// Meter is the worker's. Where it is nil, workers run elsewhere: what they have
	// attempted is read from Temporal.
	Meter *Meter
	// Plain runs as many orders besides, without the gate; nil runs none.
	Plain *Plain
	// Orders arrive during Outage, evenly; before and after at the same rate.
	Orders int
	Outage time.Duration
	// Show is called several times a second with what is going on.
	Show func(Scene)
}

// Rows is what the demo asks the order database: see orderdb.DB.
type Rows interface {
	Tally(ctx context.Context, prefix string) (orderdb.Tally, error)
	Missing(ctx context.Context, ids []string) ([]string, error)
}

// Scene is a moment of the demo.
type Scene struct {
	Act       string // what is happening, for people
	State     ltp.State
	Epoch     int64
	Reason    string
	Since     time.Time
	Submitted int
	Accepted  int
	Errors    int
	Deferred  int // routings that deferred
	Executed  int
	Waiting   int
	Latency   time.Duration // of the observer's newest write, which may be hanging
	Elapsed   time.Duration
}

// play is a demo under way.
type play struct {
	Config
	writes  writes
	clients *clients
	reader  *trace.Reader
	began   time.Time
	act     func(string)
	outage  Outage
}

// Run plays the incident and returns what was measured. An error says that it could
// not be played or measured; what did not hold is in the Report.
func Run(ctx context.Context, c Config) (Report, error) {
	p := &play{Config: c, began: time.Now(), reader: trace.NewReader(c.Client, c.Namespace)}
	p.clients = newClients(c.APIURL, "demo-"+p.began.UTC().Format("20060102T150405"), c.Plain)
	if p.writes = p.Meter; p.Meter == nil {
		elsewhere := &elsewhere{client: p.Client, namespace: p.Namespace, run: p.clients.run}
		defer elsewhere.follow(ctx)()
		p.writes = elsewhere
	}
	stop := p.show(ctx)
	defer stop()
	if err := p.perform(ctx); err != nil {
		return Report{}, err
	}
	p.act("reading every order's history")
	return p.measure(ctx)
}

func (p *play) perform(ctx context.Context) (err error) {
	p.act("waiting for STABLE")
	if err := p.await(ctx, ltp.Stable); err != nil {
		return err
	}
	p.writes.reset()

	rate := float64(p.Orders) / p.Outage.Seconds()
	calm := min(10*time.Second, p.Outage)
	p.act("orders arrive, the database writes")
	if err := p.clients.arrive(ctx, phaseStable, atLeast(20, rate*calm.Seconds()), calm); err != nil {
		return err
	}

	if err := p.fail(ctx); err != nil {
		return err
	}

	p.act(p.Fault.Ends + ", the backlog is replayed")
	if err := p.recover(ctx, rate); err != nil {
		return err
	}
	p.act("STABLE again, orders are confirmed at once")
	calm = min(3*time.Second, p.Outage)
	if err := p.clients.arrive(ctx, phaseResolution, atLeast(5, rate*calm.Seconds()), calm); err != nil {
		return err
	}
	p.clients.wait()
	return p.settle(ctx)
}

// fail has the fault last for the outage, while orders arrive.
func (p *play) fail(ctx context.Context) error {
	// What failed at the very beginning has failed by the fault: the clock runs before.
	p.outage = Outage{Fault: p.Fault.Name, Begins: p.Fault.Begins, Ends: p.Fault.Ends, BeganAt: Time{time.Now()}}
	if err := p.Fault.Begin(ctx); err != nil {
		return fmt.Errorf("%s: %w", p.Fault.Begins, err)
	}
	p.act(fmt.Sprintf("%s for %s, orders keep arriving", p.Fault.Begins, p.Outage))
	if err := p.clients.arrive(ctx, phaseOutage, p.Orders, p.Outage-time.Since(p.outage.BeganAt.Time)); err != nil {
		return err
	}
	if err := p.Fault.End(ctx); err != nil {
		return fmt.Errorf("%s: %w", p.Fault.Ends, err)
	}
	p.outage.EndedAt = Time{time.Now()}
	return nil
}

// recover lets a few orders arrive, which join the end of the backlog, waits until the
// state is STABLE, and then puts in order what the fault has left behind.
func (p *play) recover(ctx context.Context, rate float64) error {
	if err := p.clients.arrive(ctx, phaseRecovery, atLeast(5, rate), time.Second); err != nil {
		return err
	}
	if err := p.await(ctx, ltp.Stable); err != nil || p.Fault.After == nil {
		return err
	}
	if err := p.Fault.After(ctx); err != nil {
		return fmt.Errorf("after %q: %w", p.Fault.Ends, err)
	}
	return nil
}

// patience is for how long the demo waits for orders that do not end.
const patience = 2 * time.Minute

// settle waits until every accepted order has ended, or nothing has ended for long.
func (p *play) settle(ctx context.Context) error {
	p.act("waiting for the last orders")
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	before, since := -1, time.Now()
	for {
		_, executed, _ := p.writes.counts()
		if executed >= p.clients.tally().accepted {
			return p.settlePlain(ctx)
		}
		if executed != before {
			before, since = executed, time.Now()
		}
		if time.Since(since) > patience {
			return p.settlePlain(ctx) // the report says what is pending
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (p *play) settlePlain(ctx context.Context) error {
	if p.Plain == nil {
		return nil
	}
	p.act("waiting for the last plain orders")
	return p.Plain.settle(ctx)
}

// await waits for a state, for as long as it takes.
func (p *play) await(ctx context.Context, s ltp.State) error {
	_, err := p.Board.Wait(ctx, ltp.DefaultComponent, func(r board.Reading) bool { return r.State == s })
	if err != nil {
		return fmt.Errorf("waiting for %s: %w", s, err)
	}
	return nil
}

// show calls Show until the returned function is called.
func (p *play) show(ctx context.Context) (stop func()) {
	acts := make(chan string, 8)
	p.act = func(a string) { acts <- a }
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		act := ""
		for {
			select {
			case act = <-acts:
			case <-tick.C:
			case <-done:
				return
			case <-ctx.Done():
				return
			}
			if p.Show != nil {
				p.Show(p.scene(act))
			}
		}
	}()
	return func() { close(done); <-stopped }
}

func (p *play) scene(act string) Scene {
	now := p.Board.Orientation(ltp.DefaultComponent)
	seen := p.clients.tally()
	deferred, executed, latency := p.writes.counts()
	return Scene{
		Act: act, State: now.State, Epoch: now.Epoch, Reason: now.Reason, Since: now.Since,
		Submitted: seen.sent, Accepted: seen.accepted, Errors: seen.errors,
		Deferred: deferred, Executed: executed, Waiting: max(0, seen.accepted-executed),
		Latency: latency, Elapsed: time.Since(p.began),
	}
}

func atLeast(least int, n float64) int { return max(least, int(n)) }
