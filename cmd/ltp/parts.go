package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/api"
	"github.com/ltp-node/ltp/node"
	"github.com/ltp-node/ltp/observer"
	"github.com/ltp-node/ltp/replay/pace"
	"github.com/ltp-node/ltp/starter"
)

// setupCommand registers what a namespace must know.
func (a *app) setupCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "setup",
		Short: "Register the search attributes of orders in your Temporal namespace",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer t.stop()
			added, err := starter.Setup(cmd.Context(), t, t.namespace)
			if err != nil {
				return err
			}
			slices.Sort(added)
			if len(added) == 0 {
				fmt.Fprintf(cmd.OutOrStdout(), "Namespace %s has all search attributes already.\n", t.namespace)
				return nil
			}
			fmt.Fprintf(cmd.OutOrStdout(), "Registered in namespace %s: %v\n", t.namespace, added)
			return nil
		},
	}
}

func (a *app) workerCommand() *cobra.Command {
	c := node.Config{Worker: true, Policy: ltp.DefaultPolicy(), Pace: pace.Default()}
	var l listeners
	cmd := &cobra.Command{
		Use:   "worker",
		Short: "Run orders, orientations and replays",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return a.runPart(cmd, c, l, nil) },
	}
	a.componentsFlag(cmd, &c)
	a.ordersDBFlag(cmd, &c)
	policyFlags(cmd, &c.Policy)
	backstopFlags(cmd, &c.Backstop)
	metricsFlag(cmd, &l)
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
	apiFlag(cmd, &l.api)
	executionFlags(cmd, &c.Execution)
	return cmd
}

// listeners are where a part listens; an empty address is nowhere.
type listeners struct{ api, metrics string }

func (l listeners) open(c *node.Config) (err error) {
	if l.api != "" {
		if c.Listen, err = api.Listen(l.api); err != nil {
			return err
		}
	}
	if l.metrics != "" {
		c.MetricsListen, err = api.Listen(l.metrics)
	}
	return err
}

// runPart runs parts of the node against the Temporal of the environment until it
// is interrupted. Those who wait for them to run may be nil.
func (a *app) runPart(cmd *cobra.Command, c node.Config, l listeners, running func(*node.Node)) error {
	t, err := a.connect(cmd.Context())
	if err != nil {
		return err
	}
	defer t.stop()
	if err := l.open(&c); err != nil {
		return err
	}
	c.Client, c.Namespace, c.Log = t.Client, t.namespace, a.log
	n, err := node.Start(cmd.Context(), c)
	if err != nil {
		return err
	}
	defer n.Stop()
	fmt.Fprintf(cmd.ErrOrStderr(), "ltp %s runs on Temporal namespace %s. Ctrl-C ends it.\n", cmd.Name(), t.namespace)
	if c.Listen != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "Order API: http://%s\n", c.Listen.Addr())
	}
	if running != nil {
		running(n)
	}
	return t.waitFor(cmd.Context(), n)
}

func (a *app) componentsFlag(cmd *cobra.Command, c *node.Config) {
	cmd.Flags().StringSliceVar(&c.Components, "component", []string{ltp.DefaultComponent}, "the components that orders may depend on")
}

func (a *app) ordersDBFlag(cmd *cobra.Command, c *node.Config) {
	cmd.Flags().StringVar(&c.OrdersURL, "orders-db", "", "the order database: postgres://… or an SQLite file (default orders.db in the state directory)")
	before(cmd, func() error {
		if c.OrdersURL == "" {
			c.OrdersURL = filepath.Join(a.stateDir, "orders.db")
		}
		return nil
	})
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

func apiFlag(cmd *cobra.Command, addr *string) {
	cmd.Flags().StringVar(addr, "api", "127.0.0.1:8080", "where the order API listens")
}

func metricsFlag(cmd *cobra.Command, l *listeners) {
	cmd.Flags().StringVar(&l.metrics, "metrics", "", "where to serve /metrics and /healthz, such as 127.0.0.1:9090; nowhere without")
}

func policyFlags(cmd *cobra.Command, p *ltp.Policy) {
	f := cmd.Flags()
	f.DurationVar(&p.Dwell, "dwell", p.Dwell, "how long a component must be observed fit before it counts as RECOVERING")
	f.DurationVar(&p.MaxDwell, "max-dwell", p.MaxDwell, "the longest dwell; it doubles with every flap")
	f.DurationVar(&p.FlapWindow, "flap-window", p.FlapWindow, "how long a fall into UNSTABLE is remembered")
	f.DurationVar(&p.Grace, "grace", p.Grace, "how long a component may go unobserved before it is UNKNOWN")
	before(cmd, func() error { return flagged(p.Validate()) })
}

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
	f.IntVar(&s.Window, "window", s.Window, "of how many samples half may not be errors, also between good ones; 0 counts errors in a row alone")
	before(cmd, func() error { return flagged(s.Validate()) })
}
