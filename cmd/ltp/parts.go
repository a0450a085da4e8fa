package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/words"
	"github.com/ltp-node/ltp/node"
	"github.com/ltp-node/ltp/observer"
	"github.com/ltp-node/ltp/orderdb"
	"github.com/ltp-node/ltp/replay/pace"
)

func (a *app) workerCommand() *cobra.Command {
	c := node.Config{Worker: true, Pace: pace.Default()}
	var l listeners
	cmd := &cobra.Command{
		Use:   "worker",
		Short: "Run orders, orientations and replays",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return a.runPart(cmd, c, l, nil) },
	}
	a.componentsFlag(cmd, &c)
	a.ordersDBFlags(cmd, &c, false)
	awaitOrdersFlag(cmd, &c)
	writePathFlags(cmd, &c)
	ordersSQLFlag(cmd, &c.OrdersSQL)
	policyFlags(cmd, &c.Policy)
	backstopFlags(cmd, &c.Backstop)
	listenFlags(cmd, &l)
	l.webhooks.flags(cmd)
	return cmd
}

func (a *app) apiCommand() *cobra.Command {
	var c node.Config
	var l listeners
	cmd := &cobra.Command{
		Use:   "api",
		Short: "Serve the HTTP order API",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return a.runPart(cmd, c, l, nil) },
	}
	a.componentsFlag(cmd, &c)
	apiFlags(cmd, &l)
	orderSchemaFlag(cmd, &c.CheckOrder)
	executionFlags(cmd, &c.Execution)
	l.webhooks.flags(cmd)
	return cmd
}

// runPart runs parts of the node against the Temporal of the environment until it
// is interrupted. Those who wait for them to run may be nil.
func (a *app) runPart(cmd *cobra.Command, c node.Config, l listeners, running func(*node.Node)) error {
	t, err := a.connect(cmd.Context())
	if err != nil {
		return err
	}
	defer t.stop()
	if err := l.open(cmd.Context(), &c, a.log); err != nil {
		return err
	}
	if c.Worker && t.address != "" { // the state directory's Temporal
		if err := a.noteOrders(c.OrdersURL); err != nil {
			return err
		}
	}
	c.Client, c.Namespace, c.Keys, c.Away, c.Log = t.Client, t.namespace, t.keys, t.reach.Away, a.log
	n, err := node.Start(cmd.Context(), c)
	if err != nil {
		return err
	}
	defer n.Stop()
	fmt.Fprintf(cmd.ErrOrStderr(), "ltp %s runs on Temporal namespace %s. Ctrl-C ends it.\n", cmd.Name(), t.namespace)
	if l.api != "" {
		fmt.Fprintln(cmd.ErrOrStderr(), "Order API:", l.apiURL)
	}
	if l.admin != "" {
		fmt.Fprintln(cmd.ErrOrStderr(), "Operators:", l.adminURL)
	}
	if running != nil {
		running(n)
	}
	return a.supervised(cmd.Context(), n, func() error { return t.waitFor(cmd.Context(), n) })
}

func (a *app) componentsFlag(cmd *cobra.Command, c *node.Config) {
	cmd.Flags().StringSliceVar(&c.Components, "component", []string{ltp.DefaultComponent}, "the components that orders may depend on")
}

// before has a check or a default done when the flags of a command have been read.
func before(cmd *cobra.Command, do func() error) {
	pre := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if pre != nil {
			if err := pre(cmd, args); err != nil {
				return err
			}
		}
		return do()
	}
}

// writePathFlags say what is tried of the orders' own way into the order database, and which of
// its errors refuse an order for good.
func writePathFlags(cmd *cobra.Command, c *node.Config) {
	var rejectOn string
	f := cmd.Flags()
	f.DurationVar(&c.WritePathEvery, "write-path-every", node.WritePathEvery, "how often an order of the probe's own is written by the orders' own way and rolled back; triggers on the tables of orders run each time; 0 is never. A worker does the same after an order has failed")
	f.StringVar(&rejectOn, "reject-on", "", "errors of the order database that refuse an order for good, besides those that a trigger raises: constraint:orders_stock_check,sqlstate:LT001")
	before(cmd, func() (err error) {
		if c.WritePathEvery < 0 {
			return errors.New("--write-path-every is negative: give a duration, or 0 for never")
		}
		if c.RejectOn, err = orderdb.ParseRejectOn(rejectOn); err != nil {
			return fmt.Errorf("--reject-on: %w", err)
		}
		return nil
	})
}

// policyFlags change the policy of components where they are given. A running Orientation
// keeps what they do not name.
func policyFlags(cmd *cobra.Command, w *ltp.PolicyChange) {
	policySettings(cmd, w, " (where nothing is known of the component, %s)")
	before(cmd, func() error { return flagged(ltp.DefaultPolicy().Next(*w).Validate()) })
}

// policySettings are the flags of a change of policy. What says the default holds one %s.
func policySettings(cmd *cobra.Command, w *ltp.PolicyChange, what string) {
	p := ltp.DefaultPolicy()
	flag := func(name string, to **time.Duration, usage string, d time.Duration) {
		if what != "" {
			usage += fmt.Sprintf(what, words.Short(d))
		}
		cmd.Flags().Var(givenDuration{to}, name, usage)
	}
	flag("dwell", &w.Dwell, "how long a component must be observed fit before it counts as RECOVERING", p.Dwell)
	flag("max-dwell", &w.MaxDwell, "the longest dwell; it doubles with every flap", p.MaxDwell)
	flag("flap-window", &w.FlapWindow, "how long a fall into UNSTABLE is remembered", p.FlapWindow)
	flag("grace", &w.Grace, "how long a component may go unobserved before it is UNKNOWN", p.Grace)
}

// givenDuration is a flag's duration, nil until it is given.
type givenDuration struct{ to **time.Duration }

func (g givenDuration) Set(text string) error {
	d, err := time.ParseDuration(text)
	*g.to = &d
	return err
}

func (g givenDuration) String() string {
	if g.to == nil || *g.to == nil {
		return ""
	}
	return (*g.to).String()
}

func (g givenDuration) Type() string { return "duration" }

// flagged is an error about a setting with the setting's flag in it.
func flagged(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(strings.NewReplacer(
		"interval", "--interval", "timeout", "--timeout",
		"unfit latency", "--unfit-latency", "fit latency", "--fit-latency",
		"slow latency", "--slow-latency", "slow exit", "--slow-exit",
		"fall ", "--fall ", "rise ", "--rise ",
		"flap window", "--flap-window", "window", "--window",
		"max backstop", "--max-backstop", "the backstop", "--backstop", "backstop", "--backstop",
		"max dwell", "--max-dwell", "dwell", "--dwell", "grace", "--grace",
	).Replace(err.Error()))
}

// backstopFlags say when an order that no signal reaches looks again by itself.
func backstopFlags(cmd *cobra.Command, b *ltp.Backstop) {
	*b = ltp.DefaultBackstop()
	cmd.Flags().DurationVar(&b.First, "backstop", b.First, "how long a deferred order waits for a signal until it looks again by itself")
	cmd.Flags().DurationVar(&b.Most, "max-backstop", b.Most, "the longest such wait; it doubles each time it was needed")
	before(cmd, func() error {
		if *b == (ltp.Backstop{}) {
			return errors.New("--backstop 0s is too short: use at least " + ltp.MinBackstop.String())
		}
		return flagged(b.Validate())
	})
}

// executionFlags name the activity that executes the orders accepted here.
func executionFlags(cmd *cobra.Command, e *ltp.Execution) {
	f := cmd.Flags()
	f.StringVar(&e.Activity, "execute-activity", "", "the name of an activity of yours that executes the orders accepted here, in place of the order database's; an order keeps it")
	f.StringVar(&e.TaskQueue, "execute-task-queue", "", "the task queue on which your workers have that activity")
	f.DurationVar(&e.Timeout, "execute-timeout", 0, "how long one attempt of that activity may take (default "+ltp.DefaultExecuteTimeout.String()+")")
	before(cmd, func() error {
		var invalid *ltp.InvalidError
		if errors.As(e.Validate(), &invalid) {
			return fmt.Errorf("--%s: %s", strings.ReplaceAll(invalid.Field, " ", "-"), invalid.Hint)
		}
		return nil
	})
}

func settingsFlags(cmd *cobra.Command, s *observer.Settings) {
	f := cmd.Flags()
	f.DurationVar(&s.Interval, "interval", s.Interval, "the time between two probes")
	f.DurationVar(&s.Timeout, "timeout", s.Timeout, "when a probe that hangs is given up for a new connection")
	f.DurationVar(&s.UnfitLatency, "unfit-latency", s.UnfitLatency, "a write that takes as long makes the component UNSTABLE")
	f.DurationVar(&s.FitLatency, "fit-latency", s.FitLatency, "writes must stay under this to count as recovery")
	f.DurationVar(&s.SlowLatency, "slow-latency", s.SlowLatency, "writes that take as long make the component DEGRADED")
	f.DurationVar(&s.SlowExit, "slow-exit", s.SlowExit, "writes must stay under this to end DEGRADED")
	f.IntVar(&s.Fall, "fall", s.Fall, "how many samples in a row it takes for the worse")
	f.IntVar(&s.Rise, "rise", s.Rise, "how many samples in a row it takes for the better")
	f.IntVar(&s.Window, "window", s.Window, "of the last so many samples, half being errors makes the component unfit; 0 counts errors in a row alone")
	before(cmd, func() error { return flagged(s.Validate()) })
}
