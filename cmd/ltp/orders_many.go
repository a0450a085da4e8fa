package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/terminal"
	"github.com/ltp-node/ltp/internal/words"
	"github.com/ltp-node/ltp/starter"
)

// asking is a command that asks something of one order or of many.
type asking struct {
	// verb is what is asked, and ask begins the sentence that says so: "Cancellation of
	// 12 orders requested".
	verb, ask string
	// check says what is wrong with the words that go with it; it may be nil.
	check func() error
	which starter.Selector
	yes   int
	as    format
	one   func(*starter.Starter, context.Context, string) error
	many  func(*starter.Starter, context.Context, starter.Selector, int, func(starter.Tally)) (starter.Tally, error)
}

func (a *app) ordersCancel() *cobra.Command {
	ask := &asking{verb: "cancel", ask: "Cancellation", one: (*starter.Starter).Cancel, many: (*starter.Starter).CancelMany}
	cmd := &cobra.Command{
		Use:   "cancel ORDER... | --query QUERY",
		Short: "Cancel orders that still wait",
		Long: `Cancel orders that still wait: those named, or all that a query finds. An order whose
write may have happened already is finished, and ends EXECUTED.

` + manyHelp,
		Example: `  ltp orders cancel A2
  ltp orders cancel --query "LtpReason='SYSTEM_UNSTABLE' AND StartTime < '2030-01-31T00:00:00Z'"
  ltp orders cancel --component payments --yes 1500`,
	}
	cmd.Flags().StringVar((*string)(&ask.which.State), "state", "", "ACCEPTED, DEFERRED or PARKED; all of them without")
	cmd.Flags().StringVar(&ask.which.Component, "component", "", componentFlag)
	return a.many(cmd, ask)
}

func (a *app) ordersExpedite() *cobra.Command {
	ask := &asking{verb: "expedite", ask: "Expediting", one: (*starter.Starter).Expedite, many: (*starter.Starter).ExpediteMany}
	ask.which.State = ltp.Deferred
	cmd := &cobra.Command{
		Use:   "expedite ORDER... | --query QUERY",
		Short: "Have deferred orders released before all others",
		Long: `Have deferred orders released before all others: those named, or all that a query
finds. It overrides neither the state of the component nor an ordering key.

` + manyHelp,
		Example: `  ltp orders expedite A2 A3
  ltp orders expedite --query "LtpPriority=1"`,
	}
	cmd.Flags().StringVar(&ask.which.Component, "component", "", componentFlag)
	return a.many(cmd, ask)
}

const componentFlag = "all deferred orders that wait for this component"

const manyHelp = `A query is one of Temporal's visibility store. It is asked among waiting orders only,
which are those of a running Order workflow; LtpState, LtpReason, LtpComponent, LtpEpoch,
LtpPriority and StartTime are what there is to ask for. How many they are is shown before
anything is done, and must be typed, or given with --yes. Orders that are accepted after
that are left alone. It may be interrupted and run again.`

// many completes a command that asks something of orders.
func (a *app) many(cmd *cobra.Command, ask *asking) *cobra.Command {
	f := cmd.Flags()
	f.StringVar(&ask.which.Query, "query", "", "all waiting orders that this visibility query finds")
	ask.as.flag(cmd, "how many were asked, and what came of it, as one object")
	f.IntVar(&ask.yes, "yes", 0, "the number of orders that you expect, within 1 %; does it without asking then")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ask.which.State = stateOf(string(ask.which.State))
		chosen := ask.which.Query != "" || ask.which.Component != "" || f.Changed("state")
		switch {
		case chosen && len(args) > 0:
			return errors.New("name orders, or give a query: not both")
		case !chosen && len(args) == 0:
			return errors.New("name an order, or give a query with --query")
		case !chosen && f.Changed("yes"):
			return errors.New("--yes confirms how many a query finds: there is none")
		case f.Changed("yes") && ask.yes < 1:
			return errors.New("--yes: give the number of orders that you mean")
		}
		if ask.check != nil {
			if err := ask.check(); err != nil {
				return err
			}
		}
		return a.withStarter(cmd, func(s *starter.Starter) error {
			if !chosen {
				return ask.named(cmd, s, args)
			}
			return ask.found(cmd, s)
		})
	}
	return cmd
}

// named asks the orders that were named.
func (q *asking) named(cmd *cobra.Command, s *starter.Starter, ids []string) error {
	t := starter.Tally{Asked: len(ids)}
	for _, id := range ids {
		switch err := q.one(s, cmd.Context(), id); {
		case err == nil:
			t.Done++
			if !q.as.JSON() {
				fmt.Fprintf(cmd.OutOrStdout(), "%s of %s requested. ltp orders get %s shows how it goes on.\n", q.ask, id, id)
			}
		case len(ids) == 1:
			return err
		default:
			t.Failed++
			t.Failures = append(t.Failures, id+": "+err.Error())
			fmt.Fprintf(cmd.ErrOrStderr(), "ltp: %s: %v\n", id, err)
		}
	}
	if q.as.JSON() {
		if err := printJSON(cmd.OutOrStdout(), t); err != nil {
			return err
		}
	}
	if t.Failed > 0 {
		return fmt.Errorf("%d of %s could not be asked", t.Failed, words.Plural(len(ids), "order"))
	}
	return nil
}

// kind is what orders are asked.
func (q *asking) kind() string {
	if q.which.State == ltp.Parked {
		return "parked"
	}
	return "waiting"
}

// shownFew is how many orders are shown before the question.
const shownFew = 5

// found asks all orders that the query finds, after the person has said how many.
func (q *asking) found(cmd *cobra.Command, s *starter.Starter) error {
	ctx := cmd.Context()
	q.which.Before = time.Now()
	n, err := s.CountWaiting(ctx, q.which)
	if err != nil {
		return flaggedQuery(err)
	}
	if n == 0 {
		return q.as.show(cmd, starter.Tally{}, func(w io.Writer) { fmt.Fprintf(w, "No %s order matches.\n", q.kind()) })
	}
	if err := q.confirmed(cmd, s, n); err != nil {
		return err
	}
	progress := progressOn(cmd.ErrOrStderr(), n)
	t, err := q.many(s, ctx, q.which, n+tolerated(n), progress)
	if progress != nil {
		fmt.Fprintln(cmd.ErrOrStderr())
	}
	if err := q.as.show(cmd, t, func(w io.Writer) { q.report(w, t) }); err != nil {
		return err
	}
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("interrupted after %d of about %s: run it again for the rest", t.Asked, words.Plural(n, "order"))
	case errors.Is(err, starter.ErrMore):
		return fmt.Errorf("more orders match by now than the %d that you confirmed: run it again for the rest", n)
	case err != nil:
		return flaggedQuery(err)
	case t.Failed > 0:
		return fmt.Errorf("%d of %s could not be asked: run it again for them", t.Failed, words.Plural(t.Asked, "order"))
	}
	return nil
}

// tolerated is by how many orders a count may be off: listings are late.
func tolerated(n int) int { return n / 100 }

// confirmed returns nil when the person has said how many orders are meant.
func (q *asking) confirmed(cmd *cobra.Command, s *starter.Starter, n int) error {
	if q.yes > 0 {
		if off := max(n-q.yes, q.yes-n); off > tolerated(q.yes) {
			return fmt.Errorf("%d orders match, and not %d: look again, and give --yes %d if that is what you mean", n, q.yes, n)
		}
		return nil
	}
	out := q.as.notes(cmd)
	some, err := s.Waiting(cmd.Context(), q.which, shownFew)
	if err != nil {
		return flaggedQuery(err)
	}
	fmt.Fprintf(out, "%s match, the latest of them:\n", words.Plural(n, "order"))
	for _, st := range some {
		fmt.Fprintf(out, "  %s  %s  %s  accepted %s\n", st.OrderID, st.State, whyOf(st), words.Time(st.AcceptedAt))
	}
	fmt.Fprintf(out, "Type their number to %s all of them: ", q.verb)
	typed, err := line(cmd.Context(), cmd.InOrStdin())
	if err != nil {
		fmt.Fprintln(out)
		return fmt.Errorf("not confirmed, nothing was done: %w", err)
	}
	if typed != strconv.Itoa(n) {
		return fmt.Errorf("not confirmed, nothing was done: it is %d, and not %q", n, typed)
	}
	return nil
}

// line reads a line, or ends with ctx.
func line(ctx context.Context, in io.Reader) (string, error) {
	type answer struct {
		typed string
		err   error
	}
	read := make(chan answer, 1)
	go func() {
		typed, err := bufio.NewReader(in).ReadString('\n')
		if typed != "" && errors.Is(err, io.EOF) {
			err = nil
		}
		read <- answer{strings.TrimSpace(typed), err}
	}()
	select {
	case a := <-read:
		if errors.Is(a.err, io.EOF) {
			return "", errors.New("nobody answered; --yes confirms without a question")
		}
		return a.typed, a.err
	case <-ctx.Done():
		return "", errors.New("interrupted")
	}
}

// progressOn shows how far it is, on a terminal only: nil elsewhere.
func progressOn(w io.Writer, n int) func(starter.Tally) {
	if !terminal.Is(w) {
		return nil
	}
	return func(t starter.Tally) {
		fmt.Fprintf(w, "\r  %s  %s of %s\x1b[K", bar(t.Asked, max(n, 1), 40), words.Count(t.Asked), words.Count(n))
	}
}

func (q *asking) report(out io.Writer, t starter.Tally) {
	fmt.Fprintf(out, "%s of %s requested: %s asked, %s done, %s had ended already, %s failed.\n",
		q.ask, words.Plural(t.Done, "order"), words.Count(t.Asked), words.Count(t.Done), words.Count(t.Ended), words.Count(t.Failed))
	for _, why := range t.Failures {
		fmt.Fprintln(out, "  "+why)
	}
}

// flaggedQuery is an error about a query or a state with its flag in it.
func flaggedQuery(err error) error {
	var invalid *ltp.InvalidError
	if errors.As(err, &invalid) {
		return fmt.Errorf("--%s: %s", invalid.Field, invalid.Hint)
	}
	return err
}
