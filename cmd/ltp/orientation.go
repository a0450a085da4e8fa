package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
)

func (a *app) orientationCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "orientation", Short: "Show, hold and release the orientation of a component, and change its policy"}
	cmd.AddCommand(a.orientationGet(), a.orientationHold(), a.orientationRelease(), a.orientationPolicy())
	return cmd
}

func (a *app) orientationGet() *cobra.Command {
	return &cobra.Command{
		Use:   "get [COMPONENT]",
		Short: "Show the state of a component, its epoch, holds and policy; needs no worker",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			component := ltp.DefaultComponent
			if len(args) == 1 {
				component = args[0]
			}
			r, err := a.reading(cmd.Context(), component)
			if err != nil {
				return err
			}
			return printJSON(cmd.OutOrStdout(), struct {
				ltp.Orientation
				Steering ltp.Steering `json:"steering,omitzero"`
				Policy   ltp.Policy   `json:"policy,omitzero"`
			}{r.Orientation, r.Steering, r.Policy})
		},
	}
}

// reading reads the orientation of a component from Temporal, without a worker.
func (a *app) reading(ctx context.Context, component string) (board.Reading, error) {
	if err := ltp.ValidComponent(component); err != nil {
		return board.Reading{}, err
	}
	t, err := a.connect(ctx)
	if err != nil {
		return board.Reading{}, err
	}
	defer t.stop()
	return board.Read(ctx, t, component)
}

func (a *app) orientationHold() *cobra.Command {
	var h ltp.Hold
	var lasts time.Duration
	var until string
	var wait bool
	var orders ordersDB
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
			held, err := a.update(cmd, component, ltp.HoldUpdate, h, h.By, h.Why)
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
	component := ltp.DefaultComponent
	cmd := &cobra.Command{
		Use:   "release",
		Short: "End a hold; what observers see decides again",
		Long: `End a hold; what observers see decides again. Anybody may end the only hold. Where
several operators hold the component, each ends their own, and --all ends all of them.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := a.update(cmd, component, ltp.ReleaseUpdate, r, r.By, r.Why)
			return err
		},
	}
	whoAndWhy(cmd, &component, &r.By, &r.Why)
	cmd.Flags().BoolVar(&r.All, "all", false, "end the holds of everybody")
	return cmd
}

func (a *app) orientationPolicy() *cobra.Command {
	var w ltp.PolicyChange
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
				return a.showPolicy(cmd, component)
			}
			var now ltp.Policy
			if err := a.tell(cmd.Context(), component, ltp.PolicyUpdate, w, w.By, w.Why, &now); err != nil {
				return flagged(err)
			}
			return printJSON(cmd.OutOrStdout(), now)
		},
	}
	whoAndWhy(cmd, &component, &w.By, &w.Why)
	cmd.Flags().Lookup("why").Usage = "why (required with a change)"
	policySettings(cmd, &w, "")
	return cmd
}

func (a *app) showPolicy(cmd *cobra.Command, component string) error {
	r, err := a.reading(cmd.Context(), component)
	if err != nil {
		return err
	}
	return printJSON(cmd.OutOrStdout(), r.Policy)
}

func whoAndWhy(cmd *cobra.Command, component, by, why *string) {
	cmd.Flags().StringVar(component, "component", *component, "the component")
	cmd.Flags().StringVar(by, "by", operator(), "who says so")
	cmd.Flags().StringVar(why, "why", "", "why (required)")
}

// update says an operator's word and shows what holds since. It is kept in history; it
// needs a worker.
func (a *app) update(cmd *cobra.Command, component, name string, word any, by, why string) (now ltp.Orientation, err error) {
	if err := a.tell(cmd.Context(), component, name, word, by, why, &now); err != nil {
		return now, err
	}
	return now, printJSON(cmd.OutOrStdout(), now)
}

// tell says an operator's word, whose answer is decoded into answer.
func (a *app) tell(ctx context.Context, component, name string, word any, by, why string, answer any) error {
	switch {
	case why == "":
		return errors.New("say why with --why: it is kept in the history for whoever asks later")
	case by == "":
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
