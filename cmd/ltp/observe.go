package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/node"
	"github.com/ltp-node/ltp/observer"
	"github.com/ltp-node/ltp/observer/probes"
	"github.com/ltp-node/ltp/orderdb"
)

// observeFlags are those flags of ltp observe that are no settings.
type observeFlags struct {
	component, url string
	orders         ordersDB
	patroni        []string
	record         string
	once, explain  bool
	as             format
	samples        string
	drain          time.Duration
	writePath      time.Duration
	rejectOn       orderdb.Rules
	sql            string
}

func (a *app) observeCommand() *cobra.Command {
	c := node.Config{Observe: true, Settings: observer.DefaultSettings()}
	f := observeFlags{component: ltp.DefaultComponent, drain: 5 * time.Second}
	var l listeners
	cmd := &cobra.Command{
		Use:   "observe",
		Short: "Observe a component; of several observers Temporal keeps one active",
		Long: `Observe a component by writing to it, or by asking its health endpoint, and tell
Temporal when it is unfit and when it is fit again. Any number may run: Temporal keeps
one of them active, and another takes over when it dies.

--once looks without Temporal, prints one observation and says with its exit status
what it saw: 0 fit, 1 unfit, 2 cannot tell.

--explain says what the thresholds mean, and with --samples what they would have made
of what --record has recorded.`,
		Example: `  ltp observe --orders-db postgres://app@db1,db2/orders --patroni http://db1:8008,http://db2:8008
  ltp observe --component payments --url https://payments.example/healthz
  ltp observe --once --format json --orders-db postgres://app@db1,db2/orders
  ltp observe --explain --dwell 10s --samples samples.jsonl`,
		Args: cobra.NoArgs,
	}
	flags := cmd.Flags()
	flags.StringVar(&f.component, "component", f.component, "the component")
	flags.StringVar(&f.url, "url", "", "where the component is: postgres://…, an SQLite file, or the http(s):// address of a health endpoint")
	f.orders.flags(cmd, "the same for "+ltp.DefaultComponent+ownOrders)
	awaitOrdersFlag(cmd, &c)
	flags.StringSliceVar(&f.patroni, "patroni", nil, "REST addresses of Patroni, such as http://db1:8008,http://db2:8008: no leader there condemns a write that hangs")
	flags.StringVar(&f.record, "record", "", "append every sample to this file, as JSON Lines")
	flags.BoolVar(&f.once, "once", false, "print one observation and end, with status 0 if fit, 1 if unfit, 2 if nobody can say; needs no Temporal")
	flags.BoolVar(&f.explain, "explain", false, "say what the thresholds mean, and end; needs no Temporal")
	flags.StringVar(&f.samples, "samples", "", "with --explain: a recording (- for standard input), and what would have been decided when")
	flags.DurationVar(&f.drain, "drain", f.drain, "with --samples: how long a backlog is taken to drain")
	f.as.flag(cmd, "with --once or --explain, one object a line")
	policyFlags(cmd, &c.Policy)
	settingsFlags(cmd, &c.Settings)
	listenFlags(cmd, &l)
	writePathFlags(cmd, &c)
	ordersSQLFlag(cmd, &c.OrdersSQL)
	before(cmd, func() error {
		f.writePath, f.rejectOn, f.sql = c.WritePathEvery, c.RejectOn, c.OrdersSQL
		return f.validate()
	})
	check := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil && f.once {
			return cannotTell(cmd, err)
		} else if err != nil {
			return err
		}
		return nil
	}
	// A script that asks with --once must not take a mistyped flag for an outage.
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return cannotTell(cmd, err) })
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c.Settings.Subject = probes.Subject(f.url)
		switch {
		case f.explain:
			return explain(cmd, f, c)
		case f.once:
			return a.observeOnce(cmd, f, c.Settings)
		}
		return a.observe(cmd, f, c, l)
	}
	return cmd
}

func (f observeFlags) validate() error {
	if err := ltp.ValidComponent(f.component); err != nil {
		return fmt.Errorf("--component: %w", err)
	}
	switch {
	case f.url != "" && f.orders.url != "":
		return errors.New("--url and --orders-db both say where the component is: give one of them")
	case f.orders.url != "" && f.component != ltp.DefaultComponent:
		return fmt.Errorf("--orders-db is where %s is: say with --url where %s is", ltp.DefaultComponent, f.component)
	case f.url == "" && f.component != ltp.DefaultComponent && !f.explain:
		return fmt.Errorf("say with --url where %s is: postgres://…, an SQLite file, or the http(s):// address of a health endpoint", f.component)
	case f.once && f.explain:
		return errors.New("--once looks and --explain does not: give one of them")
	case f.record != "" && (f.once || f.explain):
		return errors.New("--record is for an observer that runs: leave --once and --explain out")
	case f.sql != "" && probes.Subject(f.url) != "":
		return errors.New("--orders-sql is for an order database, and --url is a health endpoint: leave one of them out")
	case f.samples != "" && !f.explain:
		return errors.New("--samples is for --explain: add it")
	case f.as.JSON() && !f.once && !f.explain:
		return errors.New("--format json is for --once and --explain: add one of them")
	case f.drain < 0:
		return fmt.Errorf("--drain %s is negative: give a duration of 0 or more", f.drain)
	}
	return nil
}

// open opens the probe of the component at a URL.
func (f observeFlags) open(url string) (probes.Probe, error) {
	return probes.Open(url, f.component, f.patroni, orderdb.WithSchema(f.orders.schema), orderdb.WithWritePathEvery(f.writePath), orderdb.WithRejectOn(f.rejectOn), orderdb.WithSQL(f.sql))
}

// where is the URL of the component, and whether the file that it names is the product's.
func (f observeFlags) where(a *app) (url string, own bool) {
	if f.url == "" && f.orders.url == "" {
		return a.ownOrders(), true
	}
	return f.url + f.orders.url, false // one of them at most
}

// observe runs an observer until it is interrupted.
func (a *app) observe(cmd *cobra.Command, f observeFlags, c node.Config, l listeners) (err error) {
	at, own := f.where(a)
	probe, err := f.open(at)
	if err != nil {
		return err
	}
	defer probe.Close()
	if probes.Subject(at) == "" { // it is an order database
		c.OrdersURL, c.OrdersSchema, c.SetUpOrders = at, f.orders.schema, own
	}
	view := newObserverView(cmd.ErrOrStderr(), f.component, a.log)
	if view.terminal {
		var above io.Writer = view
		a.logTo.Store(&above)
		defer a.logTo.Store(nil)
	}
	c.Components, c.Observed, c.Probe = []string{f.component}, f.component, probe
	c.Listener = node.Listener{Active: view.active, Saw: view.saw, Said: view.said}
	if f.record != "" {
		r, err := openRecording(f.record)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, r.close()) }()
		c.Listener.Saw = func(now observer.Status) {
			view.saw(now)
			if err := r.record(now); err != nil {
				a.log.Error("the recording has ended", "file", f.record, "error", err)
			}
		}
	}
	return a.runPart(cmd, c, l, func(n *node.Node) {
		go view.live(cmd.Context(), func() ltp.Orientation { return n.Board.Orientation(f.component).Orientation })
	})
}

// recording is a file that samples are appended to.
type recording struct {
	mu     sync.Mutex
	file   *os.File
	to     *observer.Recorder
	failed bool
}

func openRecording(path string) (*recording, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("--record: %w", err)
	}
	if info, err := file.Stat(); err == nil && info.Mode().IsRegular() && info.Size() > 0 {
		last := make([]byte, 1)
		if _, err := file.ReadAt(last, info.Size()-1); err != nil || last[0] != '\n' {
			_ = file.Close()
			return nil, fmt.Errorf("--record: %s ends within a line: remove that line, or record to another file", path)
		}
	}
	return &recording{file: file, to: observer.NewRecorder(file)}, nil
}

// record adds a sample. It reports the first error alone: with it the recording ends.
func (r *recording) record(now observer.Status) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed {
		return nil
	}
	err := r.to.Record(now.At, now.Sample)
	r.failed = err != nil
	return err
}

func (r *recording) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.to.Flush()
	if closed := r.file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("the recording is not complete: %w", err)
	}
	return nil
}
