package trace

import (
	"fmt"
	"io"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/printer"
	"github.com/ltp-node/ltp/internal/words"
)

// IncidentSummary is a line of a list of incidents.
type IncidentSummary struct {
	No        int       `json:"no"`
	Component string    `json:"component"`
	BeganAt   time.Time `json:"began_at"`
	// EndedAt is zero while the incident goes on, and DurationMs then up to now.
	EndedAt    time.Time   `json:"ended_at,omitzero"`
	DurationMs int64       `json:"duration_ms"`
	StartUp    bool        `json:"start_up,omitempty"`
	Restart    bool        `json:"restart,omitempty"`
	States     []ltp.State `json:"states"`
	// Worst is the worst of the states, and Reason why it came to that.
	Worst  ltp.State `json:"worst,omitempty"`
	Reason string    `json:"reason,omitempty"`
}

// Summaries sums incidents up, as of now.
func Summaries(incidents []Incident, now time.Time) []IncidentSummary {
	all := []IncidentSummary{}
	for _, in := range incidents {
		s := IncidentSummary{
			No: in.No, Component: in.Component, BeganAt: in.BeganAt, EndedAt: in.EndedAt, StartUp: in.StartUp, Restart: in.Restart, States: in.States(),
		}
		end := now
		if !in.Open() {
			end = in.EndedAt
		}
		s.DurationMs = end.Sub(in.BeganAt).Milliseconds()
		if worst, ok := in.Worst(); ok {
			s.Worst, s.Reason = worst.State, worst.Reason
		}
		all = append(all, s)
	}
	return all
}

// WriteIncidents lists incidents for people, with the gaps of their orientation. Times
// are UTC.
func WriteIncidents(w io.Writer, component string, incidents []Incident, gaps []Gap, o Options) error {
	p := newWriter(o)
	p.Title(printer.In(printer.Bold, "Incidents of %s", component), printer.Say("oldest first"))
	if len(incidents) == 0 {
		p.Paragraph(0, printer.Say("There was none."))
	}
	for _, in := range incidents {
		p.Space()
		number := fmt.Sprintf("%4d  ", in.No)
		var status printer.Line
		switch {
		case in.Open():
			status = printer.In(printer.Red, "ONGOING")
		case in.StartUp:
			status = printer.Whisper("start-up")
		case in.Restart:
			status = printer.Whisper("restart")
		}
		p.Title(append(printer.In(printer.Bold, "%s", number), p.lasts(in)...), status)
		p.Paragraph(len(number), path(in))
		if worst, ok := in.Worst(); ok && worst.Reason != "" && worst.State != ltp.Stable {
			p.Paragraph(len(number), printer.Say("%s", words.Clean(worst.Reason)))
		}
	}
	p.gaps(gaps)
	return p.writeTo(w)
}
