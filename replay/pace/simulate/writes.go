package simulate

import (
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/observer"
	"github.com/ltp-node/ltp/replay/pace"
)

// requestWrite is an order that asks to write: it is fenced, waits for a connection, or writes.
func (s *simulation) requestWrite(o order) {
	switch {
	case !s.state().Fit():
		s.deferAgain(o)
	case s.db.busy < s.db.Connections:
		s.write(o)
	case len(s.pool)-s.head < slots:
		s.pool = append(s.pool, o)
	case o.waited:
		s.parked++
	default:
		s.pool = append(s.pool, o) // a new order does not wait behind the backlog's for long
	}
}

// write begins a write.
func (s *simulation) write(o order) {
	took := s.db.service()
	s.db.busy++
	o.begun, o.life = s.now, s.db.life
	o.tries++
	s.series.busy(s.now, s.db.busy)
	if !s.state().Fit() {
		s.result.WhileUnfit++
	}
	if s.db.down {
		s.result.IntoFailed++
		s.series.failed(s.now)
		o.life = -1
		took = time.Millisecond
		if s.db.Hangs {
			took = min(gaveUp, s.db.upAt-s.now)
		}
	}
	s.push(event{at: s.now + min(took, gaveUp), kind: done, order: o})
}

// done is the end of a write.
func (s *simulation) done(o order) {
	failed := o.life != s.db.life || s.now-o.begun >= gaveUp
	if failed && o.life >= 0 && s.db.down && s.db.Hangs && s.now-o.begun < gaveUp && s.now < s.db.upAt {
		o.life = -1 // it was under way when the database failed, and hangs
		s.push(event{at: min(o.begun+gaveUp, s.db.upAt), kind: done, order: o})
		return
	}
	s.db.busy--
	s.following()
	if failed {
		s.again(o)
		return
	}
	took := s.now - o.begun
	s.result.latency.add(took)
	s.series.committed(s.now, took)
	s.result.Committed++
	if o.waited {
		s.out--
		s.lastEnded = s.now
		s.result.Cleared = s.now
	} else {
		s.outNew--
	}
	s.sendAnswer(o, pace.Sample{Committed: true, Write: took})
	if s.db.committed(s.now) && !s.db.down {
		s.fail()
	}
}

// following gives the connection to the next.
func (s *simulation) following() {
	if !s.state().Fit() || s.head == len(s.pool) {
		return
	}
	o := s.pool[s.head]
	s.head++
	if s.parked > 0 {
		s.parked--
		s.pool = append(s.pool, order{released: s.now, waited: true})
	}
	if s.head > 1024 && s.head > len(s.pool)/2 {
		s.pool, s.head = append(s.pool[:0], s.pool[s.head:]...), 0
	}
	s.write(o)
}

// again has an order whose write failed wait a moment, as long as the state says that
// the component is fit.
func (s *simulation) again(o order) {
	s.result.FailedWrites++
	if !s.state().Fit() {
		s.deferAgain(o)
		return
	}
	s.sendAnswer(o, pace.Sample{Write: s.now - o.begun})
	o.sample = 0
	pause := time.Second << min(o.tries-1, 6)
	pause = time.Duration(float64(pause) * (0.75 + s.random.Float64()/2))
	if o.waited {
		s.pausing++
	} else {
		s.pausingNew++
	}
	s.push(event{at: s.now + pause, kind: retry, run: s.result.Falls, order: o})
}

// retry has an order go on after its pause, unless a fall ended that before.
func (s *simulation) retry(o order, falls int) {
	if falls != s.result.Falls {
		return
	}
	if o.waited {
		s.pausing--
	} else {
		s.pausingNew--
	}
	s.requestWrite(o)
}

// sendAnswer sends the answer to a release on its way.
func (s *simulation) sendAnswer(o order, sample pace.Sample) {
	if o.sample != 0 {
		s.push(event{at: s.now + s.jittered(s.Answer), kind: answer, order: o, took: sample})
	}
}

// answered is an answer that arrives, or is awaited no longer.
func (s *simulation) answered(o order, sample pace.Sample) {
	sample.Took = s.now - o.released
	if s.current != nil {
		s.current.answered(o.sample, sample)
	}
}

func (s *simulation) fail() {
	if s.db.down {
		return
	}
	s.db.fail(s.now)
	s.result.Failures++
	s.push(event{at: s.db.upAt, kind: back})
}

// probe is the observer's write, and what follows from it.
func (s *simulation) probe() {
	settings := observer.DefaultSettings()
	var sample observer.Sample
	switch {
	case s.db.down && s.db.Hangs:
		if s.hanging < 0 {
			s.hanging = s.now
		}
		sample.Latency, sample.Hanging = s.now-s.hanging, true
	case s.db.down:
		sample.Err = errRefused
	default:
		s.hanging = -1
		sample.Latency = time.Duration(s.db.share() * float64(s.db.Cores) / s.db.Capacity * float64(time.Second))
		if s.db.Cold > 1 {
			sample.Latency = time.Duration(float64(sample.Latency) * (1 + (s.db.Cold-1)*s.db.cold))
		}
	}
	detector, seen, changed := s.detector.Next(sample, s.clock())
	s.detector = detector
	if changed {
		s.input(ltp.Input{Observed: &seen})
	} else {
		s.input(ltp.Input{})
	}
	if s.current != nil {
		s.series.rate(s.now, s.current.pacer.Rate(s.clock()))
	}
	s.series.waiting(s.now, s.waiting+s.joined)
	s.push(event{at: s.now + settings.Interval, kind: probe})
}
