package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/audit"
	"github.com/ltp-node/ltp/internal/words"
	"github.com/ltp-node/ltp/trace"
)

// document is the report as blocks, of which both forms are made: so they agree.
type document struct {
	Title, Subtitle string
	Verdict         audit.Verdict
	VerdictText     string
	Figures         []figure
	Sections        []section
	Foot            string
}

// figure is a number to be seen first.
type figure struct{ Value, Label string }

type section struct {
	ID, Title string
	Level     int // 2 or 3
	// Note stands beside the title.
	Note   string
	Blocks []block
}

// block is one of its fields.
type block struct {
	Text   string
	List   []string
	Table  *table
	Chart  *chart
	Claims []audit.Claim
}

type table struct {
	Head []string
	Rows [][]string
	// Right is how many of the last columns are numbers.
	Right int
	// Events marks a table of events: time, frame, and a sentence.
	Events bool
}

func (s *section) say(format string, args ...any) {
	s.Blocks = append(s.Blocks, block{Text: fmt.Sprintf(format, args...)})
}

func (s *section) table(t table) { s.Blocks = append(s.Blocks, block{Table: &t}) }

func (s *section) chart(c chart) { s.Blocks = append(s.Blocks, block{Chart: &c}) }

func (r Report) document() document {
	a := r.Audit
	d := document{
		Title:    fmt.Sprintf("Incident report: %s", a.Component),
		Subtitle: fmt.Sprintf("Incident %d · %s · %s UTC", a.Incident, a.BeganAt.UTC().Format(time.DateOnly), r.span(a.BeganAt, a.EndedAt)),
		Verdict:  a.Verdict, VerdictText: a.Tally(), Figures: r.figures(),
	}
	switch {
	case a.StartUp:
		d.Title = "Start-up report: " + a.Component
	case a.Restart:
		d.Title = "Restart report: " + a.Component
	}
	d.Sections = append(d.Sections, r.summary(), r.pictures(), section{ID: "happened", Title: "What happened", Level: 2})
	for i, p := range r.Phases {
		d.Sections = append(d.Sections, r.phase(i+1, p))
	}
	d.Sections = append(d.Sections, r.users(),
		section{ID: "perspectives", Title: "Perspectives", Level: 2}, r.engineer(), r.regulator(), r.business(), r.limits())
	d.Foot = fmt.Sprintf("Written by ltp report from Temporal history, as of %s UTC. Times are UTC.", words.Time(r.AsOf))
	return d
}

func (r Report) figures() []figure {
	lost := r.Audit.Claim(audit.NoneLost)
	all := []figure{
		{words.Count(r.Tally.Total), "orders"},
		{words.Count(r.Tally.Deferred), "deferred, not refused"},
		{words.Count(r.Tally.ExecutedLater + r.Late), "confirmed after waiting"},
		{words.Count(lost.Broken), "lost"},
	}
	if lost.Verdict == audit.NotChecked {
		all[3].Value = "?"
	}
	if len(r.Audit.Unfit) > 0 {
		all = append(all, figure{words.Lasted(r.unfit()), "unfit"})
	}
	if r.Waits.Orders > 0 {
		all = append(all, figure{words.Lasted(r.Waits.P99), "waiting, p99"})
	}
	return all
}

// unfit is how long the component was unfit altogether.
func (r Report) unfit() (d time.Duration) {
	for _, s := range r.Audit.Unfit {
		to := s.To
		if to.IsZero() {
			to = r.AsOf
		}
		d += to.Sub(s.From)
	}
	return d
}

// cause is the first orientation that was not fit, or else the first of all.
func (r Report) cause() (m audit.Moment) {
	if len(r.Audit.Moments) > 0 {
		m = r.Audit.Moments[0]
	}
	for _, next := range r.Audit.Moments {
		if !next.State.Fit() {
			return next
		}
	}
	return m
}

func (r Report) summary() section {
	s := section{ID: "summary", Title: "Summary", Level: 2}
	a, t, m := r.Audit, r.Tally, r.cause()
	switch n := len(a.Unfit); {
	case n == 0:
		s.say("At %s UTC, %s became %s: %s. It stayed fit to write throughout.", r.moment(m.At), a.Component, m.State, m.Reason)
	case n == 1:
		s.say("At %s UTC, %s became %s: %s. It was unfit for %s.", r.moment(m.At), a.Component, m.State, m.Reason, words.Lasted(r.unfit()))
	default:
		s.say("At %s UTC, %s became %s: %s. It was unfit %d times, for %s altogether.", r.moment(m.At), a.Component, m.State, m.Reason, n, words.Lasted(r.unfit()))
	}
	if u := r.Unnoticed; u.For > 0 {
		s.say("It went unnoticed for %s: %s began at %s UTC.", words.Lasted(u.For), u.What, r.moment(u.From))
	}
	s.say("%s", r.became())
	if t.Parked > 0 {
		s.say("%s parked: each keeps failing by its own fault while another order, or that of the probe, takes the same write path, and waits for an operator. ltp orders list --state PARKED says why.", are(t.Parked))
	}
	if a.EndedAt.IsZero() {
		s.say("The incident is open: this report is as of %s UTC.", r.moment(r.AsOf))
	} else if t.Waiting > 0 {
		s.say("The incident ended at %s UTC; %s still waiting.", r.moment(a.EndedAt), are(t.Waiting))
	} else {
		s.say("The incident ended at %s UTC, %s after it began. Audited: %s.", r.moment(a.EndedAt), words.Lasted(a.EndedAt.Sub(a.BeganAt)), a.Tally())
	}
	return s
}

// became says what became of the orders.
func (r Report) became() string {
	t := r.Tally
	if t.Total == 0 {
		return "No order came."
	}
	text := fmt.Sprintf("%s came around it", words.Plural(t.Total, "order"))
	if t.Deferred == 0 {
		return text + "; none of them had to wait."
	}
	kept := words.Count(t.ExecutedLater) + " of these were"
	switch {
	case t.ExecutedLater == t.Deferred:
		kept = "all of these were"
	case t.ExecutedLater == 0:
		kept = "none of these was"
	}
	text += fmt.Sprintf("; %s deferred instead of failing, and %s executed after waiting",
		were(t.Deferred), kept)
	if !r.LastConfirmed.IsZero() {
		text += fmt.Sprintf(", the last at %s UTC", r.moment(r.LastConfirmed))
	}
	return text + "."
}

func (r Report) pictures() section {
	s := section{ID: "pictures", Title: "In pictures", Level: 2}
	s.chart(r.arrivals())
	s.chart(r.backlog())
	s.chart(r.executions())
	if r.Waits.Orders > 0 {
		s.chart(r.waitsChart())
	}
	return s
}

// mostHappenings is how many events of a phase are shown.
const mostHappenings = 14

func (r Report) phase(n int, p Phase) section {
	s := section{ID: fmt.Sprintf("phase-%d", n), Title: fmt.Sprintf("Phase %d: %s", n, p.Name.Title()), Level: 3, Note: r.span(p.From, p.To)}
	if p.Failed {
		s.Title += ", which did not hold"
	}
	s.say("%s", cmp.Or(p.Counts.String(), "No orders."))
	var events []event
	if p.Under != nil && len(p.Happenings) == 0 {
		events = append(events, event{p.From, fmt.Sprintf("%s@%d", p.Under.Component, p.Under.Epoch), string(p.Under.State) + ", and still"})
	}
	for i, e := range p.Happenings {
		if i == mostHappenings && len(p.Happenings) > mostHappenings+1 {
			events = append(events, event{e.At, "", fmt.Sprintf("%d more events: see ltp inspect", len(p.Happenings)-i)})
			break
		}
		events = append(events, happening(e))
	}
	if p.Name == trace.DeferralWindow {
		events = append(events, deferral(r.Example, p)...)
	}
	if p.Name == trace.Resolution {
		events = append(events, release(r.Example, p)...)
	}
	slices.SortStableFunc(events, func(a, b event) int { return a.at.Compare(b.at) })
	if len(events) > 0 {
		t := table{Head: []string{"time", "frame", "event"}, Events: true}
		for _, e := range events {
			t.Rows = append(t.Rows, []string{r.moment(e.at), e.frame, e.text})
		}
		s.table(t)
	}
	return s
}

// event is a row of a phase.
type event struct {
	at          time.Time
	frame, text string
}

func happening(e trace.Entry) event {
	if e.Note != nil {
		return event{e.At, "", strings.TrimSpace(e.Note.By + " " + e.Note.Text)}
	}
	o := *e.Frames[0].Orientation
	text := fmt.Sprintf("%s, epoch %d: %s", o.State, o.Epoch, o.Reason)
	if why := evidence(o.Evidence, o.Observer); why != "" {
		text += " (" + why + ")"
	}
	return event{e.At, e.Frames[0].ID, text}
}

func (p Phase) contains(t time.Time) bool {
	return !t.Before(p.From) && (p.To.IsZero() || t.Before(p.To))
}

// deferral is how the first deferred order was answered, if that was in the phase.
func deferral(t trace.OrderTrace, p Phase) []event {
	for i := 0; i+1 < len(t.Frames); i += 2 {
		q, a := t.Frames[i], t.Frames[i+1]
		if a.Response.Admissible || !p.contains(q.At) {
			continue
		}
		return []event{
			{q.At, q.ID, fmt.Sprintf("route_request of order %s, %s", t.Order.ID, amount(t.Order.AmountMinor(), t.Order.Currency))},
			{a.At, a.ID, fmt.Sprintf("route_response: %s %s, %q. The customer reads %q", a.Response.Decision, a.Response.Reason, a.Response.Commitment, ltp.MessagePending)},
		}
	}
	return nil
}

// release is how the same order went on, if it did in the phase.
func release(t trace.OrderTrace, p Phase) (events []event) {
	for i := len(t.Frames) - 2; i >= 2; i -= 2 {
		q, a := t.Frames[i], t.Frames[i+1]
		if !a.Response.Admissible || !p.contains(q.At) {
			continue
		}
		events = append(events,
			event{q.At, q.ID, fmt.Sprintf("route_request of order %s, which replays %s", t.Order.ID, q.Request.OriginalFrameID)},
			event{a.At, a.ID, fmt.Sprintf("route_response: %s %s", a.Response.Decision, a.Response.Reason)})
		for _, x := range t.Executions {
			if x.RequestFrameID == q.ID && x.Done() {
				events = append(events, event{committed(x), "", fmt.Sprintf("order %s is in the order database; its customer reads %q", t.Order.ID, ltp.MessageConfirmed)})
			}
		}
		return events
	}
	return nil
}

func (r Report) users() section {
	s := section{ID: "users", Title: "What users saw", Level: 2}
	t := r.Tally
	rows := [][]string{}
	row := func(n int, read, then string) {
		if n > 0 {
			rows = append(rows, []string{read, then, words.Count(n)})
		}
	}
	row(t.ExecutedAtOnce-r.Late, ltp.MessageConfirmed, "without waiting")
	row(t.ExecutedLater+r.Late, ltp.MessagePending, "then "+ltp.MessageConfirmed)
	row(t.Waiting, ltp.MessagePending, "and still does")
	row(t.Accepted, ltp.MessagePending, "accepted and not yet done")
	row(t.Parked, ltp.MessagePending, "parked: it keeps failing by its own fault, and waits for an operator")
	row(t.Rejected, ltp.MessageRejected, "refused by a rule of the business, or by an operator")
	row(t.Cancelled, ltp.MessageCancelled, "by the customer")
	row(t.Expired, ltp.MessageExpired, "its deadline passed")
	row(t.Terminated, ltp.MessageTerminated, "ended by force in Temporal")
	if len(rows) == 0 {
		s.say("Nobody ordered anything.")
		return s
	}
	s.table(table{Head: []string{"the customer read", "", "orders"}, Rows: rows, Right: 1})
	if w := r.Waits; w.Orders > 0 {
		s.say("Those who waited did so for %s at the median, %s at the 99th percentile and %s at most, from the acceptance of their order to its commit.",
			words.Lasted(w.P50), words.Lasted(w.P99), words.Lasted(w.Max))
	}
	s.say("Counted is every order that was accepted. What was refused at the door, with a 4xx or a 503, was never promised and is not in the trace.")
	return s
}

func (r Report) engineer() section {
	s := section{ID: "engineer", Title: "What the engineer sees", Level: 3}
	t := table{Head: []string{"time", "frame", "state", "reason", "evidence"}}
	for _, m := range r.Audit.Moments {
		t.Rows = append(t.Rows, []string{r.moment(m.At), m.Frame, string(m.State), m.Reason, evidence(m.Evidence, m.Observer)})
	}
	s.table(t)
	f := r.Audit.Claim(audit.Once).Figures
	list := []string{fmt.Sprintf("%s, of which %s stopped before or during the write, %s had no answer and %s found the order written already.",
		words.Plural(f["executions"], "execution"), words.Count(f["not_written"]), words.Count(f["outcome_unknown"]), words.Count(f["repeated"]))}
	for _, e := range r.Audit.Claim(audit.FirstFirst).Evidence {
		list = append(list, e+".")
	}
	list = append(list, fmt.Sprintf("The timeline, frame by frame: ltp inspect --component %s --incident %d", r.Audit.Component, r.Audit.Incident))
	if id := r.Example.Order.ID; id != "" {
		list = append(list, "One deferred order, with what each answer was based on: ltp inspect "+id)
	}
	s.Blocks = append(s.Blocks, block{List: list})
	return s
}

func (r Report) regulator() section {
	s := section{ID: "regulator", Title: "What the regulator sees", Level: 3}
	t := table{Head: []string{"unfit from (UTC)", "to (UTC)", "for", "frames"}}
	for _, u := range r.Audit.Unfit {
		to, lasted := "still", words.Lasted(r.AsOf.Sub(u.From))+" so far"
		if !u.To.IsZero() {
			to, lasted = words.Time(u.To), words.Lasted(u.To.Sub(u.From))
		}
		frames := u.Frames[0]
		if u.Frames[1] != frames {
			frames += " to " + u.Frames[1]
		}
		t.Rows = append(t.Rows, []string{words.Time(u.From), to, lasted, frames})
	}
	if len(t.Rows) > 0 {
		s.table(t)
	} else {
		s.say("The component was fit throughout.")
	}
	s.Blocks = append(s.Blocks, block{Claims: r.Audit.Claims})
	return s
}

func (r Report) business() section {
	s := section{ID: "business", Title: "What the business sees", Level: 3}
	if r.Tally.Total == 0 {
		s.say("No order came.")
		return s
	}
	kept := func(m Money) Sum { return m.Kept }
	if r.Tally.ExecutedLater > 0 {
		s.say("%s kept that could not be executed when they came: %s.", words.Plural(r.Tally.ExecutedLater, "order"), r.money(kept))
	}
	t := table{Head: []string{"", "orders", "worth"}, Right: 2}
	for _, m := range r.Money {
		for _, row := range []struct {
			what string
			Sum
		}{{"confirmed at once", m.AtOnce}, {"executed at the first try, and confirmed late", m.Late}, {"kept: deferred, then confirmed", m.Kept}, {"still pending", m.Pending}, {"parked until an operator decides", m.Parked}, {"rejected, cancelled, expired or ended", m.Ended}} {
			if row.Orders > 0 {
				t.Rows = append(t.Rows, []string{m.Currency + " " + row.what, words.Count(row.Orders), amount(row.Minor, m.Currency)})
			}
		}
	}
	s.table(t)
	if w := r.Waits; w.Orders > 0 || w.Pending > 0 {
		t := table{Head: []string{"from acceptance to commit", "p50", "p99", "longest"}, Right: 3}
		if w.Orders > 0 {
			t.Rows = append(t.Rows, []string{words.Plural(w.Orders, "confirmed order"), words.Lasted(w.P50), words.Lasted(w.P99), words.Lasted(w.Max)})
		}
		if w.Pending > 0 {
			t.Rows = append(t.Rows, []string{words.Plural(w.Pending, "order") + " still waiting", "", "", words.Lasted(w.Longest)})
		}
		s.table(t)
	}
	return s
}

func (r Report) limits() section {
	s := section{ID: "limits", Title: "How far this goes", Level: 2}
	var list []string
	for _, g := range r.Audit.Gaps {
		list = append(list, "Missing: "+g.What+": "+g.Why)
	}
	list = append(list,
		fmt.Sprintf("Window: %s UTC. It holds every order that was pending at some time in it.", strings.Replace(r.span(r.Audit.Window.From, r.Audit.Window.To), " – ", " to ", 1)),
		"Frames are timed by the Temporal server, writes by the worker that made them, rows by the order database. Where these clocks differ, so do the moments given here.",
		"Everything is derived from Temporal history, which an operator of that Temporal can delete. An export with a signed checkpoint that is kept elsewhere shows that: ltp trace export.")
	s.Blocks = append(s.Blocks, block{List: list})
	return s
}
