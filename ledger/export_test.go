package ledger_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/ledger"
	"github.com/ltp-node/ltp/trace"
	"github.com/ltp-node/ltp/trace/tracetest"
)

func TestEveryRecordedIncidentIsWhole(t *testing.T) {
	relapse := histories(t, []string{"orientation-through-a-relapse"}, "order-deferred-twice")
	degraded := histories(t, []string{"orientation-degraded"}, "order-of-high-risk-while-degraded")
	for name, c := range map[string]struct {
		from      recorded
		component string
		incident  int
		orders    int
	}{
		"start-up":         {outage(t), "orders-db", 1, 1},
		"an outage":        {outage(t), "orders-db", 2, 6},
		"an operator":      {outage(t), "orders-db", 3, 1},
		"the latest":       {outage(t), "orders-db", 0, 1},
		"a relapse":        {relapse, "orders-db", 0, 1},
		"slow":             {degraded, "payments", 0, 1},
		"nobody ordered":   {histories(t, []string{"orientation-through-an-incident"}), "orders-db", 2, 0},
		"still going on":   {histories(t, []string{"orientation-continued"}), "orders-db", 0, 0},
		"begun again":      {histories(t, []string{"orientation-begun-again"}), "orders-db", 0, 0},
		"of two, one gone": {histories(t, []string{"orientation-degraded"}, "order-of-two-components"), "payments", 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			x, err := ledger.Write(t.Context(), &b, c.from, ledger.Scope{Namespace: "default", Component: c.component, Incident: c.incident})
			if err != nil {
				t.Fatal(err)
			}
			signer, key := newKey(t, "orders.example.com")
			checkpoint, err := ledger.SignCheckpoint(x.Coverage, x.Tree, signer)
			if err != nil {
				t.Fatal(err)
			}
			v, err := ledger.Verify(&b, ledger.Against{Checkpoint: checkpoint, Key: key})
			if err != nil || !v.OK {
				t.Fatalf("%v, %v", v.Broken, err)
			}
			if x.Coverage.Orders != c.orders || x.Coverage.Open != (name == "still going on") {
				t.Errorf("%+v", x.Coverage)
			}
		})
	}
}

func TestTheSameHistoryIsTheSameBytes(t *testing.T) {
	sortedIn := func(r recorded, bytes int) []byte {
		ledger.SortIn(t, bytes)
		return export(t, r, 2).text()
	}
	want := export(t, outage(t), 2).text()
	for range 5 {
		if got := sortedIn(outage(t), 1); !bytes.Equal(got, want) {
			t.Fatal("sorted on disk, it is another file")
		}
	}
	want = export(t, outages(300, 7), 1).text()
	backwards := outages(300, 7) // orders accepted at the same moment come in any order
	slices.Reverse(backwards.orders)
	if got := export(t, backwards, 1).text(); !bytes.Equal(got, want) {
		t.Error("read in another order, it is another file")
	}
}

func TestWhatHappensLaterChangesNothing(t *testing.T) {
	want := export(t, outages(20, 7), 1).text()
	later := outages(20, 7)
	o := later.components[ltp.DefaultComponent]
	for e, s := range map[int64]ltp.State{7: ltp.Unstable, 8: ltp.Recovering} {
		at := o.Frames[3].At.Add(time.Duration(e) * time.Hour)
		o.Frames = append(o.Frames, ltp.Frame{
			ID: fmt.Sprintf("orders-db@%d", e), Type: ltp.FrameOrientation, At: at, Source: ltp.Source{RunID: "later", EventID: e},
			Orientation: &ltp.Orientation{Component: ltp.DefaultComponent, State: s, Epoch: e, Since: at},
		})
	}
	slices.SortFunc(o.Frames, func(a, b ltp.Frame) int { return a.At.Compare(b.At) })
	o.Notes = append(o.Notes, trace.Note{At: o.Frames[5].At, Kind: trace.NoteObserver, Text: "later", Source: ltp.Source{RunID: "later"}})
	o.Gaps = append(o.Gaps, trace.Gap{What: "orientation of orders-db in epochs 1 to 2", Why: "retention"})
	later.components[ltp.DefaultComponent] = o
	if got := export(t, later, 1).text(); !bytes.Equal(got, want) {
		t.Error("an incident that is over is another file")
	}
}

// Temporal puts the end of an activity or of a child workflow behind other events that
// came in during a workflow task, although they happened later.
func TestNotesThatHistoryHasOutOfTurnAreToldInTime(t *testing.T) {
	r := outage(t)
	o := r.components["orders-db"]
	in := trace.Incidents(o)[1]
	for i, later := range []time.Duration{2 * time.Second, time.Second} {
		o.Notes = append(o.Notes, trace.Note{At: in.BeganAt.Add(later), Kind: trace.NoteObserver, Text: "it hands over", Source: ltp.Source{RunID: "run", EventID: int64(1000 + i)}})
	}
	r.components["orders-db"] = o
	for i := range r.orders {
		if r.orders[i].Trace.Order.ID != "" && len(r.orders[i].Trace.Frames) > 2 {
			at := r.orders[i].Trace.Frames[1].At
			for n, later := range []time.Duration{2 * time.Millisecond, time.Millisecond} {
				r.orders[i].Trace.Notes = append(r.orders[i].Trace.Notes, trace.Note{At: at.Add(later), Kind: trace.NoteCancel, Text: "it is asked for", Source: ltp.Source{RunID: "run", EventID: int64(1000 + n)}})
			}
		}
	}
	if v := export(t, r, 2).verify(t); !v.OK {
		t.Error(v.Broken)
	}
}

func TestAGapIsNamedAndTheRestVerified(t *testing.T) {
	for name, text := range map[string]string{
		"orders that ended before 2026-11-20 10:00:00 UTC": "orders that ended in the window and that Temporal has forgotten since",
		"order/R9": "order/R9",
	} {
		r := outage(t)
		r.orders = append(r.orders, trace.Found{Gap: &trace.Gap{What: name, Why: "its retention passed"}})
		f := export(t, r, 2)
		v := f.verify(t)
		if !v.OK || v.Coverage.Gaps != 1 || !bytes.Contains(f.text(), []byte(`"what":"`+text+`"`)) {
			t.Errorf("%s: %+v", name, v)
		}
		said := ""
		for _, c := range v.Checks {
			said += c.Said
		}
		if !strings.Contains(said, "1 gaps are named") {
			t.Error("a gap is passed over in silence: " + said)
		}
	}
}

func TestWhatCannotBeReadIsNotExported(t *testing.T) {
	scope := ledger.Scope{Namespace: "default", Component: "orders-db"}
	if _, err := ledger.Write(t.Context(), io.Discard, recorded{}, scope); !errors.Is(err, trace.ErrNotFound) {
		t.Error(err)
	}
	scope.Incident = 9
	if _, err := ledger.Write(t.Context(), io.Discard, outage(t), scope); !errors.As(err, new(*trace.UnknownIncidentError)) {
		t.Error(err)
	}
}

// The rules of LTP's inspector, strict and with the profiles fintech and agents, as in
// tools/ltp-inspect of its repository.
func TestLTPsInspectorHasNothingToObjectTo(t *testing.T) {
	for i := 1; i <= 3; i++ {
		inspect(t, export(t, outage(t), i))
	}
	inspect(t, export(t, outages(300, 7), 1))
}

func inspect(t *testing.T, f file) {
	t.Helper()
	types, tokens := map[string]int{}, map[any]bool{}
	status := "HEALTHY"
	for i, line := range f.lines {
		var e struct{ Frame map[string]any }
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		frame := e.Frame
		p, ok := frame["payload"].(map[string]any)
		kind := frame["type"].(string)
		types[kind]++
		tokens[frame["continuity_token"]] = true
		switch {
		case frame["v"] != "0.1" || !ok || frame["identity"] == "" || p["id"] != nil:
			t.Errorf("line %d: %s", i+1, line)
		case i == 0 && kind != "hello":
			t.Errorf("it begins with %s", kind)
		}
		for _, numeric := range []string{"focus", "focus_momentum", "drift"} {
			if v, ok := p[numeric]; ok {
				if _, ok := v.(float64); !ok {
					t.Errorf("line %d: %s is %v", i+1, numeric, v)
				}
			}
		}
		switch kind {
		case "orientation":
			if s, ok := p["status"].(string); ok {
				status = s
				if p["state"] != s {
					t.Errorf("line %d: state %v, status %v", i+1, p["state"], s)
				}
			}
		case "route_request":
			if c, ok := p["replay_context"].(map[string]any); ok && p["metadata"].(map[string]any)["original_frame_id"] != c["original_frame_id"] {
				t.Errorf("line %d: %v", i+1, p)
			}
		case "route_response":
			if p["admissible"] == true && (status == "UNSTABLE" || status == "FAILED") {
				t.Errorf("line %d: place_order is admissible in %s", i+1, status)
			}
			branches := p["branches"].([]any)
			if branches[0].(map[string]any)["confidence"].(float64) < branches[1].(map[string]any)["confidence"].(float64) {
				t.Errorf("line %d: the branches are not sorted", i+1)
			}
			if p["targetState"] != "place_order" || p["context"] == "WEB" || fmt.Sprint(p["capabilities"]) != "[CAPABILITY_PLACE_ORDER]" {
				t.Errorf("line %d: %v", i+1, p)
			}
		}
	}
	if len(tokens) != 1 || types["hello"] != 1 || types["heartbeat"] == 0 || types["orientation"] == 0 || types["focus_snapshot"] == 0 {
		t.Errorf("tokens %v, types %v", tokens, types)
	}
}

// outages makes an incident of 45 seconds with n orders. Much happens at the same moment,
// and some answers Temporal recorded after the orientation that they are based on had been replaced.
func outages(n int, seed uint64) recorded {
	begin := time.Date(2026, 5, 20, 14, 30, 0, 0, time.UTC)
	published := map[int64]time.Time{3: begin.Add(-time.Hour), 4: begin, 5: begin.Add(45 * time.Second), 6: begin.Add(50 * time.Second)}
	states := map[int64]ltp.State{3: ltp.Stable, 4: ltp.Unstable, 5: ltp.Recovering, 6: ltp.Stable}
	lastFit := map[int64]int64{3: 3, 4: 3, 5: 5, 6: 6}
	o := trace.OrientationTrace{Component: ltp.DefaultComponent, BeginsAt: published[3]}
	for e := int64(3); e <= 6; e++ {
		o.Frames = append(o.Frames, ltp.Frame{
			ID: fmt.Sprintf("orders-db@%d", e), Type: ltp.FrameOrientation, At: published[e], Source: ltp.Source{RunID: "run", EventID: e},
			Orientation: &ltp.Orientation{Component: ltp.DefaultComponent, State: states[e], Epoch: e, LastFit: lastFit[e], Reason: "because", Since: published[e]},
		})
	}
	r := recorded{components: map[string]trace.OrientationTrace{o.Component: o}}
	for i := range n {
		accepted := begin.Add(-20 * time.Second).Add(time.Duration(i) * 80 * time.Second / time.Duration(n)).Truncate(500 * time.Millisecond)
		late := time.Duration((uint64(i)*(seed|1)*2654435761)>>7%8) * 250 * time.Millisecond
		r.orders = append(r.orders, trace.Found{Trace: ordered(fmt.Sprintf("A%06d", i), accepted, late, published, states)})
	}
	return r
}

// ordered is an order that asks late after it was accepted, by a board that has not read
// what was published since, and after each release.
func ordered(id string, accepted time.Time, late time.Duration, published map[int64]time.Time, states map[int64]ltp.State) trace.OrderTrace {
	epochAt := func(at time.Time) int64 {
		epoch := int64(3)
		for epoch < 6 && !at.Before(published[epoch+1]) {
			epoch++
		}
		return epoch
	}
	epoch := epochAt(accepted)
	order := ordertest.New(id)
	p := ltp.NewProgress(order, ltp.Execution{}, ltp.Stamp{Epoch: epoch, State: states[epoch]}, nil)
	o := tracetest.New(p, accepted).After(late)
	if now := epochAt(o.Now); now > epoch {
		o.Stale = &ltp.Orientation{Component: ltp.DefaultComponent, State: states[epoch], Epoch: epoch}
		epoch = now
	}
	o.Hold(states[epoch], epoch)
	for o.Work(); o.Phase != ltp.PhaseEnded; o.Work() {
		epoch = min(epoch+1, 6)
		if at := published[epoch].Add(late); at.After(o.Now) {
			o.At(at)
		}
		o.Hold(states[epoch], epoch).Release(states[epoch], epoch)
	}
	t, err := trace.OrderFrames(o.Events)
	if err != nil {
		panic(err)
	}
	return t
}

func TestAnyIncidentIsWhole(t *testing.T) {
	signer, key := newKey(t, ledger.DefaultKeyName)
	rapid.Check(t, func(r *rapid.T) {
		from := outages(rapid.IntRange(0, 60).Draw(r, "orders"), rapid.Uint64().Draw(r, "seed"))
		var b bytes.Buffer
		x, err := ledger.Write(t.Context(), &b, from, ledger.Scope{Namespace: "default", Component: ltp.DefaultComponent})
		if err != nil {
			r.Fatal(err)
		}
		checkpoint, err := ledger.SignCheckpoint(x.Coverage, x.Tree, signer)
		if err != nil {
			r.Fatal(err)
		}
		v, err := ledger.Verify(bytes.NewReader(b.Bytes()), ledger.Against{Checkpoint: checkpoint, Key: key})
		if err != nil || !v.OK {
			r.Fatalf("%v, %v", v.Broken, err)
		}
		lines := bytes.Split(bytes.TrimSuffix(b.Bytes(), []byte("\n")), []byte("\n"))
		i := rapid.IntRange(0, len(lines)-1).Draw(r, "removed")
		less := append(bytes.Join(slices.Delete(slices.Clone(lines), i, i+1), []byte("\n")), '\n')
		v, err = ledger.Verify(bytes.NewReader(less), ledger.Against{Checkpoint: checkpoint, Key: key})
		if err != nil || v.OK {
			r.Fatalf("line %d was removed, %v", i+1, err)
		}
	})
}

func BenchmarkExport(b *testing.B) {
	from := outages(20000, 7)
	var out bytes.Buffer
	for b.Loop() {
		out.Reset()
		if _, err := ledger.Write(b.Context(), &out, from, ledger.Scope{Namespace: "default", Component: ltp.DefaultComponent}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(out.Len())/20000, "bytes/order")
}

func BenchmarkVerify(b *testing.B) {
	f := export(b, outages(20000, 7), 1)
	text := f.text()
	b.ReportAllocs()
	for b.Loop() {
		if v, err := ledger.Verify(bytes.NewReader(text), f.against()); err != nil || !v.OK {
			b.Fatal(err, v.Broken)
		}
	}
}

func BenchmarkProve(b *testing.B) {
	f := export(b, outages(20000, 7), 1)
	text := f.text()
	var proof bytes.Buffer
	for b.Loop() {
		proof.Reset()
		if _, err := ledger.Prove(&proof, bytes.NewReader(text), f.against(), "A010000"); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(proof.Len()), "bytes/proof")
}

// Files of format 2 are out there: what was exported once is exported the same, and
// verified, for ever. testdata holds an export of the outage, signed with a key that
// nobody has any more.
func TestFormat2IsKept(t *testing.T) {
	if *update {
		recordFormat(t)
	}
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	key, err := ledger.ParsePublicKey(string(read("format2.pub")))
	if err != nil {
		t.Fatal(err)
	}
	then := read("format2.jsonl")
	v, err := ledger.Verify(bytes.NewReader(then), ledger.Against{Checkpoint: read("format2.checkpoint"), Key: key})
	if err != nil || !v.OK {
		t.Errorf("it is no longer verified: %v, %v", v.Broken, err)
	}
	now := export(t, outage(t), 2)
	for i, line := range bytes.Split(bytes.TrimSuffix(then, []byte("\n")), []byte("\n")) {
		if i >= len(now.lines) || !bytes.Equal(now.lines[i], line) {
			t.Fatalf("line %d is no longer exported the same: that is another format", i+1)
		}
	}
	if p, err := ledger.VerifyProof(read("format2.tlog-proof"), key); err != nil || p.Order.ID != "R4" {
		t.Errorf("the proof is no longer verified: %v", err)
	}
}

var update = flag.Bool("update", false, "write testdata anew, signed with a new key")

func recordFormat(t *testing.T) {
	f := export(t, outage(t), 2)
	for name, data := range map[string][]byte{
		"format2.jsonl": f.text(), "format2.checkpoint": f.checkpoint, "format2.tlog-proof": proof(t, f, "R4"), "format2.pub": []byte(f.public + "\n"),
	} {
		if err := os.WriteFile(filepath.Join("testdata", name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
