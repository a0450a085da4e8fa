package simulate

import (
	"context"
	"iter"
	"math"
	"math/rand/v2"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/observer"
	"github.com/ltp-node/ltp/replay/pace"
)

// epoch0 is when every release begins: any time would do.
var epoch0 = time.Date(2024, 5, 20, 14, 31, 0, 0, time.UTC)

// dispatch is the time from RECOVERING to the first release.
const dispatch = 200 * time.Millisecond

// simulation is one run of a model.
type simulation struct {
	Model
	queue
	random    *rand.Rand
	now       time.Duration
	db        *database
	detector  observer.Detector
	condition ltp.Condition
	hanging   time.Duration // since when the probe's write hangs; below 0 if it does not
	result    Result
	series    *recorder

	waiting int64 // deferred under an earlier epoch, and not released
	joined  int64 // deferred under this epoch
	out     int64 // released, and not ended
	outNew  int64 // acted at once, and not ended
	acted   int64 // came while the component was fit, and did not have to wait
	counted time.Duration
	part    float64 // of an order that has not quite arrived

	pool   []order // wait for a connection
	head   int
	parked int64 // wait in Temporal, since the workers are full

	pausing, pausingNew int64 // wait a moment after a failed write: of the backlog, and new

	current     *release
	next        func() (time.Duration, bool)
	stop        func()
	runs        int
	lastSample  int
	lastEnded   time.Duration
	failureRate float64
	settled     bool
	queries     int64
}

// Run simulates the model, which must be valid, from RECOVERING until nothing is found
// to be waiting any more. It ends early only with ctx, whose error it then returns.
func Run(ctx context.Context, m Model) (Result, error) {
	s := play(ctx, m)
	return s.finish(), ctx.Err()
}

func play(ctx context.Context, m Model) *simulation {
	s := &simulation{Model: m, random: rand.New(rand.NewPCG(m.Seed, 0x4c5450)), hanging: -1}
	s.db = newDatabase(m.Database, s.random)
	s.detector = observer.NewDetector(observer.DefaultSettings())
	s.series = newRecorder()
	s.result = Result{Scenario: m.Scenario, Policy: m.Policy, Orders: m.Orders}
	s.outage()
	for _, at := range m.Database.FailAt {
		s.push(event{at: at, kind: fail})
	}
	s.push(event{kind: probe})
	for n := 0; len(s.heap) > 0 && !s.settled && s.now < m.Longest; n++ {
		if n%65536 == 0 && ctx.Err() != nil {
			break
		}
		e := s.pop()
		s.now = e.at
		s.happen(e)
	}
	s.end()
	return s
}

// outage plays the outage up to RECOVERING through the state machine, so that its
// fall is remembered.
func (s *simulation) outage() {
	s.condition = ltp.NewCondition("orders-db", 0, epoch0.Add(-time.Minute))
	at := func(before time.Duration, in ltp.Input) {
		s.condition, _ = s.condition.Next(in, ltp.DefaultPolicy(), epoch0.Add(-before))
	}
	healthy := ltp.Observation{Verdict: ltp.Healthy}
	at(time.Minute, ltp.Input{Observed: &healthy})
	at(time.Minute, ltp.Input{Drained: s.condition.Orientation.Epoch})
	at(45*time.Second, ltp.Input{Observed: &ltp.Observation{Verdict: ltp.Unhealthy}})
	at(2*time.Second, ltp.Input{Observed: &healthy})
	at(0, ltp.Input{})
	s.waiting = s.Orders
	s.series.state(0, s.condition.Orientation.State)
	s.begin()
}

func (s *simulation) clock() time.Time { return epoch0.Add(s.now) }

func (s *simulation) state() ltp.State { return s.condition.Orientation.State }

func (s *simulation) jittered(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.5 + s.random.ExpFloat64()/2))
}

func (s *simulation) happen(e event) {
	switch e.kind {
	case resume:
		if s.current != nil && e.run == s.current.number {
			s.resume()
		}
	case probe:
		s.probe()
	case arrive:
		s.arrive()
	case ask:
		s.requestWrite(e.order)
	case retry:
		s.retry(e.order, e.run)
	case done:
		s.done(e.order)
	case answer:
		s.answered(e.order, e.took)
	case giveUp:
		s.answered(e.order, pace.Sample{})
	case fail:
		s.fail()
	case back:
		s.db.back()
	}
}

// begin starts the release of this epoch.
func (s *simulation) begin() {
	s.end()
	s.runs++
	r := &release{simulation: s, number: s.runs, settles: s.state() != ltp.Recovering, onWay: map[int]func(bool){}}
	r.pacer = &fixed{rate: s.ceiling()}
	if s.Policy != Fixed {
		c := pace.NewController(s.Pace, s.clock())
		c.Limit(s.Limit)
		if s.Policy == Feedback {
			c.FailedAt(s.failureRate)
		}
		r.pacer = c
	}
	s.current = r
	s.next, s.stop = iter.Pull(r.run)
	s.push(event{at: s.now + dispatch, kind: resume, run: r.number})
}

func (s *simulation) ceiling() float64 {
	if s.Limit > 0 {
		return min(s.Limit, s.Pace.Ceiling)
	}
	return s.Pace.Ceiling
}

// end stops the release, if one runs.
func (s *simulation) end() {
	if s.current != nil {
		s.stop()
		s.current = nil
	}
}

func (s *simulation) resume() {
	number := s.current.number
	wait, more := s.next()
	if more && wait != forever {
		s.push(event{at: s.now + wait, kind: resume, run: number})
	}
}

// listed are the orders to be released that the visibility store shows.
func (s *simulation) listed() int64 {
	s.arrived()
	since := s.clock().Sub(s.condition.Orientation.Since)
	hidden := int64(s.Arrivals * max(s.Lag-since, 0).Seconds())
	return max(s.waiting-hidden, 0)
}

// left are the orders that the visibility store still counts.
func (s *simulation) left() int64 {
	if left := s.waiting + s.out; left > 0 {
		return left
	}
	if s.now < s.lastEnded+s.Lag {
		return 1
	}
	return 0
}

// arrived counts the orders that came meanwhile and were deferred.
func (s *simulation) arrived() {
	if s.Arrivals > 0 && !s.live() {
		s.part += s.Arrivals * (s.now - s.counted).Seconds()
		whole := math.Floor(s.part)
		s.part -= whole
		s.joined += int64(whole)
		s.result.Joined += int64(whole)
	}
	s.counted = s.now
}

// live says that new orders act at once.
func (s *simulation) live() bool { return s.state() == ltp.Stable || s.state() == ltp.Degraded }

// arrive is a new order while the component is fit.
func (s *simulation) arrive() {
	if s.live() {
		s.acted++
		s.outNew++
		s.requestWrite(order{released: s.now})
		s.push(event{at: s.now + time.Duration(float64(time.Second)/s.Arrivals), kind: arrive})
	}
}

func (s *simulation) drained() {
	s.result.Drain = s.now
	s.input(ltp.Input{Drained: s.condition.Orientation.Epoch})
}

// input is something that happened to the component.
func (s *simulation) input(in ltp.Input) {
	s.arrived()
	before := s.condition.Orientation
	next, changed := s.condition.Next(in, ltp.DefaultPolicy(), s.clock())
	if !changed {
		s.condition = next
		return
	}
	s.condition = next
	s.series.state(s.now, s.state())
	s.waiting += s.joined
	s.joined = 0
	switch {
	case s.state() == ltp.Unstable:
		s.overtaken()
	case s.state() == ltp.Recovering:
		s.begin()
	case before.State == ltp.Recovering: // the release that is running says so itself
		s.current = nil
		s.begin()
		if s.Arrivals > 0 {
			s.push(event{at: s.now, kind: arrive})
		}
	default: // slow, or no longer
		s.begin()
	}
}

// overtaken stops the release; what has not begun to write waits again.
func (s *simulation) overtaken() {
	if s.current != nil {
		s.failureRate = s.current.peak.rate
		if s.failureRate < 2*s.Pace.Floor || s.now-s.current.peak.at > peakFor {
			s.failureRate = 0 // it did not fall under the release
		}
	}
	s.end()
	s.result.Falls++
	for _, o := range s.pool[s.head:] {
		s.deferAgain(o)
	}
	s.pool, s.head = s.pool[:0], 0
	again := s.parked + s.pausing
	s.waiting, s.out = s.waiting+again, s.out-again
	s.join(s.pausingNew)
	s.parked, s.pausing, s.pausingNew = 0, 0, 0
}

// deferAgain has an order wait for the next epoch.
func (s *simulation) deferAgain(o order) {
	if o.waited {
		s.out--
		s.waiting++
		return
	}
	s.join(1)
}

// join has new orders wait that were to act at once.
func (s *simulation) join(n int64) {
	s.acted -= n
	s.outNew -= n
	s.joined += n
	s.result.Joined += n
}
