package trace_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/trace"
)

func TestIncidentsAreChosenByNumber(t *testing.T) {
	o, _ := flicker(0)
	all := trace.Incidents(o) // the start-up, and the outage
	for i, in := range all {
		if in.No != i+1 {
			t.Errorf("incident %d has number %d", i+1, in.No)
		}
	}
	for no, want := range map[int]string{
		0:  "2",
		1:  "1",
		2:  "2",
		3:  "there is no incident 3: there are 1 to 2 (see ltp inspect --incidents)",
		-1: "there is no incident -1: there are 1 to 2 (see ltp inspect --incidents)",
	} {
		in, err := trace.Choose(all, no)
		got := fmt.Sprint(in.No)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("number %d: %s, want %s", no, got, want)
		}
	}
	if in, err := trace.Choose(all[:1], 0); err != nil || !in.StartUp {
		t.Errorf("where there is only a start-up: %+v, %v", in, err)
	}
	var unknown *trace.UnknownIncidentError
	if _, err := trace.Choose(all[:1], 2); !errors.As(err, &unknown) || unknown.Count != 1 {
		t.Errorf("%v", err)
	}
	if _, err := trace.Choose(nil, 1); !errors.Is(err, trace.ErrNoIncident) {
		t.Errorf("where there is none: %v", err)
	}
}

func TestIncidentsAreSummedUp(t *testing.T) {
	o, _ := flicker(0)
	got := trace.Summaries(trace.Incidents(o), day("15:00:00"))
	outage := got[1]
	if outage.No != 2 || outage.Worst != ltp.Unstable || outage.Reason != "DB Write Latency > 5000ms" || outage.DurationMs != 60_000 {
		t.Errorf("%+v", outage)
	}
	if !slices.Equal(outage.States, []ltp.State{ltp.Stable, ltp.Unstable, ltp.Recovering, ltp.Stable}) {
		t.Errorf("%v", outage.States)
	}
	o.Frames = o.Frames[:len(o.Frames)-2] // while it goes on
	got = trace.Summaries(trace.Incidents(o), day("15:00:00"))
	if in := got[1]; !in.EndedAt.IsZero() || in.DurationMs != day("15:00:00").Sub(in.BeganAt).Milliseconds() {
		t.Errorf("%+v", in)
	}
}

func TestWindowIsToldAsOneIncident(t *testing.T) {
	o, orders := flicker(20)
	for name, c := range map[string]struct {
		w      trace.Window
		phases []trace.PhaseName
		total  int
	}{
		"all of it":  {trace.Window{From: day("13:00:00"), To: day("15:00:00")}, []trace.PhaseName{trace.StartUp, trace.Stability, trace.Degradation, trace.DeferralWindow, trace.Recovery, trace.Resolution}, 37},
		"the outage": {trace.Window{From: day("14:30:00"), To: day("14:30:30")}, []trace.PhaseName{trace.Stability, trace.Degradation, trace.DeferralWindow}, 13},
		"a part":     {trace.Window{From: day("14:30:20"), To: day("14:30:30")}, []trace.PhaseName{trace.DeferralWindow}, 4},
		"the end":    {trace.Window{From: day("14:31:02.5")}, []trace.PhaseName{trace.Recovery, trace.Resolution}, 13},
	} {
		t.Run(name, func(t *testing.T) {
			l := trace.NewTimeline(o, o.During(c.w), orders, c.w)
			var names []trace.PhaseName
			for _, p := range l.Phases {
				names = append(names, p.Name)
				if p.Failed {
					t.Errorf("%s has failed", p.Name)
				}
			}
			if !slices.Equal(names, c.phases) {
				t.Errorf("phases %v, want %v", names, c.phases)
			}
			if l.Tally.Total != c.total {
				t.Errorf("%d orders, want %d", l.Tally.Total, c.total)
			}
			d := trace.NewDigest(o, o.During(c.w), c.w)
			for _, order := range orders.Traces {
				d.Add(order)
			}
			if got, want := show(t, d.Timeline()), show(t, l); got != want {
				t.Errorf("digest\n%s\nwant\n%s", got, want)
			}
		})
	}
}
