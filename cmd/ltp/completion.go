package main

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/demo"
	"github.com/ltp-node/ltp/internal/embedded"
	"github.com/ltp-node/ltp/internal/words"
	"github.com/ltp-node/ltp/replay/pace/simulate"
	"github.com/ltp-node/ltp/starter"
	"github.com/ltp-node/ltp/trace"
)

const (
	// completeFor is how long somebody who has pressed Tab waits for Temporal.
	completeFor = 2 * time.Second
	// completedOrders is how many orders are proposed at most, the newest.
	completedOrders = 100
)

// flagWords are what flags of these names take, in every command that has one.
var flagWords = map[string][]string{
	"state": {
		string(ltp.Accepted), string(ltp.Deferred), string(ltp.Parked), string(ltp.Executed), string(ltp.Rejected), string(ltp.Cancelled),
		string(ltp.Expired), string(ltp.Terminated),
	},
	"fault":      demo.FaultNames(),
	"scenario":   append(slices.Clone(simulate.Scenarios), "all"),
	"log-level":  {"debug", "info", "warn", "error"},
	"log-format": {"text", "json"},
}

// completable are the orders that a command is for, among those that wait; a command that is
// not here is for all orders.
var completable = map[string]*starter.Selector{
	"cancel": {}, "retry": {State: ltp.Parked}, "reject": {State: ltp.Parked}, "release": {State: ltp.Deferred}, "expedite": {State: ltp.Deferred},
}

// completeNames has the shell complete what Temporal knows: orders, components, incidents;
// and the words that flags take. Where Temporal does not answer, nothing is proposed, and
// no server is started for it.
func (a *app) completeNames(cmd *cobra.Command) {
	fixed := func(all []string) cobra.CompletionFunc {
		return cobra.FixedCompletions(all, cobra.ShellCompDirectiveNoFileComp)
	}
	for name, all := range flagWords {
		if cmd.LocalFlags().Lookup(name) != nil {
			_ = cmd.RegisterFlagCompletionFunc(name, fixed(all)) // fails for a flag that is not there
		}
	}
	if f := cmd.LocalFlags().Lookup("reason"); f != nil {
		var all []string
		for _, r := range ltp.WaitingReasons() {
			all = append(all, string(r))
		}
		_ = cmd.RegisterFlagCompletionFunc("reason", fixed(all))
	}
	if f := cmd.LocalFlags().Lookup("format"); f != nil {
		if as, ok := f.Value.(*format); ok {
			_ = cmd.RegisterFlagCompletionFunc("format", fixed(as.of))
		}
	}
	if cmd.LocalFlags().Lookup("component") != nil {
		_ = cmd.RegisterFlagCompletionFunc("component", a.completion(components))
	}
	if cmd.LocalFlags().Lookup("incident") != nil {
		_ = cmd.RegisterFlagCompletionFunc("incident", a.completion(incidents))
	}
	switch _, operand, _ := strings.Cut(cmd.Use, " "); {
	case strings.HasPrefix(operand, "ORDER"), strings.HasPrefix(operand, "[ORDER]"):
		cmd.ValidArgsFunction = a.completion(ordersOf(completable[cmd.Name()], strings.HasPrefix(operand, "ORDER...")))
	case strings.HasPrefix(operand, "[COMPONENT]"):
		cmd.ValidArgsFunction = a.completion(components)
	case operand == "":
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	for _, sub := range cmd.Commands() {
		a.completeNames(sub)
	}
}

// proposal is what Temporal has for a word that begins somehow.
type proposal func(ctx context.Context, t *temporal, cmd *cobra.Command, args []string) ([]cobra.Completion, error)

// completion proposes what f finds. A word that holds a comma is a list, of which the last
// part is completed.
func (a *app) completion(f proposal) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		const nothing = cobra.ShellCompDirectiveNoFileComp
		ctx, cancel := context.WithTimeout(cmd.Context(), completeFor)
		defer cancel()
		a.log = slog.New(slog.NewTextHandler(io.Discard, nil)) // a log line in the middle of a prompt helps nobody
		t, err := a.connectTo(ctx, embedded.Options{MustRun: true})
		if err != nil {
			return nil, nothing
		}
		defer t.stop()
		found, err := f(ctx, t, cmd, args)
		if err != nil {
			return nil, nothing
		}
		before := begun[:strings.LastIndexByte(begun, ',')+1]
		var fit []cobra.Completion
		for _, c := range found {
			if strings.HasPrefix(c, begun[len(before):]) {
				fit = append(fit, before+c)
			}
		}
		return fit, nothing | cobra.ShellCompDirectiveKeepOrder
	}
}

func components(ctx context.Context, t *temporal, _ *cobra.Command, args []string) ([]cobra.Completion, error) {
	if len(args) > 0 {
		return nil, nil
	}
	return trace.NewReader(t.Client, t.namespace).Components(ctx)
}

// incidents are those of the component that the command names, the latest first.
func incidents(ctx context.Context, t *temporal, cmd *cobra.Command, _ []string) ([]cobra.Completion, error) {
	component := ltp.DefaultComponent
	if f := cmd.Flags().Lookup("component"); f != nil && f.Value.String() != "" {
		component = f.Value.String()
	}
	o, err := trace.NewReader(t.Client, t.namespace).Orientation(ctx, component)
	if err != nil {
		return nil, err
	}
	var all []cobra.Completion
	for _, s := range slices.Backward(trace.Summaries(trace.Incidents(o), time.Now())) {
		took := words.Lasted(time.Duration(s.DurationMs) * time.Millisecond)
		all = append(all, cobra.CompletionWithDesc(strconv.Itoa(s.No), words.Time(s.BeganAt)+", "+took+" "+kindOf(s)))
	}
	return all, nil
}

// kindOf is what an incident was, in a word.
func kindOf(s trace.IncidentSummary) string {
	switch {
	case s.StartUp:
		return "start-up"
	case s.Restart:
		return "restart"
	}
	return string(s.Worst)
}

// ordersOf are the newest of the orders that wait as which says, or of all where it is nil; a
// command takes one of them or many.
func ordersOf(which *starter.Selector, many bool) proposal {
	return func(ctx context.Context, t *temporal, _ *cobra.Command, args []string) ([]cobra.Completion, error) {
		if len(args) > 0 && !many {
			return nil, nil
		}
		newest, err := newestOrders(ctx, starter.New(t.Client), which)
		if err != nil {
			return nil, err
		}
		var all []cobra.Completion
		for _, st := range newest {
			if !slices.Contains(args, st.OrderID) {
				all = append(all, cobra.CompletionWithDesc(st.OrderID, string(st.State)+", accepted "+words.Time(st.AcceptedAt)))
			}
		}
		return all, nil
	}
}

func newestOrders(ctx context.Context, s *starter.Starter, which *starter.Selector) ([]starter.Status, error) {
	if which != nil {
		return s.Waiting(ctx, *which, completedOrders)
	}
	page, err := s.List(ctx, starter.Filter{AllTenants: true, Size: completedOrders})
	return page.Orders, err
}

// completeFrom completes the arguments of a command with names that are in a file.
func completeFrom(names func() ([]cobra.Completion, error)) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		all, err := names()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return slices.DeleteFunc(all, func(c cobra.Completion) bool {
			name, _, _ := strings.Cut(c, "\t")
			return slices.Contains(args, name)
		}), cobra.ShellCompDirectiveNoFileComp
	}
}
