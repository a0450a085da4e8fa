package main

import (
	"fmt"
	"io"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/internal/table"
	"github.com/ltp-node/ltp/internal/words"
)

// shownOrientation is what a component's orientation is shown as.
type shownOrientation struct {
	ltp.Orientation
	// Unreadable says that State is UNKNOWN because it cannot be seen.
	Unreadable    bool              `json:"blind,omitempty"`
	ReplayControl ltp.ReplayControl `json:"steering,omitzero"`
	Policy        ltp.Policy        `json:"policy,omitzero"`
	at            time.Time         // when it was read
}

func shownReading(r board.Reading) shownOrientation {
	return shownOrientation{r.Orientation, r.Unreadable, r.ReplayControl, r.Policy, time.Now()}
}

// write shows it to people.
func (o shownOrientation) write(w io.Writer) {
	s := table.NewSheet(w, o.head())
	defer s.Flush() //nolint:errcheck // w is a buffer
	for _, h := range o.Hold.Holds() {
		s.Add("held", "%s", heldBy(h))
	}
	if o.Observed != "" {
		s.Add("observed", "%s", o.Observed)
	}
	if o.Observer != "" {
		s.Add("observer", "%s", o.Observer)
	}
	if o.Evidence.Samples > 0 || o.Evidence.Error != "" {
		s.Add("evidence", "%s", evidenceWords(o.Evidence))
	}
	for _, line := range controlWords(o.ReplayControl, o.at) {
		s.Add("replay", "%s", line)
	}
	if p := o.Policy; p != (ltp.Policy{}) {
		s.Add("policy", "dwell %s, max dwell %s, flap window %s, grace %s", words.Short(p.Dwell), words.Short(p.MaxDwell), words.Short(p.FlapWindow), words.Short(p.Grace))
	}
}

// head is "orders-db is UNSTABLE, epoch 4, since 06:10:11 UTC (12 s ago): why".
func (o shownOrientation) head() string {
	head := fmt.Sprintf("%s is %s, epoch %d", o.Component, o.State, o.Epoch)
	if !o.Since.IsZero() && !o.Unreadable {
		head += ", since " + ago(o.Since, o.at)
	}
	if o.Reason != "" {
		head += ": " + o.Reason
	}
	return head
}

// heldBy is whose hold it is, why, since when and until when.
func heldBy(h ltp.Hold) string {
	said := fmt.Sprintf("by %s, since %s UTC", h.By, words.Time(h.Since))
	if !h.Until.IsZero() {
		said += fmt.Sprintf(", until %s UTC", words.Time(h.Until))
	}
	if h.Freeze {
		said += ", new orders are refused"
	}
	return said + ": " + h.Why
}

// controlWords are what operators say of the replays of a component, each with their own word.
func controlWords(s ltp.ReplayControl, now time.Time) (all []string) {
	say := func(what string, w ltp.Attribution) {
		all = append(all, fmt.Sprintf("%s, by %s, %s: %s", what, w.By, ago(w.Since, now), w.Why))
	}
	if s.Paused {
		say("PAUSED", s.Pause)
	}
	if s.Rate > 0 {
		say(fmt.Sprintf("at most %v orders/s", s.Rate), s.Limit)
	}
	return all
}

// ago is a moment, and how long before now that was.
func ago(t, now time.Time) string {
	when := "just now"
	if past := now.Sub(t).Round(time.Second); past > 0 {
		when = words.Lasted(past) + " ago"
	}
	return fmt.Sprintf("%s UTC (%s)", t.UTC().Format(time.TimeOnly), when)
}
