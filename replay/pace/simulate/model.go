package simulate

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/ltp-node/ltp/replay/pace"
)

// Policy is what holds a release back.
type Policy string

// The policies. Feedback is the engine's; the others are there to compare.
const (
	// Feedback is the controller, and the closed loop of the answers.
	Feedback Policy = "feedback"
	// Forgetful is Feedback that does not remember the rate that the component failed at.
	Forgetful Policy = "forgetful"
	// Fixed releases at the ceiling, as a batch job that signals does: without canaries,
	// a bound on what is on its way, or feedback.
	Fixed Policy = "fixed"
)

// Policies are all policies.
var Policies = []Policy{Feedback, Forgetful, Fixed}

// Model is what is simulated. Start from a [Scenario].
type Model struct {
	Scenario string
	// Orders are those that wait when the component is RECOVERING.
	Orders int64
	// Arrivals are new orders per second, from the beginning of the outage on.
	Arrivals float64
	Database Database
	Pace     pace.Settings
	// Limit is an operator's rate; 0 is none.
	Limit  float64
	Policy Policy

	// Lag is how late the visibility store shows what was deferred and what ended.
	Lag time.Duration
	// List is what a page of the listing takes, Path the time from a release until its write
	// asks for a connection, and Answer the time from the end of a write until the engine
	// has the answer.
	List, Path, Answer time.Duration
	// Longest is what is simulated at most: a release that takes longer is given up.
	Longest time.Duration
	Seed    uint64
}

// Database is a modelled order database.
type Database struct {
	// Capacity is how many writes per second it does at most, warm. Cores is how many it
	// works on at once: more of them share, and each takes longer.
	Capacity float64
	Cores    int
	// Connections are those of all workers. A write that finds none free waits outside.
	Connections int
	// Contention is by how much its work grows with every further Cores writes at once.
	Contention float64
	// Cold is how many times longer a write takes while nothing is in the cache, 1 or 0
	// without a cache. After Warm writes, 63 % of what writes touch is.
	Cold, Warm float64
	// It fails when more than the share FailAbove of Capacity was committed within a second
	// (0: never), and at the moments FailAt after the release began. It is back after Down,
	// its cache cold.
	FailAbove float64
	FailAt    []time.Duration
	Down      time.Duration
	// Hangs says that writes into the failed database hang instead of being refused.
	Hangs bool
}

// Scenarios are the names that [Scenario] knows.
var Scenarios = []string{"healthy", "cold-cache", "relapse", "arrivals"}

// Scenario is a model by its name.
func Scenario(name string, orders int64) (Model, error) {
	m := Model{
		Scenario: name, Orders: orders, Pace: pace.Default(), Policy: Feedback,
		Database: Database{Capacity: 1500, Cores: 16, Connections: 128, Contention: 0.05},
		Lag:      500 * time.Millisecond,
		List:     20 * time.Millisecond, Path: 40 * time.Millisecond, Answer: 10 * time.Millisecond,
		Longest: 90 * 24 * time.Hour, Seed: 1,
	}
	switch name {
	case "healthy":
	case "cold-cache":
		m.Database.Cold, m.Database.Warm = 20, 20_000
	case "relapse":
		m.Database.FailAbove, m.Database.Down, m.Database.Hangs = 0.4, 10*time.Second, true
	case "arrivals":
		m.Arrivals = 100
	default:
		return Model{}, fmt.Errorf("scenario %q: use one of %v", name, Scenarios)
	}
	return m, nil
}

// Validate returns an error that names the first thing that cannot be simulated.
func (m Model) Validate() error {
	d := m.Database
	switch {
	case m.Orders < 0 || m.Orders > 1e9:
		return fmt.Errorf("%d orders: give 0 to 1000000000", m.Orders)
	case !(m.Arrivals >= 0) || m.Arrivals > 1e5:
		return fmt.Errorf("%g arrivals a second: give 0 to 100000", m.Arrivals)
	case !(m.Limit >= 0) || math.IsInf(m.Limit, 1):
		return fmt.Errorf("a rate of %g orders a second: give a rate above 0, or 0 for none", m.Limit)
	case !(d.Capacity > 0) || d.Capacity > 1e6:
		return fmt.Errorf("a capacity of %g writes a second: give one above 0, up to 1000000", d.Capacity)
	case d.Cores < 1 || d.Connections < 1:
		return fmt.Errorf("a database of %d cores and %d connections: give 1 or more of each", d.Cores, d.Connections)
	case !slices.Contains(Policies, m.Policy):
		return fmt.Errorf("policy %q: use one of %v", m.Policy, Policies)
	}
	return m.Pace.Validate()
}
