// Package audit judges an incident by its trace: a verdict for every claim that the
// order node makes, with the evidence beside it.
//
// Nothing is believed that can be looked up. The decision table is asked again for
// every routing, every history is replayed through the workflow code, and every row of
// the order database is held against the order that Temporal has. What cannot be
// checked is NOT CHECKED and says why; it never counts as held. A breach is BROKEN, whatever
// is missing besides.
//
// Temporal's clock decides. Workers time their writes by their own clocks, and the order
// database its rows: see ltp.Times for what follows from these, and ltp.ClockBound for how
// far they may differ. What an audit cannot find out is what Temporal has been made to
// forget, unless the order database has a row of it.
package audit

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/words"
	"github.com/ltp-node/ltp/orderdb"
	"github.com/ltp-node/ltp/trace"
)

// Verdict is what became of a claim.
type Verdict string

// The verdicts. Only Held counts as held.
const (
	Held       Verdict = "HELD"
	Broken     Verdict = "BROKEN"
	NotChecked Verdict = "NOT_CHECKED"
)

// Name names a claim: stable words for programs.
type Name string

// The claims, in the order in which they are shown.
const (
	NoneLost      Name = "NO_ORDER_LOST"
	Once          Name = "EXECUTED_ONCE"
	Fenced        Name = "NO_WRITE_BEGUN_WHILE_UNFIT"
	Instability   Name = "WINDOW_OF_INSTABILITY"
	SafeMode      Name = "SAFE_MODE"
	Deterministic Name = "RECOVERY_DETERMINISTIC"
	FirstFirst    Name = "FIRST_DEFERRED_FIRST_RELEASED"
	RowsAgree     Name = "ORDER_DATABASE_AGREES"
)

// Claim is a claim, what became of it, and why.
type Claim struct {
	Name    Name    `json:"claim"`
	Says    string  `json:"says"`
	Verdict Verdict `json:"verdict"`
	// Why says why the claim was not checked; empty otherwise.
	Why string `json:"why,omitempty"`
	// Evidence are sentences, and Figures the numbers in them.
	Evidence []string         `json:"evidence"`
	Figures  map[string]int64 `json:"figures,omitempty"`
	// Breaches are the first of what breaks the claim, and Broken is how many there
	// are.
	Breaches []Breach `json:"breaches,omitempty"`
	Broken   int      `json:"broken,omitempty"`
}

// Breach is one thing that breaks a claim.
type Breach struct {
	// What is the ID of an order or of a frame, or the ID of a workflow.
	What string `json:"what"`
	Why  string `json:"why"`
}

// keptBreaches is how many breaches of a claim are kept.
const keptBreaches = 20

// breach counts a breach and keeps the first of them.
func (c *Claim) breach(what, format string, args ...any) {
	c.Verdict = Broken
	if c.Broken++; len(c.Breaches) < keptBreaches {
		c.Breaches = append(c.Breaches, Breach{What: what, Why: fmt.Sprintf(format, args...)})
	}
}

// unchecked says why a claim that seems to hold cannot be called held.
func (c *Claim) unchecked(format string, args ...any) {
	if c.Verdict == Broken {
		return
	}
	if c.Verdict = NotChecked; c.Why != "" {
		c.Why += "; "
	}
	c.Why += fmt.Sprintf(format, args...)
}

// add adds a sentence to the evidence.
func (c *Claim) add(format string, args ...any) {
	c.Evidence = append(c.Evidence, fmt.Sprintf(format, args...))
}

func claim(name Name, says string) Claim {
	return Claim{Name: name, Says: says, Verdict: Held, Evidence: []string{}, Figures: map[string]int64{}}
}

// Audit is the audit of an incident.
type Audit struct {
	Component string `json:"component"`
	// Incident is its number, from 1, oldest first.
	Incident int          `json:"incident"`
	BeganAt  time.Time    `json:"began_at"`
	EndedAt  time.Time    `json:"ended_at,omitzero"` // zero while it goes on
	StartUp  bool         `json:"start_up,omitempty"`
	Restart  bool         `json:"restart,omitempty"`
	Window   trace.Window `json:"window"`
	Verdict  Verdict      `json:"verdict"`
	Claims   []Claim      `json:"claims"`
	Moments  []Moment     `json:"orientation"`
	Unfit    []Stretch    `json:"instability"`
	Gaps     []trace.Gap  `json:"gaps,omitempty"`
}

// Claim is the claim with a name.
func (a Audit) Claim(name Name) Claim {
	i := slices.IndexFunc(a.Claims, func(c Claim) bool { return c.Name == name })
	if i < 0 {
		return Claim{Name: name, Verdict: NotChecked}
	}
	return a.Claims[i]
}

// judge is Broken if any claim is, Held only if all are.
func judge(claims []Claim) Verdict {
	all := Held
	for _, c := range claims {
		switch {
		case c.Verdict == Broken:
			return Broken
		case c.Verdict != Held:
			all = NotChecked
		}
	}
	return all
}

// Scope is what to audit.
type Scope struct {
	Component string
	// Incident is the number of the incident, from 1, oldest first; 0 is the current or latest outage.
	Incident int
	// Rows is the order database. Where it is nil, NoRows says why it is not held
	// against Temporal.
	Rows   orderdb.Ledger
	NoRows string
	// Each, if set, is shown every order of the window, in the order in which they
	// were accepted.
	Each func(trace.OrderTrace)
}

// Found is the incident that an audit is about.
type Found struct {
	Orientation trace.OrientationTrace
	Incident    trace.Incident
	Number      int
}

// Find reads the orientation of a component and chooses an incident: see trace.Choose.
// The error is for people.
func Find(ctx context.Context, r *trace.Reader, component string, number int) (Found, error) {
	o, err := r.Orientation(ctx, component)
	if err != nil {
		return Found{}, err
	}
	all := trace.Incidents(o)
	in, err := trace.Choose(all, number)
	if err != nil {
		return Found{}, fmt.Errorf("%s: %w", component, err)
	}
	n := slices.IndexFunc(all, func(other trace.Incident) bool { return other.BeganAt.Equal(in.BeganAt) })
	return Found{Orientation: o, Incident: in, Number: n + 1}, nil
}

// Run audits an incident. It reads every history of the window once and keeps of each
// order some hundred bytes. An error says that the audit could not be made: that
// Temporal cannot be read, or that there is no such incident.
func Run(ctx context.Context, r *trace.Reader, s Scope) (Audit, error) {
	found, err := Find(ctx, r, s.Component, s.Incident)
	if err != nil {
		return Audit{}, err
	}
	return found.Audit(ctx, r, s)
}

// Audit audits the incident that was found.
func (f Found) Audit(ctx context.Context, r *trace.Reader, s Scope) (Audit, error) {
	c := newCase(f)
	replays := newReplays()
	defer replays.close()
	for o, err := range r.Each(ctx, c.window) {
		switch {
		case err != nil:
			return Audit{}, err
		case o.Gap != nil:
			c.gaps = append(c.gaps, *o.Gap)
			continue
		}
		for _, run := range trace.Runs(o.Events) {
			replays.add(ltp.OrderWorkflowID(o.Trace.Order.ID), run)
		}
		c.see(o.Trace)
		if s.Each != nil && c.concerns(o.Trace) {
			s.Each(o.Trace)
		}
	}
	if err := replayControl(ctx, r, f, c.window, replays); err != nil {
		return Audit{}, err
	}
	rows, err := c.rows.claim(ctx, s, c.window, c.gaps, r.Order)
	if err != nil {
		return Audit{}, err
	}
	return c.close(replays.claim(), rows), nil
}

// incident is an incident under audit. Every check sees every order once.
type incident struct {
	found  Found
	window trace.Window
	states states
	gaps   []trace.Gap // of orders

	lost   lost
	once   once
	fence  fence
	routes routes
	turns  turns
	keys   sequences
	rows   rows
}

func newCase(f Found) *incident {
	s := newStates(f.Orientation)
	w := f.Incident.Window()
	c := &incident{
		found: f, window: w, states: s,
		lost: newLost(), once: newOnce(s), fence: newFence(s, w), routes: newRoutes(s, w), turns: newTurns(), keys: newSequences(), rows: newRows(s),
	}
	c.rows.receipt = func(t trace.OrderTrace, r ltp.Receipt, found time.Time) {
		if c.concerns(t) {
			c.fence.judgeReceipt(t, r, found)
		}
	}
	return c
}

// concerns reports whether an order acts only while the component is fit.
func (c *incident) concerns(t trace.OrderTrace) bool {
	return slices.Contains(t.Order.Gate(t.Execution), c.states.component)
}

// see shows an order to every check. Only the order database holds orders of other
// components as well.
func (c *incident) see(t trace.OrderTrace) {
	c.rows.see(t)
	if !c.concerns(t) {
		return
	}
	c.lost.see(t)
	c.once.see(t)
	c.fence.see(t)
	c.routes.see(t)
	c.turns.see(t)
	c.keys.see(t)
}

// close comes to the verdicts. What is missing of the trace keeps from being held what
// it could have broken.
func (c *incident) close(replays, rows Claim) Audit {
	in := c.found.Incident
	a := Audit{
		Component: in.Component, Incident: c.found.Number, BeganAt: in.BeganAt, EndedAt: in.EndedAt, StartUp: in.StartUp, Restart: in.Restart,
		Window: c.window, Gaps: slices.Concat(c.found.Orientation.Gaps, c.gaps),
	}
	instability := c.instability()
	a.Moments, a.Unfit = c.moments(), c.unfit()
	turns := c.turns.claim()
	c.keys.judge(&turns)
	a.Claims = []Claim{c.lost.claim(), c.once.claim(), c.fence.claim(c.rows.read), instability, c.routes.claim(), replays, turns, rows}
	for i := range a.Claims {
		switch cl := &a.Claims[i]; cl.Name {
		case Instability:
		case Fenced, SafeMode, Deterministic:
			cl.withGaps(a.Gaps)
		default:
			cl.withGaps(c.gaps)
		}
	}
	a.Verdict = judge(a.Claims)
	return a
}

// withGaps keeps a claim from being held that is about histories which are missing.
func (c *Claim) withGaps(gaps []trace.Gap) {
	if len(gaps) == 0 {
		return
	}
	why := fmt.Sprintf("%s: %s", gaps[0].What, gaps[0].Why)
	if n := len(gaps) - 1; n > 0 {
		why += fmt.Sprintf(", and %s", words.Plural(n, "more gap"))
	}
	c.unchecked("histories are missing or damaged (%s)", why)
}
