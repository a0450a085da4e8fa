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

// Steer is an operator's word on how the backlog of a component is released. What it
// does not name stays as it was, so that two operators do not undo each other's word.
type Steer struct {
	// Paused pauses the release, or resumes it.
	Paused *bool `json:"paused,omitempty"`
	// Rate is the most orders released in a second; 0 leaves it to the pace again.
	Rate *float64 `json:"rate,omitempty"`
	By   string   `json:"by"`
	Why  string   `json:"why"`
}

// Validate says what makes the word impossible while s is in force, and nil when
// nothing does.
func (w Steer) Validate(s Steering) error {
	switch {
	case blank(w.By) || blank(w.Why):
		return errors.New("say who steers the replay and why")
	case w.Paused == nil && w.Rate == nil:
		return errors.New("say what is to change: paused, or the rate")
	case w.Paused != nil && !*w.Paused && !s.Paused:
		return errors.New("the replay is not paused")
	}
	if w.Rate == nil {
		return nil
	}
	return validRate(*w.Rate)
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

// Next is the steering that follows s when w is said at now. It changes neither the
// state of the component nor its epoch.
func (s Steering) Next(w Steer, now time.Time) Steering {
	said := Said{By: w.By, Why: w.Why, Since: now}
	if w.Paused != nil {
		s.Paused, s.Pause = *w.Paused, Said{}
		if s.Paused {
			s.Pause = said
		}
	}
	if w.Rate != nil {
		s.Rate, s.Limit = *w.Rate, Said{}
		if s.Rate > 0 {
			s.Limit = said
		}
	}
	return s
}

// String is what w does, as a clause for people: "paused the replay".
func (w Steer) String() string {
	rate := ""
	if w.Rate != nil {
		rate = strconv.FormatFloat(*w.Rate, 'f', -1, 64) + " orders/s"
	}
	switch {
	case w.Paused == nil && w.Rate == nil:
		return "changed nothing of the replay"
	case w.Paused == nil && *w.Rate == 0:
		return "lifted the limit of the replay"
	case w.Paused == nil:
		return "limited the replay to " + rate
	}
	said := "resumed the replay"
	if *w.Paused {
		said = "paused the replay"
	}
	switch {
	case w.Rate == nil:
		return said
	case *w.Rate == 0:
		return said + ", without a limit"
	}
	return said + ", at most " + rate
}
