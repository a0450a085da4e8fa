package trace_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/trace"
)

// orientation is a trace of states, a minute each; " " begins with what was before.
func orientation(states string) trace.OrientationTrace {
	o := trace.OrientationTrace{Component: "orders-db", BeginsAt: day("12:00:00")}
	at := o.BeginsAt
	for i, s := range strings.Fields(states) {
		held := ltp.Orientation{Component: "orders-db", Since: at, Epoch: int64(i + 1), State: map[string]ltp.State{
			"?": ltp.Unknown, "S": ltp.Stable, "D": ltp.Degraded, "U": ltp.Unstable, "R": ltp.Recovering,
		}[strings.Trim(s, "()")]}
		if strings.HasPrefix(s, "(") {
			o.Before = &held
		} else {
			o.Frames = append(o.Frames, ltp.Frame{
				ID: fmt.Sprintf("orders-db@%d", i+1), Type: ltp.FrameOrientation, At: at, Orientation: &held,
				Source: ltp.Source{RunID: "run-1", EventID: int64(10 * i)},
			})
		}
		at = at.Add(time.Minute)
	}
	return o
}

func TestIncidentsAndTheirPhases(t *testing.T) {
	for states, want := range map[string][]string{
		"":  nil,
		"?": {"start-up 12:00– START_UP"},
		// The start-up counts when nothing else is there.
		"? R S": {"start-up 12:00–12:02 START_UP STABILITY"},
		// One that finds the component unfit is an outage.
		"? U R S": {"incident 12:00–12:03 DEGRADATION DEFERRAL_WINDOW RECOVERY RESOLUTION"},
		"? R S U R S": {
			"start-up 12:00–12:02 START_UP STABILITY",
			"incident 12:03–12:05 STABILITY DEGRADATION DEFERRAL_WINDOW RECOVERY RESOLUTION",
		},
		"? R S D S": {
			"start-up 12:00–12:02 START_UP STABILITY",
			"incident 12:03–12:04 STABILITY DEGRADATION RESOLUTION",
		},
		"? R S D U ? R D S": {
			"start-up 12:00–12:02 START_UP STABILITY",
			"incident 12:03–12:08 STABILITY DEGRADATION DEFERRAL_WINDOW RECOVERY RESOLUTION",
		},
		"? R S U R U R S": {
			"start-up 12:00–12:02 START_UP STABILITY",
			"incident 12:03–12:07 STABILITY DEGRADATION DEFERRAL_WINDOW RECOVERY(failed) DEGRADATION DEFERRAL_WINDOW RECOVERY RESOLUTION",
		},
		"? R S U": {
			"start-up 12:00–12:02 START_UP STABILITY",
			"incident 12:03– STABILITY DEGRADATION DEFERRAL_WINDOW",
		},
		"? R S ? R S U R": {
			"start-up 12:00–12:02 START_UP STABILITY",
			"incident 12:03–12:05 STABILITY DEGRADATION DEFERRAL_WINDOW RECOVERY RESOLUTION",
			"incident 12:06– STABILITY DEGRADATION DEFERRAL_WINDOW RECOVERY",
		},
		// Retention took the beginning.
		"(S)":     nil,
		"(S) U":   {"incident 12:01– STABILITY DEGRADATION DEFERRAL_WINDOW"},
		"(U) R S": {"incident 12:00–12:02 DEFERRAL_WINDOW RECOVERY RESOLUTION"},
		"(R) S":   {"incident 12:00–12:01 RECOVERY RESOLUTION"},
		"(D) U":   {"incident 12:00– DEGRADATION DEFERRAL_WINDOW"},
		"(U)":     {"incident 12:00– DEFERRAL_WINDOW"},
	} {
		o := orientation(states)
		var got []string
		incidents := trace.Incidents(o)
		for _, in := range incidents {
			s := "incident "
			if in.StartUp {
				s = "start-up "
			}
			s += in.BeganAt.Format("15:04–")
			if !in.Open() {
				s += in.EndedAt.Format("15:04")
			}
			l := trace.NewTimeline(o, in, trace.Orders{}, in.Window())
			for _, p := range l.Phases {
				s += " " + string(p.Name)
				if p.Failed {
					s += "(failed)"
				}
			}
			if n := len(l.Frames()); n != len(in.Frames) {
				t.Errorf("%q: %d frames of %d are in the timeline", states, n, len(in.Frames))
			}
			if show(t, l) == "" {
				t.Error("nothing is shown")
			}
			got = append(got, s)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q:\n  %s\nwant\n  %s", states, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
		}
		latest, ok := trace.Latest(incidents)
		if ok != (len(want) > 0) || ok && latest.StartUp && len(want) > 1 {
			t.Errorf("%q: latest is %+v, %t", states, latest, ok)
		}
	}
}

func TestWindowOfAnIncidentEndsWhereAnotherBegins(t *testing.T) {
	o := orientation("? R S U R S U")
	in := trace.Incidents(o)
	w := in[1].Window()
	if !w.From.Equal(day("12:02:30")) || !w.To.Equal(day("12:05:30")) {
		t.Errorf("from %s to %s", w.From, w.To)
	}
	if w := in[2].Window(); !w.From.Equal(day("12:05:30")) || !w.To.IsZero() {
		t.Errorf("of the open one from %s to %s", w.From, w.To)
	}
	for i, f := range []func(time.Time){
		func(at time.Time) { o.Frames[2].At, o.Frames[2].Orientation.Since = at, at },
		func(at time.Time) { o.Frames[6].At = at },
	} {
		f([]time.Time{day("12:02:50"), day("12:05:10")}[i])
	}
	w = trace.Incidents(o)[1].Window()
	if !w.From.Equal(day("12:02:50")) || !w.To.Before(day("12:05:10")) || w.To.Before(day("12:05:09")) {
		t.Errorf("between its neighbours from %s to %s", w.From, w.To)
	}
}
