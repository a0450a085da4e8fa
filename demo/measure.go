package demo

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/trace"
)

// record is what Temporal holds of one order.
type record struct {
	answer answer
	trace  trace.OrderTrace
	cost   Cost
}

// wasDeferred reports whether the order was deferred at least once.
func (r record) wasDeferred() bool {
	return slices.ContainsFunc(r.trace.Frames, func(f ltp.Frame) bool {
		return f.Response != nil && f.Response.Decision == ltp.Defer
	})
}

// commit is when the order was written; zero if it was not.
func (r record) commit() time.Time {
	if o := r.trace.Outcome; o != nil && o.Receipt != nil {
		return o.Receipt.CommittedAt
	}
	return time.Time{}
}

func (p *play) measure(ctx context.Context) (Report, error) {
	report := Report{Run: p.clients.run, Outage: p.outage, API: map[string]Latencies{}}
	answers := p.clients.wait()
	timeline, err := p.timeline(ctx)
	if err != nil {
		return report, err
	}
	report.Timeline = timeline
	records, err := p.records(ctx, answers)
	if err != nil {
		return report, err
	}
	if err := p.countRows(ctx, &report, records); err != nil {
		return report, err
	}
	unfit, underWay, late := begunWhileUnfit(p.writes.attempted(records), timeline)
	report.OrderDB.WritesBegunWhileUnfit, report.OrderDB.WritesUnderWay, report.OrderDB.LatestUnderWayMs = unfit, underWay, late.Milliseconds()
	countOrders(&report, answers, records)
	p.timeRecovery(&report, records)
	report.Cost = Costs{
		Stable: medianCost(records, func(r record) bool { return !r.wasDeferred() && r.answer.phase != phaseOutage }),
		// The common path: deferred once, released, executed. What had begun to write
		// when the outage came has cost more.
		Deferred: medianCost(records, func(r record) bool { return r.wasDeferred() && len(r.trace.Executions) == 1 }),
	}
	for _, ph := range []phase{phaseStable, phaseOutage, phaseRecovery, phaseResolution} {
		report.API[string(ph)] = latencies(answers, ph)
	}
	report.Comparison = p.compare(report, records)
	report.Example = example(records)
	report.judge(records)
	return report, nil
}

// compare holds the gate against plain retries; nil when there were none.
func (p *play) compare(report Report, records []record) *Comparison {
	if p.Plain == nil {
		return nil
	}
	c := Comparison{Gate: fared(p.writes.attempted(records), report.Outage), Plain: fared(p.Plain.attempts, report.Outage)}
	for _, r := range records {
		if early := r.answer.phase == phaseStable || r.answer.phase == phaseOutage; early && !r.commit().IsZero() {
			c.Gate.LastCommitMs = max(c.Gate.LastCommitMs, r.commit().Sub(report.Outage.EndedAt.Time).Milliseconds())
		}
	}
	return &c
}

func (p *play) timeline(ctx context.Context) ([]Transition, error) {
	return Timeline(ctx, p.reader, p.began)
}

// Timeline is what the orientation's history says since a moment, beginning with the
// state at that moment.
func Timeline(ctx context.Context, reader *trace.Reader, since time.Time) ([]Transition, error) {
	history, err := reader.Orientation(ctx, ltp.DefaultComponent)
	if err != nil {
		return nil, err
	}
	var transitions []Transition
	for _, f := range history.Frames {
		t := Transition{Epoch: f.Orientation.Epoch, State: f.Orientation.State, Reason: f.Orientation.Reason, At: Time{f.At}}
		if f.At.Before(since) {
			transitions = transitions[:0]
		}
		transitions = append(transitions, t)
	}
	return transitions, nil
}

// records reads every accepted order's history and cost.
func (p *play) records(ctx context.Context, answers []answer) ([]record, error) {
	var accepted []answer
	for _, a := range answers {
		if a.accepted() {
			accepted = append(accepted, a)
		}
	}
	slices.SortFunc(accepted, func(a, b answer) int { return a.at.Compare(b.at) })
	records := make([]record, len(accepted))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i, a := range accepted {
		group.Go(func() (err error) {
			records[i], err = p.record(groupCtx, a)
			return err
		})
	}
	return records, group.Wait()
}

func (p *play) record(ctx context.Context, a answer) (record, error) {
	r := record{answer: a}
	id := ltp.OrderWorkflowID(a.orderID)
	// What is written has yet to be reported to Temporal.
	ending, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if p.Client.GetWorkflow(ending, id, "").Get(ending, nil); ctx.Err() != nil {
		return r, ctx.Err()
	}
	d, err := p.Client.DescribeWorkflowExecution(ctx, id, "")
	if err != nil {
		return r, fmt.Errorf("look up order %s: %w", a.orderID, err)
	}
	info := d.GetWorkflowExecutionInfo()
	r.cost = Cost{Events: info.GetHistoryLength(), Transitions: info.GetStateTransitionCount(), HistoryBytes: info.GetHistorySizeBytes()}
	r.trace, err = p.reader.Order(ctx, a.orderID)
	return r, err
}

// countRows asks the order database itself.
func (p *play) countRows(ctx context.Context, report *Report, records []record) error {
	tally, err := p.DB.Tally(ctx, p.clients.run+"-")
	if err != nil {
		return err
	}
	var executed []string
	for _, r := range records {
		if r.trace.State() == ltp.Executed {
			executed = append(executed, r.answer.orderID)
		}
	}
	missing, err := p.DB.Missing(ctx, executed)
	if err != nil {
		return err
	}
	report.OrderDB.Rows = int(tally.Orders)
	report.OrderDB.Duplicates = int(tally.Duplicates)
	report.OrderDB.Missing = len(missing)
	return nil
}

func countOrders(report *Report, answers []answer, records []record) {
	o := &report.Orders
	o.Submitted, o.Accepted = len(answers), len(records)
	o.Errors = o.Submitted - o.Accepted
	for _, r := range records {
		if r.wasDeferred() {
			o.Deferred++
		}
		switch r.trace.State() {
		case ltp.Executed:
			o.Executed++
		case ltp.Rejected:
			o.Rejected++
		case ltp.Cancelled:
			o.Cancelled++
		case ltp.Expired:
			o.Expired++
		default:
			o.Pending++
		}
	}
}

// timeRecovery finds the moments of the recovery that followed the outage.
func (p *play) timeRecovery(report *Report, records []record) {
	rec := &report.Recovery
	for _, t := range report.Timeline {
		switch {
		case t.At.Before(p.outage.BeganAt.Time):
		case t.State == ltp.Unstable && report.Outage.DetectedAfterMs == 0:
			report.Outage.DetectedAfterMs = t.At.Sub(p.outage.BeganAt.Time).Milliseconds()
		case t.State == ltp.Recovering:
			rec.RecoveringAt = t.At
		case t.State == ltp.Stable:
			rec.StableAt = t.At
		}
	}
	for _, r := range records {
		at := r.commit()
		// The backlog is what waited when RECOVERING was declared.
		if at.IsZero() || !r.wasDeferred() || at.Before(rec.RecoveringAt.Time) || r.trace.AcceptedAt.After(rec.RecoveringAt.Time) {
			continue
		}
		if rec.FirstCommitAt.IsZero() || at.Before(rec.FirstCommitAt.Time) {
			rec.FirstCommitAt = Time{at}
		}
		if at.After(rec.LastCommitAt.Time) {
			rec.LastCommitAt = Time{at}
		}
	}
	if !rec.LastCommitAt.IsZero() {
		rec.DrainMs = rec.LastCommitAt.Sub(rec.RecoveringAt.Time).Milliseconds()
	}
}

func medianCost(records []record, of func(record) bool) Cost {
	var events, transitions, bytes []int64
	for _, r := range records {
		if r.trace.State() == ltp.Executed && of(r) {
			events = append(events, r.cost.Events)
			transitions = append(transitions, r.cost.Transitions)
			bytes = append(bytes, r.cost.HistoryBytes)
		}
	}
	return Cost{Events: median(events), Transitions: median(transitions), HistoryBytes: median(bytes), Orders: len(events)}
}

func latencies(answers []answer, ph phase) Latencies {
	var accept, took []time.Duration
	for _, a := range answers {
		if a.phase == ph && a.accepted() {
			accept = append(accept, a.accept)
			took = append(took, a.took)
		}
	}
	return Latencies{
		Requests:    len(took),
		AcceptP50Ms: percentile(accept, 0.5), AcceptP99Ms: percentile(accept, 0.99),
		AnswerP50Ms: percentile(took, 0.5), AnswerP99Ms: percentile(took, 0.99),
	}
}

// example is an order that was deferred and replayed, to look at.
func example(records []record) string {
	for _, r := range records {
		if r.wasDeferred() && len(r.trace.Executions) == 1 {
			return r.answer.orderID
		}
	}
	if len(records) > 0 {
		return records[0].answer.orderID
	}
	return ""
}

// overtaken is how many places at most an order was committed before one that had
// been accepted earlier, among those deferred once.
func overtaken(records []record) int {
	var queue []record
	for _, r := range records {
		if r.wasDeferred() && len(r.trace.Executions) == 1 && !r.commit().IsZero() {
			queue = append(queue, r)
		}
	}
	slices.SortFunc(queue, func(a, b record) int { return a.trace.AcceptedAt.Compare(b.trace.AcceptedAt) })
	type place struct {
		accepted  int
		committed time.Time
	}
	places := make([]place, len(queue))
	for i, r := range queue {
		places[i] = place{i, r.commit()}
	}
	slices.SortStableFunc(places, func(a, b place) int {
		return cmp.Or(a.committed.Compare(b.committed), cmp.Compare(a.accepted, b.accepted))
	})
	most := 0
	for i, pl := range places {
		most = max(most, pl.accepted-i)
	}
	return most
}
