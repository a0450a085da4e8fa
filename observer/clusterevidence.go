package observer

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"
)

// Evidence is what somebody else says of a component, such as the keeper of its
// cluster. Its probe is asked beside the writes.
type Evidence struct {
	// Name is put before the names of its facts: "patroni" makes "patroni_leader".
	Name  string
	Probe Probe
}

// Bounds of evidence.
const (
	// evidencePatience is how long a write is let hang before evidence may end it: a
	// write that is on its way is the better evidence.
	evidencePatience = 500 * time.Millisecond
	// evidenceEvery is how often evidence is asked for, and evidenceTimeout how long
	// an answer may take.
	evidenceEvery, evidenceTimeout = time.Second, 2 * time.Second
	// evidenceFresh is how old a question may be whose answer condemns.
	evidenceFresh = 2 * time.Second
)

// WithEvidence is a probe that writes as write does and takes in evidence beside it, at most
// once a second each.
//
// The write decides what is fit: one that succeeds is good whatever anybody says.
// Evidence can only condemn: where it is a definite [Fault] of the last two seconds,
// a write that has been hanging for half a second, or fails, ends with that fault,
// and a write that goes on hanging after that is not joined by another. Evidence
// that cannot be had, or is not definite, says nothing. Its facts are added to those
// of the write under its name.
func WithEvidence(write Probe, evidence ...Evidence) Probe {
	if len(evidence) == 0 {
		return write
	}
	c := &corroborated{write: write, turn: make(chan struct{}, 1), news: make(chan struct{}, 1)}
	for _, e := range evidence {
		c.witnesses = append(c.witnesses, &witness{Evidence: e})
	}
	return c
}

type corroborated struct {
	write     Probe
	turn      chan struct{} // whoever has put something in may write
	witnesses []*witness
	news      chan struct{} // a witness has answered
	asked     time.Time
}

// ReadOnly reports whether the probe that decides only reads.
func (c *corroborated) ReadOnly() bool {
	r, ok := c.write.(Reader)
	return ok && r.ReadOnly()
}

func (c *corroborated) Probe(ctx context.Context) (map[string]string, error) {
	writing, end := context.WithCancel(ctx)
	defer end() // also a write that a witness has condemned
	written := c.begin(writing)
	hangs := time.NewTimer(evidencePatience)
	defer hangs.Stop()
	if time.Since(c.asked) >= evidenceEvery {
		c.askWitnesses(ctx)
	}
	ask := time.NewTimer(evidenceEvery - time.Since(c.asked))
	defer ask.Stop()
	var hanging bool
	for {
		select {
		case w := <-written:
			return c.facts(w.facts), c.withDefiniteFault(w.err)
		case <-ask.C:
			c.askWitnesses(ctx)
			ask.Reset(evidenceEvery)
		case <-c.news:
		case <-hangs.C:
			hanging = true
		}
		if err := c.witnessFault(); hanging && err != nil {
			return c.facts(nil), err
		}
	}
}

// withDefiniteFault is the error of a write with what makes it definite.
func (c *corroborated) withDefiniteFault(err error) error {
	if err == nil || definite(err) {
		return err
	}
	if fault := c.witnessFault(); fault != nil {
		return fmt.Errorf("%w; the write: %w", fault, err)
	}
	return err
}

type writeResult struct {
	facts map[string]string
	err   error
}

// begin writes when the write before it has returned, if ctx lasts that long.
func (c *corroborated) begin(ctx context.Context) <-chan writeResult {
	done := make(chan writeResult, 1)
	go func() {
		select {
		case c.turn <- struct{}{}:
		case <-ctx.Done():
			done <- writeResult{err: context.Cause(ctx)}
			return
		}
		defer func() { <-c.turn }()
		facts, err := c.write.Probe(ctx)
		done <- writeResult{facts, err}
	}()
	return done
}

// askWitnesses asks every witness whose answer is not awaited. Nobody waits for one: it serves the
// write under way, or the next.
func (c *corroborated) askWitnesses(ctx context.Context) {
	c.asked = time.Now()
	for _, w := range c.witnesses {
		if !w.begin() {
			continue
		}
		go func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), evidenceTimeout)
			defer cancel()
			asked := time.Now()
			facts, err := w.Probe.Probe(ctx)
			w.answer(asked, facts, err)
			select {
			case c.news <- struct{}{}:
			default:
			}
		}()
	}
}

// witnessFault is the definite fault that a witness reports now, or nil.
func (c *corroborated) witnessFault() error {
	for _, w := range c.witnesses {
		if err := w.definiteFault(); err != nil {
			return err
		}
	}
	return nil
}

// facts are those of the write and of all witnesses.
func (c *corroborated) facts(of map[string]string) map[string]string {
	all := maps.Clone(of)
	for _, w := range c.witnesses {
		for name, value := range w.freshFacts() {
			if all == nil {
				all = map[string]string{}
			}
			all[w.Name+"_"+name] = value
		}
	}
	return all
}

// witness is what evidence has said last.
type witness struct {
	Evidence

	mu    sync.Mutex
	owes  bool
	asked time.Time
	facts map[string]string
	fault error
}

// begin reports whether a question may be asked, which answer must then follow.
func (w *witness) begin() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.owes {
		return false
	}
	w.owes = true
	return true
}

func (w *witness) answer(asked time.Time, facts map[string]string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.owes, w.asked, w.facts, w.fault = false, asked, facts, nil
	if definite(err) {
		w.fault = fmt.Errorf("%s: %w", w.Name, err)
	}
}

func (w *witness) definiteFault() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Since(w.asked) > evidenceFresh {
		return nil
	}
	return w.fault
}

// freshFacts are the facts of the newest answer; none while it is overdue.
func (w *witness) freshFacts() map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Since(w.asked) > evidenceEvery+evidenceTimeout {
		return nil
	}
	return w.facts
}
