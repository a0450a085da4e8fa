package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/internal/table"
	"github.com/ltp-node/ltp/internal/words"
	"github.com/ltp-node/ltp/trace"
)

func (a *app) orientationCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "orientation", Short: "Show, hold and release the orientation of a component, and change its policy"}
	cmd.AddCommand(a.orientationGet(), a.orientationHold(), a.orientationRelease(), a.orientationPolicy())
	return cmd
}

func (a *app) orientationGet() *cobra.Command {
	var as format
	cmd := &cobra.Command{
		Use:   "get [COMPONENT]",
		Short: "Show the state of a component or of all, with epoch, holds and policy; needs no worker",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := a.readings(cmd.Context(), args...)
			if err != nil {
				return err
			}
			for _, r := range all {
				now := shownReading(r)
				if as.JSON() {
					err = printJSONLine(cmd.OutOrStdout(), now)
				} else {
					err = as.show(cmd, now, now.write)
				}
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
	as.flag(cmd, "one object a line, for each component")
	return cmd
}

// readings reads the orientations of components from Temporal, without a worker: of all where
// none is named.
func (a *app) readings(ctx context.Context, components ...string) (all []board.Reading, err error) {
	for _, c := range components {
		if err := ltp.ValidComponent(c); err != nil {
			return nil, err
		}
	}
	t, err := a.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer t.stop()
	if len(components) == 0 {
		if components, err = t.components(ctx); err != nil {
			return nil, err
		}
	}
	for _, c := range components {
		r, err := t.orientation(ctx, c)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// orientation reads a component's orientation, without a worker. Where this command has started
// the server, nobody can have observed anything since the server ran last.
func (t *temporal) orientation(ctx context.Context, component string) (board.Reading, error) {
	r, err := board.Read(ctx, t, component)
	if err == nil && t.gone != nil && r.State.Fit() {
		r.State, r.Unreadable = ltp.Unknown, true
		r.Reason = "nobody observes it: neither ltp dev nor a Temporal server ran on the state directory"
	}
	return r, err
}

// components are those that have an orientation, the order database first, which is the one
// where there is none yet.
func (t *temporal) components(ctx context.Context) ([]string, error) {
	known, err := trace.NewReader(t.Client, t.namespace).Components(ctx)
	if err != nil {
		return nil, err
	}
	others := slices.DeleteFunc(slices.Clone(known), func(c string) bool { return c == ltp.DefaultComponent })
	if len(others) == len(known) && len(known) > 0 {
		return others, nil
	}
	return append([]string{ltp.DefaultComponent}, others...), nil
}

func (a *app) orientationHold() *cobra.Command {
	var h ltp.Hold
	var lasts time.Duration
	var until string
	var wait bool
	var orders ordersDB
	var as format
	component := ltp.DefaultComponent
	cmd := &cobra.Command{
		Use:   "hold",
		Short: "Defer every order of a component until it is released",
		Long: `Defer every order of a component until it is released, or until a time. Several operators
may hold it: their holds stand beside each other, each with its own end, and it is held
while one of them lasts. A second hold of the same operator replaces the first.

With --wait it returns when no write of an order is in flight, and shows how many there
are until then. That takes 7 s at least: for so long a worker may go on that had read the
component before it was held. After that the order database says which writes it still
has under way, a prepared transaction among them; whoever wrote them, since it cannot tell
whose they are. It ends with exit status 1 where the hold ends meanwhile. An interrupt ends
the wait and not the hold.

What nobody can see: a worker that was frozen after its reading may send its write when it
thaws, and so may a network that kept one; the order's key decides then, as always. Orders
that an activity of yours executes are written where only you can look.`,
		Example: "  ltp orientation hold --why 'schema migration'\n  ltp orientation hold --wait --why 'schema migration'\n  ltp orientation hold --for 10m --why 'an index is built'\n  ltp orientation hold --until 15:00 --why 'the window of the provider'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if h.Until, err = holdEnds(time.Now(), lasts, until, cmd.Flags().Changed("for")); err != nil {
				return err
			}
			switch {
			case wait && component != ltp.DefaultComponent:
				return fmt.Errorf("--wait counts the writes into the order database, which go on while only %s is held: hold %s", component, ltp.DefaultComponent)
			case !wait && (cmd.Flags().Changed("orders-db") || cmd.Flags().Changed("orders-schema")):
				return errors.New("--orders-db and --orders-schema say where --wait looks: give --wait, or leave them out")
			}
			held, err := a.update(cmd, &as, component, ltp.HoldUpdate, h, h.By, h.Why)
			if err != nil || !wait {
				return err
			}
			return a.drained(cmd, held, h.By, orders)
		},
	}
	whoAndWhy(cmd, &component, &h.By, &h.Why)
	cmd.Flags().BoolVar(&wait, "wait", false, "return when no write of an order is in flight")
	orders.flags(cmd, "the order database, for --wait: postgres://… or an SQLite file"+ownOrders)
	cmd.Flags().BoolVar(&h.Freeze, "freeze", false, "also stop intake: new orders are refused with a clear answer")
	cmd.Flags().DurationVar(&lasts, "for", 0, "end the hold by itself after so long, such as 10m")
	cmd.Flags().StringVar(&until, "until", "", "end it at a time of day here, such as 15:00, or at a time such as 2026-11-05T15:00:00Z")
	as.flag(cmd, "the orientation as one object")
	return cmd
}

// holdEnds is when a hold that begins at now ends by itself, and zero when it does not. A
// time of day is the next one, in the zone of now.
func holdEnds(now time.Time, lasts time.Duration, until string, given bool) (time.Time, error) {
	switch {
	case given && until != "":
		return time.Time{}, errors.New("--for and --until both say when the hold ends: give one of them")
	case given && lasts <= 0:
		return time.Time{}, fmt.Errorf("--for %s is no time: give a duration of more than 0, such as 10m", lasts)
	case given:
		return now.Add(lasts).UTC().Truncate(time.Second), nil
	case until == "":
		return time.Time{}, nil
	}
	for _, layout := range []string{"15:04", "15:04:05"} {
		if t, err := time.Parse(layout, until); err == nil {
			end := time.Date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), t.Second(), 0, now.Location())
			if !end.After(now) {
				end = time.Date(now.Year(), now.Month(), now.Day()+1, t.Hour(), t.Minute(), t.Second(), 0, now.Location())
			}
			return end.UTC(), nil
		}
	}
	end, err := time.Parse(time.RFC3339, until)
	switch {
	case err != nil:
		return time.Time{}, fmt.Errorf("--until %q is no time: give one of day, such as 15:00, or one such as 2026-11-05T15:00:00Z", until)
	case !end.After(now):
		return time.Time{}, fmt.Errorf("--until %s is past", until)
	}
	return end.UTC(), nil
}

func (a *app) orientationRelease() *cobra.Command {
	var r ltp.Release
	var as format
	component := ltp.DefaultComponent
	cmd := &cobra.Command{
		Use:   "release",
		Short: "End a hold; what observers see decides again",
		Long: `End a hold; what observers see decides again. Anybody may end the only hold. Where
several operators hold the component, each ends their own, and --all ends all of them.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := a.update(cmd, &as, component, ltp.ReleaseUpdate, r, r.By, r.Why)
			return err
		},
	}
	whoAndWhy(cmd, &component, &r.By, &r.Why)
	cmd.Flags().BoolVar(&r.All, "all", false, "end the holds of everybody")
	as.flag(cmd, "the orientation as one object")
	return cmd
}

func (a *app) orientationPolicy() *cobra.Command {
	var w ltp.PolicyChange
	var as format
	component := ltp.DefaultComponent
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Show the policy of a component, or change it",
		Long: `Show the policy of a component, which needs no worker, or change what the flags name. A
change is kept in the history and holds at once, also for a dwell that is under way.`,
		Example: "  ltp orientation policy\n  ltp orientation policy --dwell 30s --why 'the cluster flaps'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if w.Empty() {
				all, err := a.readings(cmd.Context(), component)
				if err != nil {
					return err
				}
				return showPolicy(cmd, &as, component, all[0].Policy)
			}
			var now ltp.Policy
			if err := a.sendUpdate(cmd.Context(), component, ltp.PolicyUpdate, w, w.By, w.Why, &now); err != nil {
				return flagged(err)
			}
			return showPolicy(cmd, &as, component, now)
		},
	}
	as.flag(cmd, "the policy as one object")
	whoAndWhy(cmd, &component, &w.By, &w.Why)
	cmd.Flags().Lookup("why").Usage = "why (required with a change)"
	policySettings(cmd, &w, "")
	return cmd
}

func showPolicy(cmd *cobra.Command, as *format, component string, p ltp.Policy) error {
	return as.show(cmd, p, func(w io.Writer) {
		s := table.NewSheet(w, "The policy of "+component)
		defer s.Flush() //nolint:errcheck // w is a buffer
		s.Add("dwell", "%s", words.Short(p.Dwell))
		s.Add("max dwell", "%s", words.Short(p.MaxDwell))
		s.Add("flap window", "%s", words.Short(p.FlapWindow))
		s.Add("grace", "%s", words.Short(p.Grace))
	})
}

func whoAndWhy(cmd *cobra.Command, component, by, why *string) {
	cmd.Flags().StringVar(component, "component", *component, "the component")
	cmd.Flags().StringVar(by, "by", operator(), "who says so")
	cmd.Flags().StringVar(why, "why", "", "why (required)")
}

// update says an operator's word and shows what holds since. It is kept in history; it
// needs a worker.
func (a *app) update(cmd *cobra.Command, as *format, component, name string, word any, by, why string) (now ltp.Orientation, err error) {
	if err := a.sendUpdate(cmd.Context(), component, name, word, by, why, &now); err != nil {
		return now, err
	}
	return now, as.show(cmd, now, shownOrientation{Orientation: now, at: time.Now()}.write)
}

// sendUpdate sends what an operator says as an Update, whose answer is decoded into answer.
func (a *app) sendUpdate(ctx context.Context, component, name string, word any, by, why string, answer any) error {
	switch {
	case strings.TrimSpace(why) == "":
		return errors.New("say why with --why: it is kept in the history for whoever asks later")
	case strings.TrimSpace(by) == "":
		return errors.New("say who you are with --by")
	}
	if err := ltp.ValidComponent(component); err != nil {
		return err
	}
	t, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer t.stop()
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	err = board.SendUpdate(ctx, t, component, name, word, answer)
	if ctx.Err() != nil {
		return fmt.Errorf("no worker processed the update within 15 s (%s of %s): start ltp worker or ltp dev, and repeat the command", name, component)
	}
	return err
}
