package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/orderjson"
	"github.com/ltp-node/ltp/starter"
)

func (a *app) ordersCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "orders", Short: "Submit, look up, list, cancel and expedite orders, let one through a hold, retry or reject those that are parked, and erase one that has ended"}
	cmd.AddCommand(a.ordersSubmit(), a.ordersGet(), a.ordersList(), a.ordersCancel(), a.ordersExpedite(), a.ordersRelease(), a.ordersRetry(), a.ordersReject(), a.ordersErase())
	return cmd
}

func (a *app) ordersSubmit() *cobra.Command {
	var file string
	var wait time.Duration
	var by ltp.Execution
	var check func([]byte) error
	var as format
	cmd := &cobra.Command{
		Use:   "submit",
		Short: "Submit one order, as JSON from a file or standard input",
		Example: `  echo '{"id":"A2","customer":"c-17","currency":"USD",
         "lines":[{"sku":"book","quantity":2,"unit_amount_minor":6000}]}' | ltp orders submit`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := readOrder(file, cmd.InOrStdin(), check)
			if err != nil {
				return err
			}
			return a.withStarter(cmd, func(s *starter.Starter) error {
				sub, err := s.Submit(cmd.Context(), o)
				if err != nil {
					return err
				}
				st, err := s.Get(cmd.Context(), sub.OrderID)
				if wait > 0 && err == nil && !st.State.Final() {
					ctx, cancel := context.WithTimeout(cmd.Context(), wait)
					defer cancel()
					st, err = s.Await(ctx, sub)
				}
				if err != nil {
					return err
				}
				return as.show(cmd, st, func(w io.Writer) { writeStatus(w, st) })
			}, starter.WithExecution(by))
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "-", "the order as JSON; - is standard input")
	cmd.Flags().DurationVar(&wait, "wait", time.Second, "how long to wait for a decision")
	as.flag(cmd, "one object, the same as that of GET /orders/{id}")
	executionFlags(cmd, &by)
	orderSchemaFlag(cmd, &check)
	return cmd
}

// readOrder reads the order of a file, as the API reads it of a request.
func readOrder(file string, stdin io.Reader, check func([]byte) error) (ltp.Order, error) {
	in := stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return ltp.Order{}, err
		}
		defer f.Close()
		in = f
	}
	data, err := orderjson.ReadAll(in)
	if err != nil {
		return ltp.Order{}, err
	}
	o, err := orderjson.Read(data)
	if err == nil && check != nil {
		err = check(data)
	}
	return o, err
}

// placeTimeout is for how long a command waits for an order's place in the backlog, without
// which it answers.
const placeTimeout = 2 * time.Second

func (a *app) ordersGet() *cobra.Command {
	var as format
	cmd := &cobra.Command{
		Use:   "get ORDER",
		Short: "Say where an order is; needs no worker",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withStarter(cmd, func(s *starter.Starter) error {
				st, err := s.Get(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				ctx, cancel := context.WithTimeout(cmd.Context(), placeTimeout)
				defer cancel()
				st.Backlog = s.Place(ctx, st)
				return as.show(cmd, st, func(w io.Writer) { writeStatus(w, st) })
			})
		},
	}
	as.flag(cmd, "one object, the same as that of GET /orders/{id}")
	return cmd
}

func (a *app) ordersList() *cobra.Command {
	var filter starter.Filter
	var state, reason, since, until string
	var limit int
	var as format
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List orders, newest first; needs no worker",
		Long: `List orders, newest first; needs no worker.

  REASON      why the order was deferred
  WAITS FOR   a component, its turn (of its ordering key), or an operator
  PRIORITY    its class; - is the usual one, first is what an operator expedited
  ENDED       when it was executed, rejected, cancelled, or expired

With --state PARKED:

  PARKED      since when the order waits for an operator
  FAILURES    how many attempts in a row failed by the order's own fault
  FAILS WITH  what the last of them failed with`,
		Example: "  ltp orders list --state PARKED\n  ltp orders list --customer c-17 --since 2026-11-27T00:00:00Z",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if limit < 1 {
				return errors.New("--limit: give the most orders to list, 1 at least")
			}
			for flag, value := range map[string]string{"customer": filter.Customer, "state": state, "reason": reason, "since": since, "until": until} {
				if value == "" && cmd.Flags().Changed(flag) {
					return fmt.Errorf("--%s is empty: give it a value, or leave it out", flag)
				}
			}
			now := time.Now()
			if filter.Since, err = momentOrNone("--since", since, now); err != nil {
				return err
			}
			if filter.Until, err = momentOrNone("--until", until, now); err != nil {
				return err
			}
			filter.AllTenants = true
			filter.State, filter.Reason, filter.Size = stateOf(state), ltp.Reason(strings.ToUpper(reason)), min(limit, starter.MaxPage)
			return a.withStarter(cmd, func(s *starter.Starter) error {
				list := newOrderList(cmd.OutOrStdout(), filter.State, as.JSON())
				for left := limit; ; {
					page, err := s.List(cmd.Context(), filter)
					if err != nil {
						return flaggedQuery(err)
					}
					shown := page.Orders[:min(left, len(page.Orders))]
					if err := list.add(shown); err != nil {
						return err
					}
					left -= len(shown)
					filter.PageToken = page.NextPageToken
					more := len(shown) < len(page.Orders) || len(filter.PageToken) > 0
					if more && left > 0 {
						continue
					}
					if more {
						fmt.Fprintf(cmd.ErrOrStderr(), "ltp: there are more orders than the %d shown: see --limit\n", limit)
					}
					return list.flush()
				}
			})
		},
	}
	cmd.Flags().StringVar(&state, "state", "", "ACCEPTED, DEFERRED, PARKED, EXECUTED, REJECTED, CANCELLED, EXPIRED or TERMINATED; all without")
	cmd.Flags().StringVar(&filter.Customer, "customer", "", "the customer of the orders, in full")
	cmd.Flags().StringVar(&reason, "reason", "", "what orders wait for: SYSTEM_UNSTABLE, AWAITS_TURN, …")
	cmd.Flags().StringVar(&since, "since", "", "accepted then or later, as 2026-01-31T14:30:00Z or as 90m, 2h, 3d ago")
	cmd.Flags().StringVar(&until, "until", "", "accepted before then")
	cmd.Flags().IntVar(&limit, "limit", 100, "the most orders to list")
	as.flag(cmd, "one object a line")
	return cmd
}

// withStarter runs f on a connection that lasts as long as f.
func (a *app) withStarter(cmd *cobra.Command, f func(*starter.Starter) error, options ...starter.Option) error {
	t, err := a.connect(cmd.Context())
	if err != nil {
		return err
	}
	defer t.stop()
	return f(starter.New(t.Client, append(options, starter.WithKeys(t.keys))...))
}

// waitsFor is what keeps an order, for a table.
func waitsFor(st starter.Status) string {
	switch st.Reason {
	case ltp.ReasonAwaitsTurn:
		return "its turn"
	case ltp.ReasonParked:
		return "an operator"
	}
	return st.Component
}

// class is an order's priority where it is not the usual one.
func class(st starter.Status) string {
	switch {
	case st.Expedited:
		return "first"
	case st.Priority != 0:
		return strconv.Itoa(st.Priority)
	}
	return "-"
}
