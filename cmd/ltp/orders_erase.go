package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/erase"
	"github.com/ltp-node/ltp/internal/words"
	"github.com/ltp-node/ltp/orderdb"
)

// erasing is what ltp orders erase is asked for.
type erasing struct {
	by, why string
	db      ordersDB
	yes     bool
	wait    time.Duration
	as      format
}

func (a *app) ordersErase() *cobra.Command {
	var e erasing
	cmd := &cobra.Command{
		Use:   "erase ORDER --why WHY",
		Short: "Erase a customer's data of an order that has ended, from the order database and from Temporal",
		Long: `Erase a customer's data of an order that has ended. It cannot be undone.

In the order database the customer, the attributes, the lines and all texts go, of the row
and of the outbox; id, content hash, amount, receipt and times stay, so that the same order
is still recognised and never written twice. From Temporal every history of the order is
deleted, with its search attributes and memo, those of its webhooks, and those of its
ordering key where nobody stands in line. ltp orders get says afterwards that there is no
such order, and an incident that is exported after that lacks it.

Your own tables (--orders-sql), backups, logs, webhooks that were delivered and traces that
were exported are not reached. The role of --orders-db must own the tables, or have what
the refusal names. It needs no worker, and may be interrupted and run again.`,
		Example: "  ltp orders erase A2 --why 'request 17 of the customer' --orders-db postgres://owner@db1/shop",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id := args[0]
			switch {
			case strings.TrimSpace(e.why) == "":
				return errors.New("say why with --why: it is kept in the order database, so do not name the customer")
			case e.by == "":
				return errors.New("say who you are with --by")
			}
			if err := ltp.ValidID(id); err != nil {
				return err
			}
			if e.db.url == "" {
				url, missing := a.compared()
				if url == "" {
					return fmt.Errorf("where is the row of the order? %s", strings.Replace(missing, giveOrders, "name the order database with --orders-db", 1))
				}
				e.db.url = url
			}
			return a.erase(cmd, id, e)
		},
	}
	e.db.flags(cmd, "the order database that the order was written to: postgres://… or an SQLite file"+ownOrders)
	cmd.Flags().StringVar(&e.by, "by", operator(), "who says so")
	cmd.Flags().StringVar(&e.why, "why", "", "why (required); it is kept, so it must not name the customer")
	e.as.flag(cmd, "what was erased, as one object")
	cmd.Flags().BoolVar(&e.yes, "yes", false, "do it without asking")
	cmd.Flags().DurationVar(&e.wait, "wait", 2*time.Minute, "how long to wait for Temporal to delete")
	return cmd
}

func (a *app) erase(cmd *cobra.Command, id string, e erasing) error {
	ctx, out := cmd.Context(), e.as.notes(cmd)
	db, err := orderdb.Open(ctx, e.db.url, orderdb.WithSchema(e.db.schema))
	if err != nil {
		return err
	}
	defer db.Close()
	if err := db.Check(ctx); err != nil && !orderdb.Denied(err) {
		return err
	}
	t, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer t.stop()
	o, err := erase.Look(ctx, t.Client, t.namespace, id)
	if err != nil {
		return err
	}
	if !e.yes {
		sayWhatGoes(out, o, t.namespace)
		if err := typedID(cmd, out, id); err != nil {
			return err
		}
	}
	rows, elsewhere, err := erase.Rows(ctx, db, o, e.by, e.why)
	switch {
	case errors.Is(err, orderdb.ErrNotFound):
		return fmt.Errorf("there is no order %s: neither namespace %s nor the order database %s has it", id, t.namespace, orderdb.Redact(e.db.url))
	case errors.Is(err, erase.ErrNoRow):
		return fmt.Errorf("order %s was executed, and the order database %s has nothing of it: is it another one? Nothing was erased", id, orderdb.Redact(e.db.url))
	case err != nil:
		return fmt.Errorf("nothing was erased: %w", err)
	}
	if e.yes {
		sayWhatGoes(out, o, t.namespace)
	}
	sayRows(out, o, rows, elsewhere)
	ctx, cancel := context.WithTimeout(ctx, e.wait)
	defer cancel()
	deleted, err := erase.Histories(ctx, t.Client, t.namespace, o)
	if err != nil {
		return fmt.Errorf("the order database is done, and Temporal is not: run it again: %w", err)
	}
	sayHistories(out, o, deleted)
	fmt.Fprintln(out, "Not reached: your own tables (--orders-sql), backups, logs, messages that webhooks have received, and traces that were exported, which hold no customer.")
	if e.as.JSON() {
		return printJSON(cmd.OutOrStdout(), erased{
			OrderID: id, State: o.State, Activity: o.Activity, InOrdersDB: !elsewhere, ErasedAt: rows.At, Outbox: rows.Outbox,
			Orders: deleted.Orders, Deliveries: deleted.Deliveries, Sequences: deleted.Sequences, InLine: deleted.InLine,
		})
	}
	return nil
}

// erased is what ltp orders erase --format json prints.
type erased struct {
	OrderID string         `json:"order_id"`
	State   ltp.OrderState `json:"state,omitempty"` // how it had ended, where Temporal still had it
	// InOrdersDB says that the order database held it; else Activity, of the user's, wrote it.
	InOrdersDB bool      `json:"in_orders_db"`
	Activity   string    `json:"activity,omitempty"`
	ErasedAt   time.Time `json:"erased_at,omitzero"` // for the first time
	Outbox     int64     `json:"outbox_rows"`
	// Orders, Deliveries and Sequences are runs that were deleted from Temporal. InLine says
	// that the run of the ordering key was left, since orders stand in line.
	Orders     int  `json:"order_runs"`
	Deliveries int  `json:"delivery_runs"`
	Sequences  int  `json:"sequence_runs"`
	InLine     bool `json:"in_line,omitempty"`
}

// sayWhatGoes is shown before the question.
func sayWhatGoes(out io.Writer, o erase.Order, namespace string) {
	if o.State == "" {
		fmt.Fprintf(out, "Temporal has nothing of %s in namespace %s: it was erased there, or its retention has passed.\n", o.ID, namespace)
		return
	}
	fmt.Fprintf(out, "%s is %s, accepted %s, ended %s.\n", o.ID, o.State, words.Time(o.AcceptedAt), words.Time(o.EndedAt))
	for _, in := range o.Incidents {
		fmt.Fprintf(out, "It is part of incident %d of %s, whose export will lack it: ltp trace export --component %s --incident %d keeps that first.\n",
			in.No, in.Component, in.Component, in.No)
	}
	if o.Delivering {
		fmt.Fprintln(out, "Messages of it to webhooks are under way, and will be given up: see ltp webhooks list.")
	}
}

// typedID returns nil when the person has typed the order's id.
func typedID(cmd *cobra.Command, out io.Writer, id string) error {
	fmt.Fprint(out, "It cannot be undone. Type the order's id to erase it: ")
	typed, err := line(cmd.Context(), cmd.InOrStdin())
	switch {
	case err != nil:
		fmt.Fprintln(out)
		return fmt.Errorf("not confirmed, nothing was done: %w", err)
	case typed != id:
		return fmt.Errorf("not confirmed, nothing was done: it is %s, and not %q", id, typed)
	}
	return nil
}

func sayRows(out io.Writer, o erase.Order, rows orderdb.Erased, elsewhere bool) {
	if elsewhere {
		fmt.Fprintf(out, "Order database: it has nothing of it. What the activity %s wrote is yours to erase; keep the id, or a repeat is executed again.\n", o.Activity)
		return
	}
	again := ""
	if rows.Before {
		again = ", for the first time at " + words.Time(rows.At)
	}
	switch {
	case rows.Tombstone != "":
		fmt.Fprintf(out, "Order database: erased%s; a tombstone %s stays, with the content hash and no words.\n", again, rows.Tombstone)
	case rows.Row:
		fmt.Fprintf(out, "Order database: erased%s; id, content hash, amount, receipt and times stay.\n", again)
	default:
		fmt.Fprintf(out, "Order database: erased%s; its key stays, and there is no row of it.\n", again)
	}
	if rows.Outbox > 0 {
		fmt.Fprintf(out, "Outbox: deleted %s. A relay that had not handed it on never will.\n", words.Plural(rows.Outbox, "row"))
	}
	if rows.Traces {
		fmt.Fprintln(out, "The SQLite file is in use: its write-ahead log holds the bytes until it is written back. Run it again later.")
	}
}

func sayHistories(out io.Writer, o erase.Order, d erase.Deleted) {
	fmt.Fprintf(out, "Temporal: deleted %s of the order, %s of its webhooks, %s of its ordering key.\n",
		words.Plural(int64(d.Orders), "run"), words.Plural(int64(d.Deliveries), "run"), words.Plural(int64(d.Sequences), "run"))
	if d.InLine {
		fmt.Fprintf(out, "Orders stand in line under the ordering key: %s stays, and is gone when Temporal's retention has passed it.\n", ltp.SequenceWorkflowID(o.OrderingKey))
	}
}
