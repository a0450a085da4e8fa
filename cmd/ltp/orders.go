package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/starter"
)

func (a *app) ordersCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "orders", Short: "Submit, look up, list, cancel and expedite orders"}
	cmd.AddCommand(a.ordersSubmit(), a.ordersGet(), a.ordersList(), a.ordersCancel(), a.ordersExpedite())
	return cmd
}

func (a *app) ordersSubmit() *cobra.Command {
	var file string
	var wait time.Duration
	var by ltp.Execution
	cmd := &cobra.Command{
		Use:   "submit",
		Short: "Submit one order, as JSON from a file or standard input",
		Example: `  echo '{"id":"A2","customer":"c-17","currency":"USD",
         "lines":[{"sku":"book","quantity":2,"unit_amount_minor":6000}]}' | ltp orders submit`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := readOrder(file, cmd.InOrStdin())
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
				return printJSON(cmd.OutOrStdout(), st)
			}, starter.WithExecution(by))
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "-", "the order as JSON; - is standard input")
	cmd.Flags().DurationVar(&wait, "wait", time.Second, "how long to wait for a decision")
	executionFlags(cmd, &by)
	return cmd
}

func readOrder(file string, stdin io.Reader) (ltp.Order, error) {
	in := stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return ltp.Order{}, err
		}
		defer f.Close()
		in = f
	}
	var o ltp.Order
	d := json.NewDecoder(io.LimitReader(in, 64<<10))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		return o, fmt.Errorf("the order is not the JSON of an order: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return o, errors.New("something follows the order: submit one order at a time, of 64 KiB at most")
	}
	return o, nil
}

func (a *app) ordersGet() *cobra.Command {
	return &cobra.Command{
		Use:   "get ORDER",
		Short: "Say where an order is; needs no worker",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withStarter(cmd, func(s *starter.Starter) error {
				st, err := s.Get(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return printJSON(cmd.OutOrStdout(), st)
			})
		},
	}
}

func (a *app) ordersList() *cobra.Command {
	var state string
	var limit int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List orders, newest first; needs no worker",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withStarter(cmd, func(s *starter.Starter) error {
				filter := starter.Filter{State: ltp.OrderState(state), Size: min(limit, starter.MaxPage)}
				table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
				if !asJSON {
					fmt.Fprintln(table, "ORDER\tSTATE\tREASON\tWAITS FOR\tPRIORITY\tACCEPTED\tENDED")
				}
				for left := limit; left > 0; {
					page, err := s.List(cmd.Context(), filter)
					if err != nil {
						return err
					}
					for _, st := range page.Orders[:min(left, len(page.Orders))] {
						left--
						if asJSON {
							if err := json.NewEncoder(cmd.OutOrStdout()).Encode(st); err != nil {
								return err
							}
							continue
						}
						fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", st.OrderID, st.State, st.Reason, waitsFor(st), class(st), clock(st.AcceptedAt), clock(st.EndedAt))
					}
					if filter.PageToken = page.NextPageToken; len(filter.PageToken) == 0 {
						break
					}
				}
				return table.Flush()
			})
		},
	}
	cmd.Flags().StringVar(&state, "state", "", "ACCEPTED, DEFERRED, EXECUTED, REJECTED, CANCELLED, EXPIRED or TERMINATED; all without")
	cmd.Flags().IntVar(&limit, "limit", 100, "the most orders to list")
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line")
	return cmd
}

// withStarter runs f on a connection that lasts as long as f.
func (a *app) withStarter(cmd *cobra.Command, f func(*starter.Starter) error, options ...starter.Option) error {
	t, err := a.connect(cmd.Context())
	if err != nil {
		return err
	}
	defer t.stop()
	return f(starter.New(t.Client, options...))
}

// waitsFor is what keeps an order, for a table.
func waitsFor(st starter.Status) string {
	if st.Reason == ltp.ReasonAwaitsTurn {
		return "its turn"
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

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// clock is a time as tables show it.
func clock(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05.000")
}
