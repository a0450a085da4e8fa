// Package observer is a health checker, the detector of a circuit breaker: it holds the
// hysteresis that turns samples of a component into
// verdicts, the loop that takes the samples, and a simulation that shows what recorded
// samples would have led to. The probes are in the packages below it.
//
// A verdict is reached fast where the component is unfit, and left slowly: an error
// that speaks for itself needs no second sample, one write that hangs longer than
// the limit is confirmation enough, and other errors must repeat: several in a row, or
// half of the latest. Fit again is only what has written well several times in a row;
// a probe that only reads can call it unfit, and never fit. Two thresholds lie between, so that
// noise around one of them changes nothing.
package observer

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"
)

// Probe looks at a component.
type Probe interface {
	// Probe makes one write in the component, over a connection that nothing else
	// uses, and returns what it learnt of who took it, such as "leader" and
	// "timeline". It hangs as long as the write hangs, until ctx ends. After an error
	// the next call connects anew.
	//
	// An error may be a [Fault]. A probe that does not write says so as a [Reader].
	Probe(ctx context.Context) (facts map[string]string, err error)
}

// Fault is what an error of a probe may tell beyond its text.
type Fault interface {
	error
	// Definite reports whether the error needs no confirmation by further samples,
	// such as a refused connection.
	Definite() bool
	// Reason is the error in a few words for people.
	Reason() string
}

// Reader is a probe that may not write. Its samples are [Sample.ReadOnly].
type Reader interface {
	ReadOnly() bool
}

// Plain is a text of somebody else's as a fact may hold it: what is printable, and
// limit characters at most.
func Plain(s string, limit int) string {
	plain := []rune(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, strings.ToValidUTF8(s, "")))
	return string(plain[:min(len(plain), limit)])
}

// Sample is one write, finished or not.
type Sample struct {
	// Latency is how long the write took, or how long it has been hanging.
	Latency time.Duration
	// Hanging is set while the write has not returned.
	Hanging bool
	// ReadOnly is set where the component was only read. Such a sample may count
	// against the component and never for it.
	ReadOnly bool
	Err      error
	Facts    map[string]string
}

// Result is what one sample is by itself.
type Result string

// The results of samples.
const (
	ResultGood  Result = "good"
	ResultSlow  Result = "slow"  // took SlowLatency or longer
	ResultError Result = "error" // before UnfitLatency
	ResultHung  Result = "hung"  // took UnfitLatency or longer, or has been hanging for as long
)

// Results are all results.
var Results = []Result{ResultGood, ResultSlow, ResultError, ResultHung}

// Result is that of a sample; empty while a write hangs that may return in time.
func (s Settings) Result(x Sample) Result {
	switch {
	case x.Latency >= s.UnfitLatency:
		return ResultHung
	case x.Hanging:
		return ""
	case x.Err != nil:
		return ResultError
	case x.Latency >= s.SlowLatency:
		return ResultSlow
	}
	return ResultGood
}

// Settings are the limits of a verdict and the pace of the samples. The zero value
// is not usable; start from [DefaultSettings].
type Settings struct {
	// Subject is what reasons speak of, such as "Health endpoint"; a database without.
	Subject string

	// Interval is the time from the beginning of one write to that of the next.
	Interval time.Duration
	// Timeout ends a write that hangs, so that the next is tried on a new
	// connection.
	Timeout time.Duration

	// A write that takes UnfitLatency or longer makes the component Unhealthy, by
	// itself, and while it still hangs.
	UnfitLatency time.Duration
	// FitLatency is what a write must stay under to count as a sign of recovery.
	FitLatency time.Duration
	// SlowLatency is what a write must reach to count as slow, and SlowExit what it
	// must stay under to count against it. Slow is not unfit: only orders of high
	// risk wait.
	SlowLatency time.Duration
	SlowExit    time.Duration

	// Fall is how many samples in a row it takes for the worse: errors that are not
	// definite, or slow writes.
	Fall int
	// Rise is how many writes in a row it takes for the better.
	Rise int
	// Window is how many of the latest samples are looked at for errors between good
	// writes: where at least half of them, and at least Fall, are errors, the
	// component is Unhealthy. Samples of before the last verdict do not count. 0
	// switches this off.
	Window int
}

// maxWindow is how many samples a Detector remembers.
const maxWindow = 64

// DefaultSettings suit a database on the same network, where a write takes
// milliseconds. Fall and Rise are those of HAProxy. At four writes a second an
// outage with errors is known after 1 s at the latest, one with errors now and then
// after 3 s, and its end after 0.5 s.
func DefaultSettings() Settings {
	return Settings{
		Interval:     250 * time.Millisecond,
		Timeout:      10 * time.Second,
		UnfitLatency: 5 * time.Second,
		FitLatency:   time.Second,
		SlowLatency:  500 * time.Millisecond,
		SlowExit:     250 * time.Millisecond,
		Fall:         3,
		Rise:         2,
		Window:       12,
	}
}

// Validate returns an error that names the first setting that cannot work.
func (s Settings) Validate() error {
	switch {
	case s.Interval <= 0:
		return fmt.Errorf("interval %s must be longer than 0", s.Interval)
	case s.SlowExit < time.Millisecond:
		return fmt.Errorf("slow exit %s must be at least 1ms", s.SlowExit)
	case s.SlowLatency <= s.SlowExit:
		return fmt.Errorf("slow latency %s must be longer than slow exit %s", s.SlowLatency, s.SlowExit)
	case s.FitLatency < s.SlowLatency:
		return fmt.Errorf("fit latency %s must not be shorter than slow latency %s", s.FitLatency, s.SlowLatency)
	case s.UnfitLatency <= s.FitLatency:
		return fmt.Errorf("unfit latency %s must be longer than fit latency %s", s.UnfitLatency, s.FitLatency)
	case s.Timeout < s.UnfitLatency:
		return fmt.Errorf("timeout %s must not be shorter than unfit latency %s", s.Timeout, s.UnfitLatency)
	case s.Fall < 1:
		return fmt.Errorf("fall %d must be at least 1", s.Fall)
	case s.Rise < 1:
		return fmt.Errorf("rise %d must be at least 1", s.Rise)
	case s.Window != 0 && s.Window < s.Fall:
		return fmt.Errorf("window %d must be at least fall %d, or 0 to switch it off", s.Window, s.Fall)
	case s.Window > maxWindow:
		return fmt.Errorf("window %d must be at most %d", s.Window, maxWindow)
	}
	return nil
}
