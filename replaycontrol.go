package ltp

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
)

// MinRate is the lowest rate that an operator may set, in orders per second. What
// is to go slower than one order in ten seconds is to be paused.
const MinRate = 0.1

// ReplayControl is how operators have a component's backlog released. Each setting holds
// until an operator changes it. The zero ReplayControl leaves the release to the pace.
type ReplayControl struct {
	// Paused lets nothing that waits be released; the state stays what it is. Pause says who
	// paused the replay.
	Paused bool        `json:"paused,omitempty"`
	Pause  Attribution `json:"pause,omitzero"`
	// Rate is the most orders released in a second; 0 is the pace's ceiling. Limit says who set
	// the rate.
	Rate  float64     `json:"rate,omitempty"`
	Limit Attribution `json:"limit,omitzero"`
}

// Attribution is who set something, why, and since when.
type Attribution struct {
	By    string    `json:"by"`
	Why   string    `json:"why"`
	Since time.Time `json:"since,omitzero"`
}

// ReplayControlChange is an operator's change of a ReplayControl. What it does not name stays
// as it was, so that two operators do not undo each other's settings.
type ReplayControlChange struct {
	// Paused pauses the release, or resumes it.
	Paused *bool `json:"paused,omitempty"`
	// Rate is the most orders released in a second; 0 leaves it to the pace again.
	Rate *float64 `json:"rate,omitempty"`
	By   string   `json:"by"`
	Why  string   `json:"why"`
}

// Validate returns why the change is impossible while s is in force, and nil where it is
// possible.
func (c ReplayControlChange) Validate(s ReplayControl) error {
	switch {
	case isBlank(c.By) || isBlank(c.Why):
		return errors.New("say who controls the replay and why")
	case c.Paused == nil && c.Rate == nil:
		return errors.New("say what is to change: paused, or the rate")
	case c.Paused != nil && !*c.Paused && !s.Paused:
		return errors.New("the replay is not paused")
	}
	if c.Rate == nil {
		return nil
	}
	return validRate(*c.Rate)
}

func validRate(rate float64) error {
	switch {
	case math.IsNaN(rate) || math.IsInf(rate, 0) || rate < 0:
		return fmt.Errorf("rate %v is none: give the most orders a second, or 0 for no limit", rate)
	case rate > 0 && rate < MinRate:
		return fmt.Errorf("rate %v is below %v orders a second: pause the replay instead", rate, MinRate)
	}
	return nil
}

// Next is the ReplayControl that follows s when c is made at now. It changes neither the
// state of the component nor its epoch.
func (s ReplayControl) Next(c ReplayControlChange, now time.Time) ReplayControl {
	who := Attribution{By: c.By, Why: c.Why, Since: now}
	if c.Paused != nil {
		s.Paused, s.Pause = *c.Paused, Attribution{}
		if s.Paused {
			s.Pause = who
		}
	}
	if c.Rate != nil {
		s.Rate, s.Limit = *c.Rate, Attribution{}
		if s.Rate > 0 {
			s.Limit = who
		}
	}
	return s
}

// String is what c does, as a clause for people: "paused the replay".
func (c ReplayControlChange) String() string {
	rate := ""
	if c.Rate != nil {
		rate = strconv.FormatFloat(*c.Rate, 'f', -1, 64) + " orders/s"
	}
	switch {
	case c.Paused == nil && c.Rate == nil:
		return "changed nothing of the replay"
	case c.Paused == nil && *c.Rate == 0:
		return "lifted the limit of the replay"
	case c.Paused == nil:
		return "limited the replay to " + rate
	}
	done := "resumed the replay"
	if *c.Paused {
		done = "paused the replay"
	}
	switch {
	case c.Rate == nil:
		return done
	case *c.Rate == 0:
		return done + ", without a limit"
	}
	return done + ", at most " + rate
}
