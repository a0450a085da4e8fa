package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/internal/words"
	"github.com/ltp-node/ltp/replay"
	"github.com/ltp-node/ltp/replay/pace"
)

// plannedOrder is one order of a plan.
type plannedOrder struct {
	No      int    `json:"no,omitempty"` // its turn, from 1
	OrderID string `json:"order_id"`
	// Class is its priority: 0 is expedited, ltp.DefaultPriority where it names none.
	Class      int       `json:"class"`
	AcceptedAt time.Time `json:"accepted_at"`
	// AtSeconds is when it is released at the earliest, counted from the beginning of the
	// release, or from now where that is under way.
	AtSeconds float64 `json:"at_seconds"`
}

// plan is what a release would do.
type plan struct {
	Component     string            `json:"component"`
	State         ltp.State         `json:"state"`
	Epoch         int64             `json:"epoch"`
	ReplayControl ltp.ReplayControl `json:"steering,omitzero"`
	Orders        int               `json:"orders"`
	Classes       map[int]int       `json:"classes,omitempty"` // orders by class
	// Limit is the most orders a second, by the pace and the operator, or the rate of a
	// release that is under way; Took is for how long an order is supposed to be on its way.
	Limit       float64 `json:"limit"`
	TookSeconds float64 `json:"took_seconds"`
	// DoneSeconds is when the last order has ended, at the earliest, counted from the
	// beginning; DoneAt is that moment, where a release is under way. NotBefore is when an
	// operator's hold ends, before which none begins.
	DoneSeconds float64        `json:"done_seconds"`
	DoneAt      time.Time      `json:"done_at,omitzero"`
	NotBefore   time.Time      `json:"not_before,omitzero"`
	First       []plannedOrder `json:"first,omitempty"`
	Last        []plannedOrder `json:"last,omitempty"`
	goesOn      bool           // beyond its canaries
}

// ends is how many orders a plan shows from its beginning and from its end.
const ends = 5

func (a *app) replayPlan() *cobra.Command {
	component := ltp.DefaultComponent
	took := replay.Took
	var all bool
	var as format
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show which orders a release would release, in which order and by when; releases nothing",
		Long: `Show which of the waiting orders would be released, in which order, at what rate and by
when, and release nothing. It needs no worker. While the component is unfit it is
the plan for when it recovers.

Times are the earliest: every commit succeeds, and an order takes --took from its release
to its end. A release goes slower when commits fail or take long: ltp replay simulate
plays that. One that is under way goes on at its present rate. GET /orders/{id} shows a
customer the same of one order.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := ltp.ValidComponent(component); err != nil {
				return err
			}
			if took <= 0 {
				return fmt.Errorf("--took %s: give a duration longer than 0", took)
			}
			t, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer t.stop()
			each := func(plannedOrder) error { return nil }
			switch w := cmd.OutOrStdout(); {
			case all && as.JSON():
				each = func(o plannedOrder) error { return printJSONLine(w, o) }
			case all:
				each = func(o plannedOrder) error {
					_, err := fmt.Fprintln(w, o)
					return err
				}
			}
			p, err := readPlan(cmd.Context(), t, component, took, each)
			switch {
			case err != nil:
				return err
			case all && as.JSON():
				return nil
			case as.JSON():
				return printJSON(cmd.OutOrStdout(), p)
			}
			return p.write(cmd.OutOrStdout(), time.Now(), all)
		},
	}
	cmd.Flags().StringVar(&component, "component", component, "the component")
	cmd.Flags().DurationVar(&took, "took", took, "how long an order takes from its release to its end")
	cmd.Flags().BoolVar(&all, "all", false, "print every order, in turn")
	as.flag(cmd, "one object; with --all one order a line, and nothing else")
	return cmd
}

// readPlan reads the plan of everything that waits for a component, and gives each of its
// orders in turn.
func readPlan(ctx context.Context, c client.Client, component string, took time.Duration, each func(plannedOrder) error) (plan, error) {
	r, err := board.Read(ctx, c, component)
	if err != nil {
		return plan{}, err
	}
	run, err := replay.UnderWay(ctx, c, component, r.Epoch)
	if err != nil {
		return plan{}, err
	}
	now := time.Now().UTC()
	outlook := replay.NewOutlook(r, run, took, now)
	p := plan{
		Component: component, State: r.State, Epoch: r.Epoch, ReplayControl: r.ReplayControl, Classes: map[int]int{},
		Limit: pace.Default().Ceiling, TookSeconds: took.Seconds(), NotBefore: outlook.NotBefore,
	}
	if rate := r.ReplayControl.Rate; rate > 0 {
		p.Limit = min(p.Limit, rate)
	}
	if rate := outlook.Pace.Rate(); rate > 0 {
		p.Limit, p.goesOn = rate, true
	}
	err = replay.Plan(ctx, c, component, r.Epoch+1, func(o replay.PlannedOrder) error {
		at := outlook.Pace.At(int64(p.Orders))
		next := plannedOrder{No: p.Orders + 1, OrderID: o.OrderID, Class: o.Priority, AcceptedAt: o.StartedAt, AtSeconds: at.Seconds()}
		p.add(next)
		return each(next)
	})
	ends := outlook.Pace.Ends(int64(p.Orders))
	p.DoneSeconds = ends.Seconds()
	if outlook.GoesOn && p.Orders > 0 {
		p.DoneAt = now.Add(ends)
	}
	return p, err
}

func (p *plan) add(o plannedOrder) {
	p.Orders++
	p.Classes[o.Class]++
	if len(p.First) < ends {
		p.First = append(p.First, o)
		return
	}
	if len(p.Last) == ends {
		p.Last = slices.Delete(p.Last, 0, 1)
	}
	p.Last = append(p.Last, o)
}

// String is a line for people.
func (o plannedOrder) String() string {
	return fmt.Sprintf("%9s  %9s  %-9s  accepted %s UTC  %s",
		"#"+words.Count(o.No), fmt.Sprintf("+%.3f s", o.AtSeconds), className(o.Class), words.Time(o.AcceptedAt), o.OrderID)
}

func className(class int) string {
	if class <= 0 {
		return "expedited"
	}
	return fmt.Sprintf("class %d", class)
}

// write shows the plan to people; the orders have been shown already where all are.
func (p plan) write(w io.Writer, now time.Time, shown bool) error {
	var text []string
	say := func(format string, args ...any) { text = append(text, fmt.Sprintf(format, args...)) }
	if p.Orders == 0 {
		say("%s is %s, epoch %d. No order waits: nothing would be released.", p.Component, p.State, p.Epoch)
		_, err := fmt.Fprintln(w, text[0])
		return err
	}
	if !shown {
		for _, o := range p.First {
			say("%s", o)
		}
		if hidden := p.Orders - len(p.First) - len(p.Last); hidden > 0 {
			say("%9s  %s more: --all prints them", "⋮", words.Count(hidden))
		}
		for _, o := range p.Last {
			say("%s", o)
		}
	}
	say("")
	say("%s is %s, epoch %d. %s would be released, of these:", p.Component, p.State, p.Epoch, words.Plural(p.Orders, "order"))
	for _, class := range slices.Sorted(maps.Keys(p.Classes)) {
		say("  %-9s  %9s", className(class), words.Count(p.Classes[class]))
	}
	rate := fmt.Sprintf("%s canaries, then up to %v", words.Count(min(p.Orders, pace.Default().Canary)), p.Limit)
	if p.goesOn {
		rate = fmt.Sprintf("A release is under way, at %.3g", p.Limit)
	}
	say("%s orders a second, each %v s on its way: done after %s at the earliest.",
		rate, p.TookSeconds, words.Lasted(time.Duration(p.DoneSeconds*float64(time.Second)).Round(time.Second/10)))
	switch {
	case p.ReplayControl.Paused:
		say("PAUSED by %s: %s. Nothing is released until ltp replay resume.", p.ReplayControl.Pause.By, p.ReplayControl.Pause.Why)
	case !p.DoneAt.IsZero():
		say("From now on, that is %s UTC.", p.DoneAt.Format(time.DateTime))
	case !p.NotBefore.IsZero():
		say("Nothing is released while %s is held, until %s UTC at the earliest: the time counts from RECOVERING on.", p.Component, p.NotBefore.UTC().Format(time.DateTime))
	case p.State.Fit():
		say("No release is under way: the time counts from when one begins.")
	default:
		say("Nothing is released while the state is %s: the time counts from RECOVERING on.", p.State)
	}
	say("Nothing was released by this command.")
	for _, line := range text {
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}
