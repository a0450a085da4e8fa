package simulate

import (
	"time"

	"github.com/ltp-node/ltp/replay/pace"
)

// release is one run of the engine's Release: the same loop, written for a clock
// that is handed to it. It is a coroutine: yield gives the time back for so long.
type release struct {
	*simulation
	number  int
	settles bool
	yield   func(time.Duration) bool
	pacer   pacer
	peak    peak
	onWay   map[int]func(committed bool) // releases without an answer, and who awaits it
	passed  bool                         // the canaries have committed
	failed  int                          // consecutive setbacks
	blocked bool                         // it waits for an answer
}

// peak is the fastest second of late: an outage is noticed seconds after what it came of.
type peak struct {
	rate float64
	at   time.Duration
}

const peakFor = 15 * time.Second

func (p *peak) see(now time.Duration, used float64) {
	if used >= p.rate || now-p.at > peakFor {
		*p = peak{used, now}
	}
}

// forever is a wait that something else ends.
const forever = time.Duration(1<<63 - 1)

// await waits for an answer.
func (r *release) await() bool {
	r.blocked = true
	return r.yield(forever)
}

// pacer is what a release asks for its turns.
type pacer interface {
	Next(now time.Time) time.Duration
	Report(now time.Time, s pace.Sample)
	Rate(now time.Time) float64
	Used(now time.Time) float64
}

// fixed is a pacer without feedback.
type fixed struct {
	rate float64
	next time.Time
}

func (f *fixed) Next(now time.Time) time.Duration {
	if f.next.Before(now) {
		f.next = now
	}
	wait := f.next.Sub(now)
	f.next = f.next.Add(time.Duration(float64(time.Second) / f.rate))
	return wait
}
func (f *fixed) Report(time.Time, pace.Sample) {}
func (f *fixed) Rate(time.Time) float64        { return f.rate }
func (f *fixed) Used(time.Time) float64        { return f.rate }

// run releases what waits.
func (r *release) run(yield func(time.Duration) bool) {
	r.yield = yield
	r.passed = r.Policy == Fixed
	if r.settles {
		r.settle()
		return
	}
	r.drain()
}

// drain sweeps until nothing is left that was deferred before.
func (r *release) drain() {
	for wait := r.Pace.Pass; ; {
		found, ok := r.sweep()
		if !ok {
			return
		}
		left := r.count()
		if wait = min(2*wait, 2*time.Second); found > 0 {
			wait = r.Pace.Pass
		}
		for range 8 { // while it shrinks by itself
			if left == 0 {
				r.drained()
				return
			}
			if !r.yield(wait) {
				return
			}
			now := r.count()
			if now > 0 && now >= left {
				break
			}
			left = now
		}
	}
}

// settle sweeps, slower and slower, until nothing was found for long enough.
func (r *release) settle() {
	quiet, wait := r.now, r.Pace.Pass
	for {
		found, ok := r.sweep()
		if !ok {
			return
		}
		if found > 0 {
			quiet, wait = r.now, r.Pace.Pass
		}
		if r.now-quiet >= r.Pace.Settle {
			r.settled = true
			return
		}
		if !r.yield(wait) {
			return
		}
		wait = min(2*wait, r.Pace.Settle/3)
	}
}

// sweep releases all that is shown. Pages are listed while those before them are
// released, so only the first is waited for.
func (r *release) sweep() (found int64, ok bool) {
	shown := r.listed()
	if r.queries += beginnings; shown == 0 {
		r.queries += empty - beginnings
	}
	if !r.yield(r.List) {
		return 0, false
	}
	for page := int64(0); found < shown && r.waiting > 0; {
		if found >= page*fill {
			page++
			r.queries += 2 // the page, and whether another class goes before it
		}
		before := r.waiting
		if r.passed {
			ok = r.one()
		} else {
			ok = r.canaries(shown - found)
		}
		if !ok {
			return found, false
		}
		found += before - r.waiting
	}
	return found, true
}

// one releases one order in its turn, when fewer than InFlight are on their way.
func (r *release) one() bool {
	if wait := r.pacer.Next(r.clock()); wait > 0 && !r.yield(wait) {
		return false
	}
	r.peak.see(r.now, r.pacer.Used(r.clock()))
	if r.Policy == Fixed {
		r.send(order{})
		return true
	}
	return r.release(func(bool) {})
}

// release releases an order whose answer is awaited, for Timeout at most.
func (r *release) release(answered func(committed bool)) bool {
	for len(r.onWay) >= r.Pace.InFlight {
		if !r.await() {
			return false
		}
	}
	r.lastSample++
	r.onWay[r.lastSample] = answered
	r.push(event{at: r.now + r.Pace.Timeout, kind: giveUp, order: order{sample: r.lastSample, released: r.now}})
	r.send(order{sample: r.lastSample})
	return true
}

func (r *release) send(o order) {
	r.waiting--
	r.out++
	o.released, o.waited = r.now, true
	r.series.released(r.now)
	r.push(event{at: r.now + r.jittered(r.Path), kind: ask, order: o})
}

// answered takes the answer to a release. When too many fail in a row, and none commits,
// the release begins again with canaries.
func (r *release) answered(sample int, s pace.Sample) {
	then, awaited := r.onWay[sample]
	if !awaited {
		return
	}
	delete(r.onWay, sample)
	if s.Committed {
		r.failed = 0
	} else if r.failed++; r.failed >= 2*r.Pace.Canary && r.Policy != Fixed {
		r.passed = false
	}
	r.pacer.Report(r.clock(), s)
	then(s.Committed)
	if r.blocked {
		r.blocked = false
		r.push(event{at: r.now, kind: resume, run: r.number})
	}
}

// canaries go first, of so many that are there, until more of them commit than fail.
func (r *release) canaries(there int64) bool {
	good, bad, left := 0, 0, 0
	for range min(int64(r.Pace.Canary), there, r.waiting) {
		left++
		if !r.release(func(committed bool) {
			left--
			if committed {
				good++
			} else {
				bad++
			}
		}) {
			return false
		}
	}
	for left > 0 {
		if !r.await() {
			return false
		}
	}
	if bad > 0 && bad >= good {
		return r.yield(r.Pace.Timeout)
	}
	r.passed, r.failed = true, 0
	return true
}

// count asks how many orders are left.
func (r *release) count() int64 {
	r.queries++
	return r.left()
}

// What a sweep of package replay asks the visibility store when orders without a class
// were started evenly: about so many questions to find where they begin and how dense
// they are, fewer where there is nothing, then pages that it means to fill to two thirds
// of 500.
const (
	beginnings = 12
	empty      = 4
	fill       = 333
)
