package ledger

import (
	"bufio"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/extsort"
	"github.com/ltp-node/ltp/ledger/canonical"
	"github.com/ltp-node/ltp/trace"
)

// Source is where histories are read; a *trace.Reader is one.
type Source interface {
	Orientation(ctx context.Context, component string) (trace.OrientationTrace, error)
	// Each yields the orders that were pending at some time in the window, oldest first.
	Each(ctx context.Context, w trace.Window) iter.Seq2[trace.Found, error]
}

// Scope is what to export.
type Scope struct {
	Namespace string // of Temporal
	Component string
	Incident  int // its number, oldest first from 1; 0 is the current or latest outage
	// TempDir is where what does not fit in memory is sorted; empty is the default
	// directory for temporary files.
	TempDir string
}

// Export is what was exported.
type Export struct {
	Coverage Coverage
	Counts   Counts
	Tree     tlog.Tree
}

// Write exports an incident to w: its orientations, and every order that depends on the
// component and was pending in its window, with all that Temporal holds of it. What
// Temporal should hold and does not is named as a gap.
//
// The same history gives the same bytes. Memory is bounded but for 100 bytes an order:
// what is beyond 64 MiB is sorted on disk.
func Write(ctx context.Context, w io.Writer, src Source, scope Scope) (Export, error) {
	x := exporter{src: src, scope: scope, sorter: extsort.Sorter{Dir: scope.TempDir, Most: memory}, components: map[string]*history{}, counts: newCounts()}
	defer func() { _ = x.sorter.Close() }()
	if err := x.open(ctx); err != nil {
		return Export{}, err
	}
	for found, err := range src.Each(ctx, x.window) {
		if err == nil {
			err = x.found(ctx, found)
		}
		if err != nil {
			return Export{}, err
		}
	}
	if err := x.orientations(); err != nil {
		return Export{}, err
	}
	return x.write(w)
}

// exporter derives frames from history, and puts them in order.
type exporter struct {
	src        Source
	scope      Scope
	sorter     extsort.Sorter
	window     trace.Window
	coverage   Coverage
	counts     Counts
	gaps       []trace.Gap
	components map[string]*history
	first      int64 // the earliest and the latest moment of any frame, in nanoseconds
	last       int64
	out        *writer
}

// history is a component's, and which epochs of it are needed.
type history struct {
	trace.OrientationTrace
	published map[int64]time.Time // when each epoch began
	low, high int64               // 0 while none is needed
}

func (t *history) need(epoch int64) {
	if epoch < 1 {
		return
	}
	if t.low == 0 || epoch < t.low {
		t.low = epoch
	}
	t.high = max(t.high, epoch)
}

// component reads the orientation of a component, once.
func (x *exporter) component(ctx context.Context, name string) (*history, error) {
	if t, ok := x.components[name]; ok {
		return t, nil
	}
	o, err := x.src.Orientation(ctx, name)
	if errors.Is(err, trace.ErrNotFound) && name != x.scope.Component {
		o, err = trace.OrientationTrace{Component: name}, nil // what is needed of it will be a gap
	}
	if err != nil {
		return nil, fmt.Errorf("read the orientation of %s: %w", name, err)
	}
	if b := o.Before; b != nil && (len(o.Frames) == 0 || o.Frames[0].Orientation.Epoch != b.Epoch) {
		o.Frames = slices.Insert(slices.Clone(o.Frames), 0, before(*b, o.Frames))
	}
	t := &history{OrientationTrace: o, published: map[int64]time.Time{}}
	for _, f := range o.Frames {
		if _, ok := t.published[f.Orientation.Epoch]; !ok {
			t.published[f.Orientation.Epoch] = f.At
		}
	}
	x.components[name] = t
	return t, nil
}

// before is the frame of an orientation that is known only because a run continued
// under it: the event is the start of that run.
func before(o ltp.Orientation, frames []ltp.Frame) ltp.Frame {
	f := ltp.Frame{ID: trace.OrientationID(o.Component, o.Epoch, 1), At: o.Since, Orientation: &o, Source: ltp.Source{EventID: 1}}
	if len(frames) > 0 {
		f.Source.RunID = frames[0].Source.RunID
	}
	return f
}

// open chooses the incident and takes the history of its component.
func (x *exporter) open(ctx context.Context) error {
	main, err := x.component(ctx, x.scope.Component)
	if err != nil {
		return err
	}
	in, err := trace.Choose(trace.Incidents(main.OrientationTrace), x.scope.Incident)
	if err != nil {
		return err
	}
	x.window = in.Window()
	x.coverage = Coverage{
		Format: Format, Software: Software, Namespace: x.scope.Namespace, Component: x.scope.Component, Incident: in.No,
		BeganMs: ms(in.BeganAt), EndedMs: ms(in.EndedAt), Open: in.Open(), StartUp: in.StartUp,
		FromMs: ms(x.window.From), ToMs: ms(x.window.To), Runs: []string{}, Epochs: []Epochs{},
	}
	for _, f := range main.Frames {
		if x.window.Contains(f.At) || f.At.Before(x.window.From) {
			main.high = f.Orientation.Epoch
		}
		if !f.At.After(x.window.From) || main.low == 0 {
			main.low = f.Orientation.Epoch
		}
	}
	return x.notes(main)
}

// notes adds what happened about the component that is no orientation.
func (x *exporter) notes(t *history) error {
	seq := int64(1) // that of the heartbeat that every file begins with
	for _, n := range inTurn(t.Notes) {
		if !x.window.Contains(n.At) {
			continue
		}
		seq++
		p := &Heartbeat{Seq: seq, Status: "alive", Note: &Note{n.Kind, n.By, n.Text, eventOf(n.Source)}}
		if err := x.put(n.At, rankOther, "", uint32(seq), heartbeatID(seq), ltp.FrameHeartbeat, p); err != nil {
			return err
		}
	}
	return nil
}

// inTurn are notes in the order of time, in which they stand in the file and are
// numbered. Temporal writes down last what ended while a workflow task ran, although
// other events that came in meanwhile happened after it.
func inTurn(notes []trace.Note) []trace.Note {
	return slices.SortedStableFunc(slices.Values(notes), func(a, b trace.Note) int { return a.At.Compare(b.At) })
}

func heartbeatID(seq int64) string { return fmt.Sprintf("_heartbeat/%d", seq) }

// Of what happened at the same moment, an answer comes before the orientation that
// replaced the one it is based on.
const (
	rankLate byte = iota
	rankOrientation
	rankOther
)

// memory is how many bytes of frames wait in memory.
var memory = 64 << 20

// put gives a frame its place: by its moment, then its rank, and then the owner, an order or
// a component, and the owner's own order of things.
func (x *exporter) put(at time.Time, rank byte, owner string, seq uint32, id string, t ltp.FrameType, payload any) error {
	frame, err := x.frame(ms(at), id, t, payload)
	if err != nil {
		return err
	}
	ns := at.UnixNano()
	if x.first == 0 || ns < x.first {
		x.first = ns
	}
	x.last = max(x.last, ns)
	x.counts.add(payload)
	key := append(binary.BigEndian.AppendUint64(nil, uint64(ns)^sign), rank)
	key = binary.BigEndian.AppendUint32(append(append(key, owner...), 0), seq)
	direction := byte(0)
	if t == ltp.FrameRouteRequest {
		direction = 1
	}
	return x.sorter.Add(string(append(key, direction)), frame)
}

// sign is turned in a moment so that its bytes sort as the number does.
const sign = 1 << 63

// frame is a frame in canonical form.
func (x *exporter) frame(atMs int64, id string, t ltp.FrameType, payload any) ([]byte, error) {
	f := x.coverage.frame(atMs, id, t)
	f.Payload = payload
	data, err := canonical.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("frame %s cannot be written: %w", id, err)
	}
	return data, nil
}

// frame is a frame without its payload: who speaks follows from what is covered.
func (c Coverage) frame(atMs int64, id string, t ltp.FrameType) Frame {
	f := Frame{V: protocol, ID: id, TS: atMs, Type: t, From: sender, Identity: c.identity(), ContinuityToken: c.token()}
	switch t {
	case ltp.FrameRouteRequest:
		f.From, f.To = customer, sender
	case ltp.FrameRouteResponse:
		f.To = customer
	}
	return f
}

func (c Coverage) identity() string { return "infra:ltp-node/" + c.Namespace }
func (c Coverage) token() string {
	return fmt.Sprintf("thread-%s-%s-%d", c.Namespace, c.Component, c.Incident)
}
func (c Coverage) session() string { return fmt.Sprintf("incident-%s-%d", c.Component, c.Incident) }

// found takes what was found where an order should be.
func (x *exporter) found(ctx context.Context, f trace.Found) error {
	if f.Gap != nil {
		x.gaps = append(x.gaps, lasting(*f.Gap))
		return nil
	}
	if !f.Trace.DependsOn(x.scope.Component) {
		return nil
	}
	x.coverage.Orders++
	steps, err := x.steps(ctx, f.Trace)
	if err != nil {
		return err
	}
	for i, s := range steps {
		if err := x.put(s.at, s.rank, f.Trace.Order.ID, uint32(i), s.id, s.kind, s.payload); err != nil {
			return err
		}
	}
	return nil
}

// orientations adds the orientations of all epochs that are needed.
func (x *exporter) orientations() error {
	for _, name := range slices.Sorted(maps.Keys(x.components)) {
		t := x.components[name]
		if t.low == 0 {
			continue
		}
		if err := x.orientation(t); err != nil {
			return err
		}
	}
	return nil
}

func (x *exporter) orientation(t *history) error {
	last, latest := t.low-1, time.Time{}
	nth := map[int64]int{}
	covers := Epochs{Component: t.Component}
	for i, f := range t.Frames {
		o := *f.Orientation
		if o.Epoch < t.low || o.Epoch > t.high {
			continue
		}
		if o.Epoch > last+1 {
			x.gaps = append(x.gaps, trace.MissingOrientations(t.Component, last, o.Epoch-1))
		}
		if latest.After(f.At) {
			f.At = latest
		}
		last, latest = o.Epoch, f.At
		nth[o.Epoch]++
		if covers.First == 0 {
			covers.First = o.Epoch
		}
		covers.Last = o.Epoch
		if run := f.Source.RunID; t.Component == x.scope.Component && run != "" && !slices.Contains(x.coverage.Runs, run) {
			x.coverage.Runs = append(x.coverage.Runs, run)
		}
		p := orientation(heldOf(o), eventOf(f.Source), x.scope.Component)
		if err := x.put(f.At, rankOrientation, t.Component, uint32(i), trace.OrientationID(t.Component, o.Epoch, nth[o.Epoch]), ltp.FrameOrientation, p); err != nil {
			return err
		}
	}
	if last < t.high {
		x.gaps = append(x.gaps, trace.MissingOrientations(t.Component, last, t.high))
	}
	if covers.First > 0 {
		x.coverage.Epochs = append(x.coverage.Epochs, covers)
	}
	return nil
}

// write writes the file: what it covers, a heartbeat, the gaps, all frames in order,
// and the counts.
func (x *exporter) write(to io.Writer) (Export, error) {
	slices.SortFunc(x.gaps, func(a, b trace.Gap) int { return cmp.Or(cmp.Compare(a.What, b.What), cmp.Compare(a.Why, b.Why)) })
	x.coverage.Gaps = len(x.gaps)
	buffered := bufio.NewWriterSize(to, 1<<20)
	x.out = &writer{to: buffered, session: x.coverage.session(), prev: genesis}
	if err := x.head(x.first / 1e6); err != nil {
		return Export{}, err
	}
	for r, err := range x.sorter.Below("") {
		if err != nil {
			return Export{}, err
		}
		ns := int64(binary.BigEndian.Uint64([]byte(r.Key)) ^ sign)
		if err := x.out.write(ns/1e6, r.Key[len(r.Key)-1] == 1, r.Data); err != nil {
			return Export{}, err
		}
	}
	x.counts.Entries++ // the closing one is counted in what it says
	if err := x.say(x.last/1e6, closingID, ltp.FrameFocusSnapshot, x.counts.closing()); err != nil {
		return Export{}, err
	}
	return Export{Coverage: x.coverage, Counts: x.counts, Tree: x.out.tree.head()}, buffered.Flush()
}

// head writes the entries that come before everything that happened.
func (x *exporter) head(atMs int64) error {
	hello, alive := &Hello{Message: greeting, Role: "server", Export: x.coverage}, &Heartbeat{Seq: 1, Status: "alive"}
	x.counts.add(hello)
	x.counts.add(alive)
	err := errors.Join(
		x.say(atMs, helloID, ltp.FrameHello, hello),
		x.say(atMs, heartbeatID(1), ltp.FrameHeartbeat, alive))
	for i, g := range x.gaps {
		p := &Snapshot{Gap: &g}
		x.counts.add(p)
		err = errors.Join(err, x.say(atMs, gapID(i+1), ltp.FrameFocusSnapshot, p))
	}
	return err
}

// say writes an entry that has its place.
func (x *exporter) say(atMs int64, id string, t ltp.FrameType, payload any) error {
	frame, err := x.frame(atMs, id, t, payload)
	if err != nil {
		return err
	}
	return x.out.write(atMs, false, frame)
}

// The ids of frames that belong to no order and no component: those begin otherwise.
const (
	helloID   = "_hello"
	closingID = "_closing"
	greeting  = "LTP order node: the trace of an incident"
)

func gapID(n int) string { return fmt.Sprintf("_gap/%d", n) }
