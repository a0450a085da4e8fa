package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/audit"
	"github.com/ltp-node/ltp/orderdb"
	"github.com/ltp-node/ltp/trace"
)

// Exit statuses of ltp audit, as of diff: 1 is an answer, 2 is none.
const (
	auditBroken     exitCode = 1
	auditNotChecked exitCode = 2
)

func (a *app) auditCommand() *cobra.Command {
	var s auditScope
	var as format
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Judge an incident: a verdict for every claim, with its evidence",
		Long: `Judge the latest outage of a component, or another incident, by its trace: was no order
lost and none executed twice, was no write begun while unfit, did every order wait
that had to, and does every history decide the same when it is replayed. With
--orders-db, every row of the order database is held against the order that Temporal
has. The one in the state directory is found by itself.

A claim is HELD, BROKEN, or NOT CHECKED with the reason; what is not checked never
counts as held. No worker needs to run, and nothing is changed.

The exit status is 0 if all claims are held, 1 if any is broken, and 2 if none is
broken and not all could be checked, or the audit could not be made at all.`,
		Example: "  ltp audit\n  ltp audit --incident 2 --orders-db postgres://auditor@db1/orders --format json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			found, err := a.audit(cmd, s)
			if err != nil {
				return noAudit(cmd, err)
			}
			out := cmd.OutOrStdout()
			if as.JSON() {
				err = trace.WriteJSON(out, found)
			} else {
				err = audit.Write(out, found, look(out))
			}
			switch {
			case err != nil:
				return noAudit(cmd, err)
			case found.Verdict == audit.Broken:
				return auditBroken
			case found.Verdict != audit.Held:
				return auditNotChecked
			}
			return nil
		},
	}
	cmd.SetFlagErrorFunc(noAudit)
	s.flags(cmd)
	as.flag(cmd, "one object")
	return cmd
}

// noAudit explains an audit that could not be made.
func noAudit(cmd *cobra.Command, err error) error {
	fmt.Fprintln(cmd.ErrOrStderr(), "ltp:", err)
	return auditNotChecked
}

// auditScope are the flags of what to audit.
type auditScope struct {
	component string
	incident  int
	orders    ordersDB
}

func (s *auditScope) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.component, "component", ltp.DefaultComponent, "the component whose incident it is")
	cmd.Flags().IntVar(&s.incident, "incident", 0, "the number of the incident, from 1, oldest first; 0 is the current or latest outage")
	s.orders.flags(cmd, "the order database to compare with: postgres://… or an SQLite file (default orders.db in the state directory, where all orders were written to it)")
}

func (a *app) audit(cmd *cobra.Command, s auditScope) (audit.Audit, error) {
	reader, rows, stop, err := a.evidence(cmd, s)
	if err != nil {
		return audit.Audit{}, err
	}
	defer stop()
	found, err := audit.Run(cmd.Context(), reader, rows)
	return found, s.explain(err)
}

// evidence connects to Temporal and opens the order database. An order database that
// is not named is why a claim is not checked; one that cannot be named is an error.
func (a *app) evidence(cmd *cobra.Command, s auditScope) (*trace.Reader, audit.Scope, func(), error) {
	scope := audit.Scope{Component: s.component, Incident: s.incident, NoRows: giveOrders}
	if err := ltp.ValidComponent(s.component); err != nil {
		return nil, scope, nil, err
	}
	closeRows := func() {}
	openRows := func(url string) error {
		ledger, err := orderdb.OpenLedger(context.WithoutCancel(cmd.Context()), url, orderdb.WithSchema(s.orders.schema))
		if err == nil {
			scope.Rows, closeRows = ledger, func() { _ = ledger.Close() }
		}
		return err
	}
	if s.orders.url != "" {
		if err := openRows(s.orders.url); err != nil {
			return nil, scope, nil, err
		}
	}
	t, err := a.connect(cmd.Context())
	if err != nil {
		closeRows()
		return nil, scope, nil, err
	}
	if s.orders.url == "" && t.address != "" { // the state directory's Temporal
		var own string
		if own, scope.NoRows = a.compared(); own != "" {
			if err := openRows(own); err != nil {
				t.stop()
				return nil, scope, nil, err
			}
		}
	}
	reader := trace.NewReader(t.Client, t.namespace)
	reader.Progress = reading(cmd.ErrOrStderr())
	return reader, scope, func() { t.stop(); closeRows() }, nil
}

// explain says what to do where it is known.
func (s auditScope) explain(err error) error {
	if errors.Is(err, trace.ErrNotFound) {
		return fmt.Errorf("no component %s: start a worker or an observer of it, such as ltp dev", s.component)
	}
	return err
}
