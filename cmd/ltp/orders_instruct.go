package main

import (
	"context"
	"errors"
	"os/user"

	"github.com/spf13/cobra"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/starter"
)

// operator is who runs this command; empty where nobody can tell.
func operator() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return ""
}

func (a *app) ordersRetry() *cobra.Command {
	i := ltp.Instruction{Do: ltp.DoRetry}
	ask := instructing("retry", "Retry", &i)
	ask.many = func(s *starter.Starter, ctx context.Context, w starter.Selector, limit int, report func(starter.Tally)) (starter.Tally, error) {
		return s.InstructMany(ctx, w, limit, i, report)
	}
	cmd := &cobra.Command{
		Use:   "retry ORDER... | --query QUERY",
		Short: "Have parked orders tried again",
		Long: `Have parked orders tried again: those named, or all that a query finds. A parked order
keeps failing by its own fault while others commit; ltp orders list --state PARKED says with what. One
that goes on failing is parked again. It needs no worker.

` + parkedHelp,
		Example: `  ltp orders retry A2 A3 --why 'the column is wider now'
  ltp orders retry --query "LtpState='PARKED'"
  ltp orders retry --query "StartTime < '2030-01-31T00:00:00Z'" --yes 1500`,
	}
	says(cmd, &i, "why, for whoever reads the order's history")
	return a.many(cmd, ask)
}

const parkedHelp = `A query is one of Temporal's visibility store, such as LtpState='PARKED' for all. It is asked
among parked orders only; StartTime and LtpPriority tell them apart. How many they are is shown before
anything is done, and must be typed, or given with --yes. It may be interrupted and run
again.`

func (a *app) ordersReject() *cobra.Command {
	i := ltp.Instruction{Do: ltp.DoReject}
	ask := instructing("reject", "Rejection", &i)
	cmd := &cobra.Command{
		Use:   "reject ORDER... --why WHY",
		Short: "End parked orders as REJECTED",
		Long: `End parked orders as REJECTED. Their customers read why. An order that turns out to have
been written ends EXECUTED. The request needs no worker; a worker carries it out.`,
		Example: "  ltp orders reject A2 --why 'the article is sold out'",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, ids []string) error {
			if err := ask.check(); err != nil {
				return err
			}
			return a.withStarter(cmd, func(s *starter.Starter) error { return ask.named(cmd, s, ids) })
		},
	}
	ask.as.flag(cmd, "how many were asked, and what came of it, as one object")
	says(cmd, &i, "why (required); the customers of the orders read it")
	return cmd
}

// instructing asks parked orders to do what an operator says.
func instructing(verb, ask string, i *ltp.Instruction) *asking {
	return &asking{
		verb: verb, ask: ask, which: starter.Selector{State: ltp.Parked},
		one: func(s *starter.Starter, ctx context.Context, id string) error { return s.Instruct(ctx, id, *i) },
		check: func() error {
			switch {
			case i.By == "":
				return errors.New("say who you are with --by")
			case i.Do == ltp.DoReject && i.Why == "":
				return errors.New("say why with --why: the customers of the orders read it")
			}
			return i.Validate()
		},
	}
}

func says(cmd *cobra.Command, i *ltp.Instruction, why string) {
	cmd.Flags().StringVar(&i.By, "by", operator(), "who says so")
	cmd.Flags().StringVar(&i.Why, "why", "", why)
}
