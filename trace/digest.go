package trace

import (
	"cmp"
	"slices"
	"sort"

	"github.com/ltp-node/ltp"
)

// Digest shows a window as NewTimeline does, of any number of orders: of entries with the
// same key it keeps the first and the last and counts the others, as Folded shows
// them. Beyond that it holds 16 bytes for each routing, which the numbers of frames
// need.
type Digest struct {
	orientation OrientationTrace
	in          Incident
	window      Window
	tally       Tally
	gaps        []Gap
	about       []Entry   // the component
	stretches   []stretch // between the orientation frames: one more than there are of these
	routings    []place
	seq         int64
}

// NewDigest begins with an incident of the orientation o: see NewTimeline.
func NewDigest(o OrientationTrace, in Incident, w Window) *Digest {
	d := &Digest{orientation: o, in: in, window: w, gaps: slices.Clone(o.Gaps), about: orientationEntries(o, in, w)}
	slices.SortStableFunc(d.about, byTime)
	c := cutter{under: in.Before}
	c.open(firstPhase(in), w.From)
	begin := func(after place) {
		d.stretches = append(d.stretches, stretch{begins: after, recovers: c.name() == Recovery, groups: map[group]*folded{}})
	}
	begin(place{})
	for i, e := range d.about {
		if len(e.Frames) == 0 {
			continue
		}
		c.turn(&d.about[i])
		c.under = e.Frames[0].Orientation
		begin(place{at: e.At.UnixNano()})
	}
	return d
}

// place is where an entry about an order stands among all: what is added later stands
// behind what happened at the same moment, and the component before all orders.
type place struct{ at, seq int64 }

func (p place) compare(q place) int {
	return cmp.Or(cmp.Compare(p.at, q.at), cmp.Compare(p.seq, q.seq))
}

// placed is an entry and its place, and that of the first routing of its order.
type placed struct {
	Entry
	place, replays place
}

// group is what entries have in common that are folded together.
type group struct {
	key      string
	resolves bool // the replaying has begun
}

// folded are entries of a group.
type folded struct {
	first, last placed
	n           int
}

func (a *folded) add(p placed) {
	if a.n == 0 || p.place.compare(a.first.place) < 0 {
		a.first = p
	}
	if a.n == 0 || p.place.compare(a.last.place) > 0 {
		a.last = p
	}
	a.n++
}

// stretch is the time from one orientation frame to the next.
type stretch struct {
	begins place
	groups map[group]*folded
	// recovers says that it begins as a Recovery, which the first replay makes a
	// Resolution. That is known only when all orders are: until then, replayed is the
	// first so far, and early are the entries before it.
	recovers bool
	replayed place
	early    []placed
}

// groupsMost is how many kinds of entries a stretch keeps apart; beyond that, messages
// of failures no longer make a difference.
const groupsMost = 64

func (s *stretch) add(p placed) {
	switch {
	case !s.recovers:
		s.fold(p, false)
	case p.Frames != nil && p.replay() && p.Frames[1].Response.Admissible:
		s.fold(p, true)
		if s.replayed == (place{}) || p.place.compare(s.replayed) < 0 {
			s.replayed = p.place
			s.early = slices.DeleteFunc(s.early, s.late)
		}
	case s.late(p):
	default:
		s.early = append(s.early, p)
	}
}

// late folds an entry if the replaying has begun by then.
func (s *stretch) late(p placed) bool {
	if s.replayed == (place{}) || p.place.compare(s.replayed) < 0 {
		return false
	}
	s.fold(p, true)
	return true
}

func (s *stretch) fold(p placed, resolves bool) {
	g := group{p.groupKey(), resolves}
	if s.groups[g] == nil && len(s.groups) >= groupsMost {
		g.key = p.kind()
	}
	if s.groups[g] == nil {
		s.groups[g] = &folded{}
	}
	s.groups[g].add(p)
}

// Gap adds something that should be in the window and is not.
func (d *Digest) Gap(g Gap) { d.gaps = append(d.gaps, g) }

// Add adds an order. Orders should come in the order in which they were accepted, as
// Reader.Each yields them: numbers are given so where frames are of the same moment,
// and little is held of the beginning of a recovery.
func (d *Digest) Add(t OrderTrace) {
	if !t.DependsOn(d.orientation.Component) {
		return
	}
	its := orderEntries(t, d.window)
	if len(its) > 0 || d.window.Contains(t.AcceptedAt) {
		d.tally.add(t)
	}
	first := place{}
	for _, e := range its {
		d.seq++
		p := placed{Entry: e, place: place{e.At.UnixNano(), d.seq}}
		if e.Frames != nil {
			d.routings = append(d.routings, p.place)
			if e.Frames[0].Request.Attempt == 1 {
				first = p.place
			}
			p.replays = first
		}
		d.stretch(p.place).add(p)
	}
}

// stretch is the one that a place lies in.
func (d *Digest) stretch(p place) *stretch {
	after := sort.Search(len(d.stretches)-1, func(i int) bool { return d.stretches[i+1].begins.at > p.at })
	return &d.stretches[after]
}

// Timeline shows what was added.
func (d *Digest) Timeline() Timeline {
	slices.SortFunc(d.routings, place.compare)
	var all []placed
	for i := range d.stretches {
		all = append(all, d.stretches[i].entries()...)
	}
	slices.SortFunc(all, func(a, b placed) int { return a.place.compare(b.place) })
	entries := slices.Clone(d.about)
	for i := range entries {
		for j := range entries[i].Frames {
			entries[i].Frames[j].No = d.number(place{at: entries[i].At.UnixNano()}, i)
		}
	}
	for _, p := range all {
		for j := range p.Frames {
			p.Frames[j].No = d.number(p.place, len(d.about)) + j
			if q := p.Frames[j].Request; q != nil && q.OriginalFrameID != "" && p.replays != (place{}) {
				p.Replays = d.number(p.replays, len(d.about))
			}
		}
		entries = append(entries, p.Entry)
	}
	slices.SortStableFunc(entries, byTime)
	return Timeline{Incident: d.in, Window: d.window, Tally: d.tally, Gaps: d.gaps, Phases: phases(d.in, d.window, entries)}
}

// entries are the entries of a stretch that are shown, each with the number of those that
// it stands for.
func (s *stretch) entries() (all []placed) {
	groups := s.groups
	if len(s.early) > 0 {
		before := stretch{groups: map[group]*folded{}}
		for _, p := range s.early {
			before.fold(p, false)
		}
		all = before.entries()
	}
	for _, a := range groups {
		all = append(all, a.first)
		if a.n > 1 {
			a.last.folded = a.n - 2
			all = append(all, a.last)
		}
	}
	return all
}

// number is the number of the frame at a place, which has the first n entries about the
// component before it, as far as they are of that time.
func (d *Digest) number(p place, n int) int {
	before := 0
	for _, e := range d.about[:n] {
		if len(e.Frames) > 0 && e.At.UnixNano() <= p.at {
			before++
		}
	}
	routings, _ := slices.BinarySearchFunc(d.routings, p, place.compare)
	return 1 + before + 2*routings
}

// byTime puts, of two things at the same moment, that first which is about the
// component.
func byTime(a, b Entry) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.rank(), b.rank())) }

// kind is the groupKey without the messages of failures.
func (e Entry) kind() string {
	if x := e.Execution; x != nil {
		blunt := *x
		blunt.Error = ""
		e.Execution = &blunt
	}
	if e.Parked != nil {
		e.Parked = &ltp.Parking{}
	}
	if e.Ended != nil {
		e.Ended = &ltp.Outcome{State: e.Ended.State}
	}
	return e.groupKey()
}
