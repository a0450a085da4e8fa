package trace_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
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

// TestARestartIsNoOutage: what nobody asked a number of is the latest outage, also where the
// observers were restarted after it.
func TestARestartIsNoOutage(t *testing.T) {
	outage := states{"14:00:00", ltp.Stable, "14:30:00", ltp.Unstable, "14:30:45", ltp.Recovering, "14:30:50", ltp.Stable}
	for name, c := range map[string]struct {
		after    states
		latest   int
		restarts []int
	}{
		"a restart":                    {states{"15:00:00", ltp.Unknown, "15:00:01", ltp.Stable}, 1, []int{2}},
		"two restarts":                 {states{"15:00:00", ltp.Unknown, "15:00:01", ltp.Recovering, "15:00:02", ltp.Stable, "15:01:00", ltp.Unknown, "15:01:01", ltp.Stable}, 1, []int{2, 3}},
		"a restart that goes on":       {states{"15:00:00", ltp.Unknown}, 2, nil},
		"nobody observed for a minute": {states{"15:00:00", ltp.Unknown, "15:01:00", ltp.Stable}, 2, nil},
		"a short outage":               {states{"15:00:00", ltp.Unstable, "15:00:01", ltp.Stable}, 2, nil},
		"a restart in a slow database": {states{"15:00:00", ltp.Unknown, "15:00:01", ltp.Degraded, "15:00:20", ltp.Stable}, 2, nil},
		"nothing":                      {nil, 1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			all := trace.Incidents(append(slices.Clone(outage), c.after...).trace())
			in, err := trace.Choose(all, 0)
			if err != nil || in.No != c.latest {
				t.Errorf("incident %d (%v), want %d", in.No, err, c.latest)
			}
			var restarts []int
			for _, s := range trace.Summaries(all, day("16:00:00")) {
				if s.Restart {
					restarts = append(restarts, s.No)
				}
			}
			if !slices.Equal(restarts, c.restarts) {
				t.Errorf("restarts %v, want %v", restarts, c.restarts)
			}
			var list strings.Builder
			if err := trace.WriteIncidents(&list, "orders-db", all, nil, trace.Options{}); err != nil || strings.Count(list.String(), "  restart\n") != len(c.restarts) {
				t.Errorf("%v\n%s", err, list.String())
			}
		})
	}
	only := append(states{"14:00:00", ltp.Stable}, "15:00:00", ltp.Unknown, "15:00:01", ltp.Stable)
	if in, err := trace.Choose(trace.Incidents(only.trace()), 0); err != nil || !in.Restart {
		t.Errorf("where there is only a restart: %+v, %v", in, err)
	}
}

// states are times of day and the states that a component entered then.
type states []any

func (s states) trace() trace.OrientationTrace {
	o := trace.OrientationTrace{Component: "orders-db"}
	for i := 0; i < len(s); i += 2 {
		at := day(s[i].(string))
		o.Frames = append(o.Frames, ltp.Frame{At: at, Orientation: &ltp.Orientation{Component: o.Component, State: s[i+1].(ltp.State), Epoch: int64(i), Since: at}})
	}
	return o
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

func TestAWindowIsReportedAsOneIncident(t *testing.T) {
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
