package ltp

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Policy bounds how fast a component may be called fit again. The zero value is
// not usable; start from [DefaultPolicy]. Its JSON has durations such as "2s".
type Policy struct {
	// Dwell is how long a component must be observed fit before it is called
	// RECOVERING.
	Dwell time.Duration
	// MaxDwell caps the dwell, which doubles with every flap within FlapWindow.
	MaxDwell time.Duration
	// FlapWindow is how long a fall into UNSTABLE is remembered.
	FlapWindow time.Duration
	// Grace is how long a component may go unobserved before it is UNKNOWN.
	Grace time.Duration
}

// MaxGrace is the longest grace: with it and the time after which an observer is taken
// for dead, a board still believes the state when it is called UNKNOWN.
const MaxGrace = 15 * time.Second

// DefaultPolicy suits a database whose leader election takes seconds to a minute.
func DefaultPolicy() Policy {
	return Policy{Dwell: 2 * time.Second, MaxDwell: 2 * time.Minute, FlapWindow: 10 * time.Minute, Grace: 10 * time.Second}
}

// Validate returns an error that names the first setting that cannot work.
func (p Policy) Validate() error {
	switch {
	case p.Dwell < 0:
		return fmt.Errorf("dwell %s is negative: give a duration of 0 or more", p.Dwell)
	case p.MaxDwell < p.Dwell:
		return fmt.Errorf("max dwell %s is shorter than dwell %s", p.MaxDwell, p.Dwell)
	case p.FlapWindow <= 0:
		return fmt.Errorf("flap window %s must be longer than 0", p.FlapWindow)
	case p.Grace <= 0:
		return fmt.Errorf("grace %s must be longer than 0", p.Grace)
	case p.Grace > MaxGrace:
		return fmt.Errorf("grace %s is longer than %s: workers stop believing a state of which no observer has been heard for so long", p.Grace, MaxGrace)
	}
	return nil
}

// PolicyChange is an operator's word on the policy of a component. What it does not name
// stays as it was. Its JSON has durations such as "30s".
type PolicyChange struct {
	Dwell, MaxDwell, FlapWindow, Grace *time.Duration

	By, Why string
}

// Empty reports whether the change names no setting.
func (w PolicyChange) Empty() bool {
	return w.Dwell == nil && w.MaxDwell == nil && w.FlapWindow == nil && w.Grace == nil
}

// Validate says what makes the change impossible while p is in force, and nil when nothing
// does.
func (w PolicyChange) Validate(p Policy) error {
	switch {
	case isBlank(w.By) || isBlank(w.Why):
		return errors.New("say who changes the policy and why")
	case w.Empty():
		return errors.New("say what is to change: the dwell, the max dwell, the flap window or the grace")
	}
	return p.Next(w).Validate()
}

// String is what the change says, as a clause for people: "set dwell 30s, grace 5s".
func (w PolicyChange) String() string {
	var all []string
	w.each(&Policy{}, func(name string, to, _ *time.Duration) {
		if to != nil {
			all = append(all, name+" "+short(*to))
		}
	})
	if len(all) == 0 {
		return "changed nothing of the policy"
	}
	return "set " + strings.Join(all, ", ")
}

// each calls do with every setting of the change, nil where it names none, and that of p.
func (w PolicyChange) each(p *Policy, do func(name string, to, now *time.Duration)) {
	do("dwell", w.Dwell, &p.Dwell)
	do("max dwell", w.MaxDwell, &p.MaxDwell)
	do("flap window", w.FlapWindow, &p.FlapWindow)
	do("grace", w.Grace, &p.Grace)
}

// Next is the policy that follows p when w is said.
func (p Policy) Next(w PolicyChange) Policy {
	w.each(&p, func(_ string, to, now *time.Duration) {
		if to != nil {
			*now = *to
		}
	})
	return p
}

// Change is the change that sets all of p.
func (p Policy) Change() PolicyChange {
	return PolicyChange{Dwell: &p.Dwell, MaxDwell: &p.MaxDwell, FlapWindow: &p.FlapWindow, Grace: &p.Grace}
}

// Difference is what became of p in next, for people: "dwell 2s → 30s". It is empty where
// they are the same.
func (p Policy) Difference(next Policy) string {
	var all []string
	next.Change().each(&p, func(name string, to, now *time.Duration) {
		if *to != *now {
			all = append(all, fmt.Sprintf("%s %s → %s", name, short(*now), short(*to)))
		}
	})
	return strings.Join(all, ", ")
}

// String is the whole policy for people: "dwell 2s, max dwell 2m, flap window 10m, grace
// 10s".
func (p Policy) String() string { return strings.TrimPrefix(p.Change().String(), "set ") }

// short is a duration without the units that are 0: "2m" for "2m0s".
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// durationText is a duration as text in JSON.
type durationText time.Duration

func (d durationText) MarshalText() ([]byte, error) { return []byte(short(time.Duration(d))), nil }

func (d *durationText) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = durationText(parsed)
	return err
}

// policyJSON is how a policy, and a change of it, are written.
type policyJSON struct {
	Dwell      *durationText `json:"dwell,omitempty"`
	MaxDwell   *durationText `json:"max_dwell,omitempty"`
	FlapWindow *durationText `json:"flap_window,omitempty"`
	Grace      *durationText `json:"grace,omitempty"`
	By         string        `json:"by,omitempty"`
	Why        string        `json:"why,omitempty"`
}

// MarshalJSON writes durations such as "30s".
func (w PolicyChange) MarshalJSON() ([]byte, error) {
	return json.Marshal(policyJSON{
		(*durationText)(w.Dwell), (*durationText)(w.MaxDwell), (*durationText)(w.FlapWindow), (*durationText)(w.Grace), w.By, w.Why,
	})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (w *PolicyChange) UnmarshalJSON(text []byte) error {
	var j policyJSON
	if err := json.Unmarshal(text, &j); err != nil {
		return fmt.Errorf("the policy: %w", err)
	}
	*w = PolicyChange{
		(*time.Duration)(j.Dwell), (*time.Duration)(j.MaxDwell), (*time.Duration)(j.FlapWindow), (*time.Duration)(j.Grace), j.By, j.Why,
	}
	return nil
}

// MarshalJSON writes durations such as "30s".
func (p Policy) MarshalJSON() ([]byte, error) { return json.Marshal(p.Change()) }

// UnmarshalJSON reads what MarshalJSON writes. What is missing is 0.
func (p *Policy) UnmarshalJSON(text []byte) error {
	var w PolicyChange
	if err := w.UnmarshalJSON(text); err != nil {
		return err
	}
	*p = Policy{}.Next(w)
	return nil
}
