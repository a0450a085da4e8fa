package main

import (
	"context"
	"errors"
	"fmt"
	"os/user"
	"time"

	"github.com/spf13/cobra"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
)

func (a *app) orientationCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "orientation", Short: "Tell, hold and release the orientation of a component"}
	cmd.AddCommand(a.orientationGet(), a.orientationHold(), a.orientationRelease())
	return cmd
}

func (a *app) orientationGet() *cobra.Command {
	return &cobra.Command{
		Use:   "get [COMPONENT]",
		Short: "Tell what is held true of a component; needs no worker",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			component := ltp.DefaultComponent
			if len(args) == 1 {
				component = args[0]
			}
			if err := ltp.ValidComponent(component); err != nil {
				return err
			}
			t, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer t.stop()
			r, err := board.Read(cmd.Context(), t, component)
			if err != nil {
				return err
			}
			return printJSON(cmd.OutOrStdout(), struct {
				ltp.Orientation
				Steering ltp.Steering `json:"steering,omitzero"`
			}{r.Orientation, r.Steering})
		},
	}
}

func (a *app) orientationHold() *cobra.Command {
	var h ltp.Hold
	component := ltp.DefaultComponent
	cmd := &cobra.Command{
		Use:     "hold",
		Short:   "Defer every order of a component until it is released",
		Example: "  ltp orientation hold --why 'schema migration'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.update(cmd, component, ltp.HoldUpdate, h, h.By, h.Why)
		},
	}
	whoAndWhy(cmd, &component, &h.By, &h.Why)
	cmd.Flags().BoolVar(&h.Freeze, "freeze", false, "also stop intake: new orders are refused with a clear answer")
	return cmd
}

func (a *app) orientationRelease() *cobra.Command {
	var r ltp.Release
	component := ltp.DefaultComponent
	cmd := &cobra.Command{
		Use:   "release",
		Short: "End a hold; what observers see decides again",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.update(cmd, component, ltp.ReleaseUpdate, r, r.By, r.Why)
		},
	}
	whoAndWhy(cmd, &component, &r.By, &r.Why)
	return cmd
}

func whoAndWhy(cmd *cobra.Command, component, by, why *string) {
	who := ""
	if u, err := user.Current(); err == nil {
		who = u.Username
	}
	cmd.Flags().StringVar(component, "component", *component, "the component")
	cmd.Flags().StringVar(by, "by", who, "who says so")
	cmd.Flags().StringVar(why, "why", "", "why (required)")
}

// update says an operator's word and shows what holds since. It is kept in history; it
// needs a worker.
func (a *app) update(cmd *cobra.Command, component, name string, word any, by, why string) error {
	var now ltp.Orientation
	if err := a.tell(cmd.Context(), component, name, word, by, why, &now); err != nil {
		return err
	}
	return printJSON(cmd.OutOrStdout(), now)
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
		return fmt.Errorf("no worker took the word within 15 s: start ltp worker or ltp dev and say it again (%s of %s)", name, component)
	}
	return err
}
