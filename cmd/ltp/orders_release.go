package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/starter"
)

func (a *app) ordersRelease() *cobra.Command {
	var by, why string
	var wait time.Duration
	var as format
	cmd := &cobra.Command{
		Use:   "release ORDER --why WHY",
		Short: "Let one order through a hold, as a canary, while all others wait",
		Long: `Let one order through an operator's hold, as a canary, while all others wait. A hold that
freezes intake is passed, too. What observers see decides: an order that waits for a
component which they call unfit, or which nobody observes, is not let through.

The pass is good for one attempt, and for the epoch that the component is in. Where the
attempt fails, or the state changes before it, the order waits again, and the pass is
spent. An order that was once let through can be cancelled only when the order database
says that it was not written, which takes the end of the hold.

The request needs no worker; a worker carries it out. It prints where the order is then, and
ends with exit status 1 where that is not EXECUTED.`,
		Example: "  ltp orders release A2 --why 'the migration is done: one order first'",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case why == "":
				return errors.New("say why with --why: it is kept in the order's history")
			case by == "":
				return errors.New("say who you are with --by")
			}
			return a.withStarter(cmd, func(s *starter.Starter) error {
				given, err := s.LetThrough(cmd.Context(), args[0], by, why)
				if err != nil {
					return err
				}
				ctx, cancel := context.WithTimeout(cmd.Context(), wait)
				defer cancel()
				st, err := s.AwaitPass(ctx, given)
				if err != nil {
					return err
				}
				if err := as.show(cmd, st, func(w io.Writer) { writeStatus(w, st) }); err != nil {
					return err
				}
				return notPassed(st, ctx.Err() != nil, wait)
			})
		},
	}
	cmd.Flags().StringVar(&by, "by", operator(), "who says so")
	cmd.Flags().StringVar(&why, "why", "", "why (required)")
	cmd.Flags().DurationVar(&wait, "wait", 15*time.Second, "how long to wait for what becomes of it")
	as.flag(cmd, "one object, the same as that of GET /orders/{id}")
	return cmd
}

// notPassed says what became of an order that was let through and not executed.
func notPassed(st starter.Status, late bool, wait time.Duration) error {
	switch {
	case st.State == ltp.Executed:
		return nil
	case st.State.Final():
		return fmt.Errorf("%s is %s", st.OrderID, st.State)
	case late:
		return fmt.Errorf("no worker has taken %s within %s: it goes through when one does, if the component is in this epoch then", st.OrderID, wait)
	}
	return fmt.Errorf("%s was not executed and waits again (%s): its pass is spent, and ltp inspect %s shows the attempt", st.OrderID, st.Reason, st.OrderID)
}
