package trace_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/trace"
	"github.com/ltp-node/ltp/trace/tracetest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares got with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not as it was; see go test -update.\n%s", name, got)
	}
}

// flicker is the incident of the postmortem: the component, and n orders that came
// while the database did not write.
func flicker(n int) (trace.OrientationTrace, trace.Orders) {
	c := stable(day("14:00:00"))
	c.at(day("14:30:05")).falls("observer-1", "DB Write Latency > 5000ms", slow)
	c.at(day("14:30:58")).seen("observer-1", ltp.Healthy, "DB leader elected, latency normal")
	c.after(2 * time.Second).fires().work()
	c.Evidence = ltp.Evidence{Facts: map[string]string{"leader": "db-2"}}
	c.enters(ltp.Recovering, "DB leader elected, latency normal")
	replay := c.replays()
	c.at(day("14:31:05")).drained()
	c.at(day("14:31:20")).replayed(replay, "replay/orders-db/5", n, 3)
	o, err := trace.OrientationFrames(c.all())
	if err != nil {
		panic(err)
	}

	var all trace.Orders
	add := func(o *order) {
		t, err := trace.OrderFrames(o.Events)
		if err != nil {
			panic(err)
		}
		all.Traces = append(all.Traces, t)
	}
	id := 0
	next := func(at time.Time) *order {
		id++
		return newOrder(fmt.Sprintf("A%d", id), at)
	}
	// Before: at once.
	for i := range 12 {
		o := next(day("14:29:50").Add(time.Duration(i) * time.Second))
		o.Writes = []tracetest.Write{{Result: ltp.ResultExecuted, Took: 9 * time.Millisecond}}
		add(o.Work())
	}
	// Two were on their way into the database.
	for i := range 2 {
		o := next(day("14:30:03").Add(time.Duration(i) * time.Second))
		o.Writes = []tracetest.Write{{Result: ltp.ResultUnknown, Error: "outcome unknown: connection lost", Took: 3 * time.Second}}
		if i == 1 {
			o.Writes = []tracetest.Write{{Result: ltp.ResultNotBegun, Error: "not begun: the component became unfit before the write began", Took: 2 * time.Second}}
		}
		o.Then(ltp.Unstable, 4).Work()
		add(released(o.At(day("14:31:00.5")), ltp.Recovering, 5))
	}
	// While it did not write: deferred, and released in turn.
	for i := range n {
		id++
		one, at := ordertest.New(fmt.Sprintf("A%d", id)), day("14:30:10").Add(time.Duration(i)*45*time.Second/time.Duration(n))
		if i == 3 {
			one.Deadline = day("14:30:50")
		}
		o := accepted(one, at, ltp.Unstable, 4).Work()
		switch i {
		case 2:
			add(o.After(time.Second).Cancel("shop@node-1").Work())
			continue
		case 3:
			add(o.Fires().Work())
			continue
		case 4:
			o.Writes = []tracetest.Write{{Result: ltp.ResultRefused, Error: "article A-17 is not sold any more"}}
		default:
			o.Writes = []tracetest.Write{{Result: ltp.ResultExecuted, Took: 9 * time.Millisecond}}
		}
		add(released(o.At(day("14:31:00.6").Add(time.Duration(i)*4*time.Second/time.Duration(n))), ltp.Recovering, 5))
	}
	// One came while the backlog was released, and two after.
	id++
	late := deferred(fmt.Sprintf("A%d", id), day("14:31:02"), ltp.Recovering, 5)
	add(released(late.At(day("14:31:06")), ltp.Stable, 6))
	for i := range 2 {
		id++
		add(accepted(ordertest.New(fmt.Sprintf("A%d", id)), day("14:31:10").Add(time.Duration(i)*time.Second), ltp.Stable, 6).Work())
	}
	return o, all
}

func flickered(n int) trace.Timeline {
	o, orders := flicker(n)
	in, _ := trace.Latest(trace.Incidents(o))
	return trace.NewTimeline(o, in, orders, in.Window())
}

func TestTimelineOfTheFlicker(t *testing.T) {
	l := flickered(1500)
	want := trace.Tally{
		Total: 1517, Deferred: 1503, ExecutedAtOnce: 14, ExecutedLater: 1500, Rejected: 1, Cancelled: 1, Expired: 1,
	}
	if l.Tally != want {
		t.Errorf("tally %+v, want %+v", l.Tally, want)
	}
	var names []trace.PhaseName
	for i, p := range l.Phases {
		names = append(names, p.Name)
		if i > 0 && !p.BeginsAt.Equal(l.Phases[i-1].EndsAt) {
			t.Errorf("%s begins at %s, and the phase before ends at %s", p.Name, p.BeginsAt, l.Phases[i-1].EndsAt)
		}
	}
	if !slices.Equal(names, []trace.PhaseName{trace.Stability, trace.Degradation, trace.DeferralWindow, trace.Recovery, trace.Resolution}) {
		t.Errorf("phases %v", names)
	}
	if c := l.Phases[2].Counts; c.Requests != 1500 || c.Deferred[ltp.ReasonUnstable] != 1502 || c.Cancelled != 1 || c.Expired != 1 {
		t.Errorf("the deferral window: %+v", c)
	}
	if c := l.Phases[4].Counts; c.Requests != 3 || c.Replayed != 1501 || c.Executed != 1500 || c.ExecutedAtOnce != 2 || c.Rejected != 1 {
		t.Errorf("the resolution: %+v", c)
	}
	frames := l.Frames()
	for i, f := range frames {
		if f.No != i+1 || i > 0 && f.Response == nil && frames[i-1].Response == nil && f.At.Before(frames[i-1].At) {
			t.Fatalf("frame %d is #%d, at %s", i+1, f.No, f.At)
		}
	}
}

func TestTimelineIsShown(t *testing.T) {
	l := flickered(1500)
	for _, o := range []struct {
		name    string
		options trace.Options
	}{
		{"flicker-80.txt", trace.Options{}},
		{"flicker-100.txt", trace.Options{Width: 200}},
		{"flicker-60-color.txt", trace.Options{Width: 60, Color: true}},
	} {
		var b bytes.Buffer
		if err := trace.WriteTimeline(&b, l, o.options); err != nil {
			t.Fatal(err)
		}
		golden(t, o.name, b.Bytes())
	}
}

func TestTimelineFitsItsWidth(t *testing.T) {
	o, orders := flicker(20)
	in, _ := trace.Latest(trace.Incidents(o))
	for i := range orders.Traces {
		orders.Traces[i].Order.Customer = strings.Repeat("x", 256)
	}
	for width := 60; width <= 100; width += 5 {
		var b bytes.Buffer
		l := trace.NewTimeline(o, in, orders, in.Window())
		if err := trace.WriteTimeline(&b, l, trace.Options{Width: width}); err != nil {
			t.Fatal(err)
		}
		for _, one := range orders.Traces {
			if err := trace.WriteOrder(&b, one, trace.Options{Width: width}); err != nil {
				t.Fatal(err)
			}
		}
		for _, s := range strings.Split(b.String(), "\n") {
			if n := len([]rune(s)); n > width {
				t.Errorf("%d columns of %d: %s", n, width, s)
			}
		}
	}
}

func TestTimelineIsWrittenAsJSON(t *testing.T) {
	o, orders := flicker(6)
	orders.Traces = []trace.OrderTrace{orders.Traces[0], orders.Traces[14]}
	in, _ := trace.Latest(trace.Incidents(o))
	l := trace.NewTimeline(o, in, orders, in.Window())
	var b bytes.Buffer
	if err := trace.WriteJSON(&b, l); err != nil {
		t.Fatal(err)
	}
	golden(t, "flicker.json", b.Bytes())
	b.Reset()
	if err := trace.WriteJSONLines(&b, l.Frames()); err != nil {
		t.Fatal(err)
	}
	golden(t, "flicker.jsonl", b.Bytes())
}

func TestOrdersAreShown(t *testing.T) {
	var b bytes.Buffer
	all := paths()
	for i, name := range []string{
		"executed at once", "deferred, then released by the replay engine", "deferred again and again",
		"cancelled", "its cancellation waits", "expired", "rejected", "unavailable while the state still said STABLE",
		"an attempt without an answer", "written in a task that was lost", "admitted, and the fence found it unfit",
		"high risk", "accepted", "the user's activity runs", "the user's activity fails", "in several runs", "reset",
	} {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "# %s\n\n", name)
		one := must(trace.OrderFrames(all[name].order.Events))(t)
		if err := trace.WriteOrder(&b, one, trace.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "orders.txt", b.Bytes())
	b.Reset()
	one := must(trace.OrderFrames(all["deferred, then released by the replay engine"].order.Events))(t)
	if err := trace.WriteJSON(&b, one); err != nil {
		t.Fatal(err)
	}
	golden(t, "order.json", b.Bytes())
	b.Reset()
	if err := trace.WriteJSONLines(&b, one.Frames); err != nil {
		t.Fatal(err)
	}
	golden(t, "order.jsonl", b.Bytes())
}

func TestHeldComponentIsShown(t *testing.T) {
	o := must(trace.OrientationFrames(held().all()))(t)
	in, _ := trace.Latest(trace.Incidents(o))
	golden(t, "held.txt", []byte(show(t, trace.NewTimeline(o, in, trace.Orders{}, in.Window()))))
}

// What came from outside cannot take over the terminal.
func TestTextFromOutsideIsShownHarmlessly(t *testing.T) {
	evil := "fine\x1b[2J\r\nPhase 9: \u202egnihton"
	c := stable(day("14:00:00"))
	c.at(day("14:30:00")).falls(evil, evil, ltp.Evidence{Error: evil, Facts: map[string]string{evil: evil}})
	o := must(trace.OrientationFrames(c.all()))(t)
	in, _ := trace.Latest(trace.Incidents(o))
	order := ordertest.New("A1")
	order.Customer = evil
	bad := accepted(order, day("14:30:01"), ltp.Stable, 3)
	bad.Writes = []tracetest.Write{{Result: ltp.ResultUnavailable, Error: evil}}
	bad.Work()
	one := must(trace.OrderFrames(bad.Events))(t)
	orders := trace.Orders{Traces: []trace.OrderTrace{one}, Gaps: []trace.Gap{{What: evil, Why: evil}}}
	var b bytes.Buffer
	b.WriteString(show(t, trace.NewTimeline(o, in, orders, in.Window())))
	if err := trace.WriteOrder(&b, one, trace.Options{}); err != nil {
		t.Fatal(err)
	}
	if s := b.String(); strings.ContainsAny(s, "\x1b\r\u202e") || !strings.Contains(s, "fine") {
		t.Errorf("%q", s)
	}
	for _, s := range strings.Split(b.String(), "\n") {
		if strings.HasPrefix(s, "Phase 9") {
			t.Errorf("a line of its own: %q", s)
		}
	}
}
