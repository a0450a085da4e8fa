package trace_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"testing"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/trace"
	"github.com/ltp-node/ltp/trace/tracetest"
)

// digested reads orders, in the order in which they are given.
func digested(o trace.OrientationTrace, in trace.Incident, orders trace.Orders) trace.Timeline {
	d := trace.NewDigest(o, in, in.Window())
	for _, g := range orders.Gaps {
		d.Gap(g)
	}
	for _, t := range orders.Traces {
		d.Add(t)
	}
	return d.Timeline()
}

// A digest shows what the whole timeline shows, to the letter.
func TestDigestShowsWhatTheTimelineShows(t *testing.T) {
	for name, c := range map[string]func() (trace.OrientationTrace, trace.Orders){
		"no order":             func() (trace.OrientationTrace, trace.Orders) { return noOrders(flicker(0)) },
		"a few":                func() (trace.OrientationTrace, trace.Orders) { return flicker(8) },
		"1,500":                func() (trace.OrientationTrace, trace.Orders) { return flicker(1500) },
		"not in turn":          func() (trace.OrientationTrace, trace.Orders) { return shuffled(flicker(100)) },
		"many kinds of errors": func() (trace.OrientationTrace, trace.Orders) { return wordy(flicker(100)) },
		"something is missing": func() (trace.OrientationTrace, trace.Orders) {
			o, orders := flicker(10)
			orders.Gaps = []trace.Gap{{What: "order/A99", Why: "damaged"}}
			return o, orders
		},
	} {
		t.Run(name, func(t *testing.T) {
			o, orders := c()
			for _, in := range trace.Incidents(o) {
				whole := trace.NewTimeline(o, in, orders, in.Window())
				digest := digested(o, in, orders)
				if got, want := show(t, digest), show(t, whole); got != want {
					t.Errorf("incident %d:\n%s\nwant\n%s", in.No, got, want)
				}
				if digest.Tally != whole.Tally {
					t.Errorf("tally %+v, want %+v", digest.Tally, whole.Tally)
				}
				for i, p := range digest.Phases {
					want := whole.Phases[i]
					if p.Name != want.Name || !p.BeginsAt.Equal(want.BeginsAt) || !reflect.DeepEqual(p.Counts, want.Counts) {
						t.Errorf("phase %d: %+v, want %+v", i+1, p.Counts, want.Counts)
					}
				}
			}
		})
	}
}

func noOrders(o trace.OrientationTrace, _ trace.Orders) (trace.OrientationTrace, trace.Orders) {
	return o, trace.Orders{}
}

func shuffled(o trace.OrientationTrace, orders trace.Orders) (trace.OrientationTrace, trace.Orders) {
	r := rand.New(rand.NewPCG(1, 2))
	r.Shuffle(len(orders.Traces), func(i, j int) { orders.Traces[i], orders.Traces[j] = orders.Traces[j], orders.Traces[i] })
	return o, orders
}

// wordy gives every execution that failed words of its own.
func wordy(o trace.OrientationTrace, orders trace.Orders) (trace.OrientationTrace, trace.Orders) {
	for i := range orders.Traces {
		for j := range orders.Traces[i].Executions {
			if x := &orders.Traces[i].Executions[j]; !x.Done() {
				x.Error = fmt.Sprintf("read tcp 127.0.0.1:%d: connection reset", 40000+i)
			}
		}
	}
	return o, orders
}

// However many kinds of failures there are, few are kept.
func TestDigestKeepsFewOfManyKinds(t *testing.T) {
	o, _ := flicker(0)
	in, _ := trace.Latest(trace.Incidents(o))
	d := trace.NewDigest(o, in, in.Window())
	const n = 5000
	for i := range n {
		x := newOrder(fmt.Sprintf("B%d", i), day("14:29:55").Add(time.Duration(i)*time.Millisecond))
		x.Writes = []tracetest.Write{{Result: ltp.ResultRefused, Error: fmt.Sprintf("no article %c%c%c", 'a'+i%26, 'a'+i/26%26, 'a'+i/676)}}
		d.Add(must(trace.OrderFrames(x.Work().Events))(t))
	}
	l := d.Timeline()
	if c := l.Phases[0].Counts; c.Rejected != n {
		t.Errorf("%+v", c)
	}
	if kept := len(l.Phases[0].Entries); kept > 300 {
		t.Errorf("%d entries were kept", kept)
	}
	shown := 0
	for _, e := range l.Phases[0].Folded() {
		shown += e.Folded + 1
	}
	if shown < n {
		t.Errorf("%d of %d are shown", shown, n)
	}
}

// BenchmarkMemory reports how much of 20,000 orders a timeline holds, by order.
func BenchmarkMemory(b *testing.B) {
	const n = 20_000
	o, orders := flicker(5)
	in, _ := trace.Latest(trace.Incidents(o))
	_ = orders
	one := func(i int) trace.OrderTrace {
		x := deferred(fmt.Sprintf("A%d", i), day("14:30:10").Add(time.Duration(i)*time.Millisecond), ltp.Unstable, 4)
		x.At(day("14:31:00.6").Add(time.Duration(i) * 100 * time.Microsecond))
		t, err := trace.OrderFrames(released(x, ltp.Recovering, 5).Events)
		if err != nil {
			b.Fatal(err)
		}
		return t
	}
	for name, tell := range map[string]func() any{
		"whole": func() any {
			var all trace.Orders
			for i := range n {
				all.Traces = append(all.Traces, one(i))
			}
			return []any{all, trace.NewTimeline(o, in, all, in.Window())}
		},
		"digest": func() any {
			d := trace.NewDigest(o, in, in.Window())
			for i := range n {
				d.Add(one(i))
			}
			return []any{d, d.Timeline()}
		},
	} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				before := heap()
				held := tell()
				b.ReportMetric(float64(heap()-before)/n, "heapB/order")
				var out bytes.Buffer
				all := held.([]any)
				if err := trace.WriteTimeline(&out, all[1].(trace.Timeline), trace.Options{}); err != nil {
					b.Fatal(err)
				}
				runtime.KeepAlive(held)
			}
		})
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
