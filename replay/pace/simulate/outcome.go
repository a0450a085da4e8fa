package simulate

import (
	"math"
	"time"

	"github.com/ltp-node/ltp"
)

// Result is what a simulation came to. Times are from the moment of RECOVERING.
type Result struct {
	Scenario string `json:"scenario"`
	Policy   Policy `json:"policy"`
	Orders   int64  `json:"orders"`
	// Joined came while the backlog was released and waited behind it.
	Joined    int64 `json:"joined"`
	Committed int64 `json:"committed"`
	// Ended says that nothing waits any more; otherwise the simulation was given up.
	Ended bool `json:"ended"`
	// Drain is when the backlog was called drained for the last time, Cleared when the
	// last order that had waited was executed.
	Drain   time.Duration `json:"-"`
	Cleared time.Duration `json:"-"`
	// PeakReleased and PeakCommitted are the most in one second.
	PeakReleased  int `json:"peak_released_per_second"`
	PeakCommitted int `json:"peak_committed_per_second"`
	// P50, P99 and Slowest are of the writes that were committed, to 2 %.
	P50     time.Duration `json:"-"`
	P99     time.Duration `json:"-"`
	Slowest time.Duration `json:"-"`
	// Busy is the most writes under way at once.
	Busy int `json:"busy"`
	// Failures are those of the database, Falls the times it was called UNSTABLE.
	Failures int `json:"failures"`
	Falls    int `json:"falls"`
	// IntoFailed are the writes that began while the database had failed, FailedWrites
	// all that failed, those under way when it did among them.
	IntoFailed   int `json:"writes_into_failed"`
	FailedWrites int `json:"failed_writes"`
	// WhileUnfit are the writes that began while the component was called unfit: none.
	WhileUnfit int `json:"writes_while_unfit"`
	// Queries are the counts and pages asked of the visibility store.
	Queries int64 `json:"visibility_queries"`
	// Steps are the load over time, each Step long, and States what the component was
	// held to be.
	Step   time.Duration `json:"-"`
	Steps  []Step        `json:"-"`
	States []Since       `json:"-"`

	latency histogram
}

// Step is what happened in a stretch of time.
type Step struct {
	Released, Committed int
	// IntoFailed are writes begun while the database had failed.
	IntoFailed int
	// Rate is the controller's, at most.
	Rate float64
	// Mean and Slowest are of the writes committed.
	Mean, Slowest time.Duration
	// Busy is the most writes under way, Waiting the orders at the end.
	Busy    int
	Waiting int64
}

// Since is a state from a moment on.
type Since struct {
	At    time.Duration
	State ltp.State
}

// maxSteps is how many steps a result has at most: at least half of them are used
// by what lasts longer.
const maxSteps = 1200

// recorder keeps the load over time. When it has too many steps it joins them two by
// two.
type recorder struct {
	step   time.Duration
	steps  []Step
	states []Since

	second int64 // of releases
	within int
	peak   int
}

func newRecorder() *recorder { return &recorder{step: 50 * time.Millisecond} }

func (r *recorder) at(now time.Duration) *Step {
	for now/r.step >= maxSteps {
		r.steps, r.step = paired(r.steps), 2*r.step
	}
	for int(now/r.step) >= len(r.steps) {
		waiting := int64(0)
		if n := len(r.steps); n > 0 {
			waiting = r.steps[n-1].Waiting
		}
		r.steps = append(r.steps, Step{Waiting: waiting})
	}
	return &r.steps[now/r.step]
}

// paired joins steps two by two.
func paired(steps []Step) []Step {
	half := make([]Step, 0, maxSteps)
	for i := 0; i < len(steps); i += 2 {
		a := steps[i]
		if i+1 < len(steps) {
			b := steps[i+1]
			if n := a.Committed + b.Committed; n > 0 {
				a.Mean = time.Duration((float64(a.Mean)*float64(a.Committed) + float64(b.Mean)*float64(b.Committed)) / float64(n))
			}
			a.Released += b.Released
			a.Committed += b.Committed
			a.IntoFailed += b.IntoFailed
			a.Rate = max(a.Rate, b.Rate)
			a.Slowest = max(a.Slowest, b.Slowest)
			a.Busy = max(a.Busy, b.Busy)
			a.Waiting = b.Waiting
		}
		half = append(half, a)
	}
	return half
}

// coarser is the same with steps twice as long.
func (r Result) coarser() Result {
	r.Steps, r.Step = paired(r.Steps), 2*r.Step
	return r
}

func (r *recorder) released(now time.Duration) {
	r.at(now).Released++
	if second := int64(now / time.Second); second != r.second {
		r.second, r.within = second, 0
	}
	r.within++
	r.peak = max(r.peak, r.within)
}

func (r *recorder) committed(now, took time.Duration) {
	s := r.at(now)
	s.Committed++
	s.Mean += (took - s.Mean) / time.Duration(s.Committed)
	s.Slowest = max(s.Slowest, took)
}

func (r *recorder) failed(now time.Duration) { r.at(now).IntoFailed++ }

func (r *recorder) busy(now time.Duration, n int) { s := r.at(now); s.Busy = max(s.Busy, n) }

func (r *recorder) rate(now time.Duration, v float64) { s := r.at(now); s.Rate = max(s.Rate, v) }

func (r *recorder) waiting(now time.Duration, n int64) { r.at(now).Waiting = n }

// maxStates bounds what a component that never stops falling leaves behind.
const maxStates = 4096

func (r *recorder) state(now time.Duration, s ltp.State) {
	if len(r.states) < maxStates {
		r.states = append(r.states, Since{now, s})
	}
}

// histogram counts durations in steps of 2 %.
type histogram struct {
	counts [1200]int64
	all    int64
	most   time.Duration
}

const finest = 10 * time.Microsecond

func (h *histogram) add(d time.Duration) {
	i := 0
	if d > finest {
		i = min(int(math.Log(float64(d)/float64(finest))/math.Log(1.02)), len(h.counts)-1)
	}
	h.counts[i]++
	h.all++
	h.most = max(h.most, d)
}

func (h *histogram) quantile(q float64) time.Duration {
	need := int64(math.Ceil(q * float64(h.all)))
	for i, n := range h.counts {
		if need -= n; need <= 0 && h.all > 0 {
			return min(time.Duration(float64(finest)*math.Pow(1.02, float64(i)+0.5)), h.most)
		}
	}
	return h.most
}

func (s *simulation) finish() Result {
	r := s.result
	r.Ended = s.settled
	r.PeakReleased, r.PeakCommitted = s.series.peak, s.db.peak
	r.P50, r.P99, r.Slowest = r.latency.quantile(0.5), r.latency.quantile(0.99), r.latency.most
	r.Queries = s.queries
	r.Step, r.States = s.series.step, s.series.states
	r.Steps = s.series.steps
	for _, step := range r.Steps {
		r.Busy = max(r.Busy, step.Busy)
	}
	return r
}
