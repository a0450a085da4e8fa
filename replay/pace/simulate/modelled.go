package simulate

import (
	"errors"
	"math"
	"math/rand/v2"
	"time"
)

// gaveUp is for how long an Execute waits for its write.
const gaveUp = 18 * time.Second

// slots are the orders that the workers hold while they wait for a connection; more
// wait in Temporal.
const slots = 1000

// database is the state of a modelled one.
type database struct {
	Database
	random *rand.Rand
	busy   int     // writes under way, hung ones among them
	cold   float64 // share of what writes touch that is not in the cache
	life   int     // grows with every failure
	down   bool
	upAt   time.Duration
	recent [10]int // commits of the last second, in tenths
	tenth  int64
	peak   int
}

func newDatabase(d Database, random *rand.Rand) *database {
	return &database{Database: d, random: random, cold: 1}
}

// service is how long a write takes that begins now.
func (d *database) service() time.Duration {
	s := float64(d.Cores) / d.Capacity
	if d.Cold > 1 {
		s *= 1 + (d.Cold-1)*d.cold
		d.cold *= 1 - 1/d.Warm
	}
	s *= d.share() * math.Exp(0.3*d.random.NormFloat64()-0.045) // a mean of 1
	return time.Duration(s * float64(time.Second))
}

// share is how many times longer a write takes because of the others.
func (d *database) share() float64 {
	over := float64(d.busy)/float64(d.Cores) - 1
	if over <= 0 {
		return 1
	}
	return (1 + over) * (1 + d.Contention*over)
}

// committed counts a commit and reports whether it is one too many.
func (d *database) committed(now time.Duration) (fails bool) {
	d.turn(now)
	d.recent[d.tenth%10]++
	sum := 0
	for _, n := range d.recent {
		sum += n
	}
	d.peak = max(d.peak, sum)
	return d.FailAbove > 0 && float64(sum) > d.FailAbove*d.Capacity
}

func (d *database) turn(now time.Duration) {
	tenth := int64(now / (100 * time.Millisecond))
	if tenth-d.tenth > 10 {
		d.recent, d.tenth = [10]int{}, tenth
	}
	for d.tenth < tenth {
		d.tenth++
		d.recent[d.tenth%10] = 0
	}
}

func (d *database) fail(now time.Duration) {
	d.down, d.upAt = true, now+d.Down
	d.life++
	d.recent = [10]int{}
}

func (d *database) back() { d.down, d.cold = false, 1 }

// errRefused is what a failed database that does not hang answers.
var errRefused = refused{errors.New("connection refused")}

type refused struct{ error }

func (refused) Definite() bool { return true }
func (refused) Reason() string { return "DB refuses connections" }
