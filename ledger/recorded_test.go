package ledger_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"iter"
	"os"
	"slices"
	"testing"
	"time"

	historypb "go.temporal.io/api/history/v1"
	"golang.org/x/mod/sumdb/note"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/ledger"
	"github.com/ltp-node/ltp/trace"
	"github.com/ltp-node/ltp/trace/tracetest"
)

// recorded is a Temporal that holds recorded histories.
type recorded struct {
	components map[string]trace.OrientationTrace
	orders     []trace.Found // in the order in which they were accepted
}

func (r recorded) Orientation(_ context.Context, component string) (trace.OrientationTrace, error) {
	o, ok := r.components[component]
	if !ok {
		return o, trace.ErrNotFound
	}
	return o, nil
}

func (r recorded) Each(_ context.Context, w trace.Window) iter.Seq2[trace.Found, error] {
	return func(yield func(trace.Found, error) bool) {
		for _, f := range r.orders {
			over := f.Gap == nil && ((!f.Trace.EndedAt.IsZero() && f.Trace.EndedAt.Before(w.From)) || (!w.To.IsZero() && f.Trace.AcceptedAt.After(w.To)))
			if !over && !yield(f, nil) {
				return
			}
		}
	}
}

func history(t testing.TB, name string) []*historypb.HistoryEvent {
	t.Helper()
	file, err := os.Open("../workflows/testdata/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	events, err := trace.ReadJSON(file)
	if err != nil {
		t.Fatal(err)
	}
	return events
}

// histories are those of a component and of orders.
func histories(t testing.TB, orientations []string, orders ...string) recorded {
	t.Helper()
	r := recorded{components: map[string]trace.OrientationTrace{}}
	for _, name := range orientations {
		o, err := trace.OrientationFrames(history(t, name))
		if err != nil {
			t.Fatal(err)
		}
		r.components[o.Component] = o
	}
	for _, name := range orders {
		events := history(t, name)
		o, err := trace.OrderFrames(events)
		if err != nil {
			t.Fatal(err)
		}
		r.orders = append(r.orders, trace.Found{Trace: o, Events: events})
	}
	slices.SortFunc(r.orders, func(a, b trace.Found) int { return a.Trace.AcceptedAt.Compare(b.Trace.AcceptedAt) })
	return r
}

// outage is a component with a start-up, an outage, and a hold that froze intake, and an
// order of every kind: in its second incident R1 and R3 were executed, R2 rejected, R4
// deferred and replayed, R5 cancelled, R6 expired; in the third, R7 was frozen and released.
func outage(t testing.TB) recorded {
	t.Helper()
	c := trace.OrientationTrace{Component: ltp.DefaultComponent, BeginsAt: clock("14:00:00")}
	for i, is := range []struct {
		at     string
		state  ltp.State
		reason string
	}{
		{"14:00:00", ltp.Unknown, "never observed"}, {"14:00:01", ltp.Recovering, "DB write latency normal"}, {"14:00:02", ltp.Stable, "Deferred backlog drained"},
		{"14:30:00", ltp.Unstable, "DB Write Latency > 5000ms"}, {"14:30:45", ltp.Recovering, "DB leader elected"}, {"14:30:50", ltp.Stable, "Deferred backlog drained"},
		{"14:40:00", ltp.Unstable, "held by ann: a leak"}, {"14:41:00", ltp.Recovering, "released by ann"}, {"14:41:05", ltp.Stable, "Deferred backlog drained"},
	} {
		epoch := int64(i + 1)
		o := ltp.Orientation{Component: c.Component, State: is.state, Epoch: epoch, LastFit: epoch - 1, Reason: is.reason, Since: clock(is.at)}
		if o.State.Fit() {
			o.LastFit = epoch
		}
		if epoch == 7 {
			o.Hold = &ltp.Hold{By: "ann", Why: "a leak", Since: o.Since, Freeze: true}
		}
		c.Frames = append(c.Frames, ltp.Frame{
			ID: fmt.Sprintf("%s@%d", c.Component, epoch), Type: ltp.FrameOrientation, At: o.Since, Orientation: &o,
			Source: ltp.Source{WorkflowID: "orientation/orders-db", RunID: "run-1", EventID: 10 * epoch},
		})
	}
	for i, at := range []string{"14:29:59", "14:30:44", "14:30:45", "14:30:46", "14:30:50", "14:40:00"} {
		c.Notes = append(c.Notes, trace.Note{
			At: clock(at), Kind: trace.NoteObserver, By: "observer-1", Text: "sees how it is", Source: ltp.Source{RunID: "run-1", EventID: int64(100 + i)},
		})
	}
	r := recorded{components: map[string]trace.OrientationTrace{c.Component: c}}
	accept := func(id, at string, s ltp.State, epoch int64, changes ...func(*ltp.Order)) *tracetest.Order {
		return tracetest.New(ltp.NewProgress(ordertest.New(id, changes...), ltp.Execution{}, ltp.Stamp{Epoch: epoch, State: s}, nil), clock(at)).Hold(s, epoch)
	}
	add := func(o *tracetest.Order) {
		t.Helper()
		found, err := trace.OrderFrames(o.Events)
		if err != nil {
			t.Fatal(err)
		}
		r.orders = append(r.orders, trace.Found{Trace: found, Events: o.Events})
	}
	add(accept("R0", "14:00:10", ltp.Stable, 3).Work())
	add(accept("R1", "14:29:40", ltp.Stable, 3).Work())
	o := accept("R2", "14:29:45", ltp.Stable, 3)
	o.Writes, o.Cause = []tracetest.Write{{Result: ltp.ResultRefused, Error: "we sell no anvils"}}, ltp.CauseOrder
	add(o.Work())
	o = accept("R3", "14:29:50", ltp.Stable, 3)
	o.Writes = []tracetest.Write{{Result: ltp.ResultUnavailable, Error: "connection refused"}}
	add(o.Work().Fires().Work())
	add(accept("R4", "14:30:10", ltp.Unstable, 4).Work().At(clock("14:30:46")).Hold(ltp.Recovering, 5).Release(ltp.Recovering, 5).Work())
	add(accept("R5", "14:30:20", ltp.Unstable, 4).Work().After(time.Second).Cancel("shop@node-1").Work())
	add(accept("R6", "14:30:21", ltp.Unstable, 4, ordertest.Deadline(clock("14:30:40"))).Work().Fires().Work())
	o = accept("R7", "14:40:10", ltp.Unstable, 7)
	held := o.Board[c.Component]
	held.Hold = &ltp.Hold{By: "ann", Why: "a leak", Freeze: true}
	o.Board[c.Component] = held
	add(o.Work().At(clock("14:41:01")).Hold(ltp.Recovering, 8).Release(ltp.Recovering, 8).Work())
	return r
}

func clock(s string) time.Time {
	t, err := time.Parse("2006-01-02 15:04:05", "2026-05-20 "+s)
	if err != nil {
		panic(err)
	}
	return t
}

// file is an export and what it takes to verify it.
type file struct {
	export     ledger.Export
	lines      [][]byte // without their line feeds
	checkpoint []byte
	signer     note.Signer
	key        note.Verifier
	public     string
}

func newKey(t testing.TB, name string) (note.Signer, note.Verifier) {
	signer, key, _ := newKeyPair(t, name)
	return signer, key
}

func newKeyPair(t testing.TB, name string) (note.Signer, note.Verifier, string) {
	t.Helper()
	private, public, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ledger.ParsePublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return signer, key, public
}

func export(t testing.TB, r recorded, incident int) file {
	t.Helper()
	var b bytes.Buffer
	x, err := ledger.Write(t.Context(), &b, r, ledger.Scope{Namespace: "default", Component: ltp.DefaultComponent, Incident: incident, TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	f := file{export: x, lines: bytes.Split(bytes.TrimSuffix(b.Bytes(), []byte("\n")), []byte("\n"))}
	f.signer, f.key, f.public = newKeyPair(t, ledger.DefaultKeyName)
	if f.checkpoint, err = ledger.SignCheckpoint(x.Coverage, x.Tree, f.signer); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f file) text() []byte { return append(bytes.Join(f.lines, []byte("\n")), '\n') }

func (f file) against() ledger.Against { return ledger.Against{Checkpoint: f.checkpoint, Key: f.key} }

func (f file) verify(t testing.TB) ledger.Verdict {
	t.Helper()
	v, err := ledger.Verify(bytes.NewReader(f.text()), f.against())
	if err != nil {
		t.Fatal(err)
	}
	return v
}
