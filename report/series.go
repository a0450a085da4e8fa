package report

import (
	"slices"
	"time"

	"github.com/ltp-node/ltp/internal/svg"
	"github.com/ltp-node/ltp/trace"
)

// Series is the incident in steps of time.
type Series struct {
	From, To time.Time
	Step     time.Duration
	Buckets  []Bucket
}

// Bucket is what happened in one step.
type Bucket struct {
	At time.Time
	// Arrived were accepted, and Deferred of them were deferred at first.
	Arrived, Deferred int
	// Backlog is the largest number of orders that waited at a time.
	Backlog int
	// Executed were committed; their writes took Median and Slowest, in milliseconds.
	Executed        int
	Median, Slowest int64
}

// buckets is how many steps there may be: more cannot be discerned in a picture.
const buckets = 120

func (g *gathering) series(from, to time.Time) Series {
	s := Series{From: from, To: to, Step: max(time.Second, svg.Step(to.Sub(from), buckets))}
	for t := from.Truncate(s.Step); !t.After(to); t = t.Add(s.Step) {
		s.Buckets = append(s.Buckets, Bucket{At: t})
	}
	in := func(t time.Time) *Bucket {
		i := int(t.Sub(s.Buckets[0].At) / s.Step)
		return &s.Buckets[min(max(i, 0), len(s.Buckets)-1)]
	}
	for _, a := range g.arrived {
		b := in(a.at)
		b.Arrived++
		if a.deferred {
			b.Deferred++
		}
	}
	took := map[*Bucket][]time.Duration{}
	for _, w := range g.written {
		b := in(w.at)
		b.Executed++
		took[b] = append(took[b], w.took)
	}
	for b, d := range took {
		slices.Sort(d)
		b.Median, b.Slowest = percentile(d, 50).Milliseconds(), d[len(d)-1].Milliseconds()
	}
	g.pile(&s)
	return s
}

// pile is how many orders waited in each step.
func (g *gathering) pile(s *Series) {
	slices.SortFunc(g.backlog, func(a, b change) int { return a.at.Compare(b.at) })
	n, next := 0, 0
	for i := range s.Buckets {
		b := &s.Buckets[i]
		end := b.At.Add(s.Step)
		b.Backlog = n
		for next < len(g.backlog) && g.backlog[next].at.Before(end) {
			n += int(g.backlog[next].by)
			b.Backlog = max(b.Backlog, n)
			next++
		}
	}
}

// Band is a time under one state.
type Band struct {
	From, To time.Time
	State    string
}

// bands are the states over the time of the series.
func (r Report) bands() (all []Band) {
	s := r.Series
	add := func(from time.Time, state string) {
		if n := len(all); n > 0 {
			if all[n-1].State == state {
				return
			}
			all[n-1].To = from
		}
		all = append(all, Band{From: from, To: s.To, State: state})
	}
	if len(r.Phases) > 0 && r.Phases[0].Under != nil && r.Phases[0].Name != trace.StartUp {
		add(s.From, string(r.Phases[0].Under.State))
	}
	for _, m := range r.Audit.Moments {
		from := m.At
		if from.Before(s.From) {
			from = s.From
		}
		add(from, string(m.State))
	}
	return all
}
