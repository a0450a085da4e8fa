package ledger_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"iter"
	"os"
	"slices"
	"testing"

	historypb "go.temporal.io/api/history/v1"
	"golang.org/x/mod/sumdb/note"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/ledger"
	"github.com/ltp-node/ltp/trace"
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

// outage is one real incident, the second of its component, with an order of every
// kind: R1 and R3 were executed, R2 rejected, R4 deferred and replayed, R5 cancelled, R6
// expired.
func outage(t testing.TB) recorded {
	return histories(t, []string{"orientation-through-an-incident"},
		"order-executed-at-once", "order-rejected", "order-execute-unavailable", "order-deferred-and-replayed",
		"order-cancelled", "order-expired", "order-frozen-and-released")
}

// file is an export and what it takes to verify it.
type file struct {
	export     ledger.Export
	lines      [][]byte // without their line feeds
	checkpoint []byte
	signer     note.Signer
	key        note.Verifier
}

func newKey(t testing.TB, name string) (note.Signer, note.Verifier) {
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
	return signer, key
}

func export(t testing.TB, r recorded, incident int) file {
	t.Helper()
	var b bytes.Buffer
	x, err := ledger.Write(t.Context(), &b, r, ledger.Scope{Namespace: "default", Component: ltp.DefaultComponent, Incident: incident, TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	f := file{export: x, lines: bytes.Split(bytes.TrimSuffix(b.Bytes(), []byte("\n")), []byte("\n"))}
	f.signer, f.key = newKey(t, ledger.DefaultKeyName)
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
