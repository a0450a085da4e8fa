package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/demo"
	"github.com/ltp-node/ltp/internal/embedded"
	"github.com/ltp-node/ltp/internal/pglocal"
	"github.com/ltp-node/ltp/internal/terminal"
	"github.com/ltp-node/ltp/node"
	"github.com/ltp-node/ltp/observer"
	"github.com/ltp-node/ltp/orderdb"
	"github.com/ltp-node/ltp/replay/pace"
)

// demoFlags are the flags of the demo.
type demoFlags struct {
	orders  int
	outage  time.Duration
	db      ordersDB
	bin     string
	fault   string
	yes     bool
	compare bool
	as      format
	exit    bool
	uiPort  int
}

// onPair reports whether the demo makes the order database itself: a pair of servers.
func (f demoFlags) onPair() bool { return f.db.url == "postgres" }

func (f demoFlags) validate() error {
	switch least := observer.DefaultSettings().UnfitLatency + 3*time.Second; {
	case f.orders < 1 || f.orders > 100_000:
		return fmt.Errorf("--orders %d: use 1 to 100000", f.orders)
	case f.outage < least:
		return fmt.Errorf("--outage %s: an outage is noticed after %s of hanging writes; use %s or more",
			f.outage, observer.DefaultSettings().UnfitLatency, least)
	case f.onPair() && !slices.Contains(demo.FaultNames(), f.fault):
		return fmt.Errorf("--fault %s: use one of %s", f.fault, strings.Join(demo.FaultNames(), ", "))
	case !f.onPair() && (f.fault != "" || f.bin != ""):
		return errors.New("--fault and --postgres-bin are for the servers that the demo starts itself: add --orders-db postgres")
	}
	return nil
}

func (a *app) demoCommand() *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Play the incident: the order database stops writing while 1,500 orders arrive",
		Long: `Play the incident for real: a Temporal server, an order database whose writes stop
for 45 seconds, the HTTP order API under load. At the end, every order is accounted
for. The exit status is 0 only if every guarantee held.

With --orders-db postgres the demo starts a leader and a synchronous standby of its
own in a scratch directory, and --fault says how they fail:

  kill        the leader is killed; after the outage the standby is promoted
  freeze      the leader is frozen; it thaws when the standby has been promoted, and
              does not know that it leads no more
  partition   the network loses the leader; it comes back as after freeze
  readonly    the leader takes reads only
  restart     the leader is stopped and started again
  standby     the standby is lost: nothing is refused, and commits hang

With --orders-db postgres://… it uses that database, and asks before it locks the
tables ` + demo.LockedTables + ` there for the length of the outage.

The trace is kept in the state directory: look at it with ltp inspect and ltp dev.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.onPair() && f.fault == "" {
				f.fault = "kill"
			}
			if err := f.validate(); err != nil {
				return err
			}
			return a.playDemo(cmd, f)
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&f.orders, "orders", 1500, "how many orders arrive during the outage")
	flags.DurationVar(&f.outage, "outage", 45*time.Second, "how long the order database takes no writes")
	f.db.flags(cmd, "the order database: postgres for servers of its own, postgres://… or an SQLite file"+ownOrders)
	flags.StringVar(&f.fault, "fault", "", "how the demo's own Postgres fails: "+strings.Join(demo.FaultNames(), ", ")+" (default kill)")
	flags.StringVar(&f.bin, "postgres-bin", "", "the directory of initdb and postgres, where they are not found without")
	flags.BoolVar(&f.yes, "yes", false, "do not ask before a database of yours is locked")
	flags.BoolVar(&f.compare, "compare", false, "run as many orders besides with plain Temporal retries, and compare")
	f.as.flag(cmd, "the report as one object, and nothing else on standard output")
	flags.BoolVar(&f.exit, "exit", false, "end when the report is printed, also on a terminal")
	flags.IntVar(&f.uiPort, "ui-port", 0, "where Temporal UI listens on 127.0.0.1; 0 is 8233 if that is free, or any")
	return cmd
}

func (a *app) playDemo(cmd *cobra.Command, f demoFlags) error {
	ctx := cmd.Context()
	fault, own, remove, err := a.stage(cmd, &f)
	if err != nil {
		return err
	}
	defer remove()
	if f.uiPort == 0 && free("127.0.0.1:8233") {
		f.uiPort = 8233
	}
	t, err := a.embedded(ctx, embedded.Start, embedded.Options{
		UI: true, UIPort: f.uiPort,
		// The demo's orders need to survive a crash, not a loss of power: a real
		// Temporal has a database that syncs many commits at once, SQLite syncs each.
		ExtraArgs: []string{"--sqlite-pragma", "synchronous=normal"},
	})
	if errors.Is(err, embedded.ErrInUse) {
		return fmt.Errorf("%w: end ltp dev there, or use another --state-dir", err)
	}
	if err != nil {
		return err
	}
	defer t.stop()
	if err := a.noteOrders(f.db.url); err != nil {
		return err
	}
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	meter := &demo.Meter{}
	n, err := node.Start(ctx, node.Config{
		Client: t.Client, Namespace: t.namespace, Components: []string{ltp.DefaultComponent},
		OrdersURL: f.db.url, OrdersSchema: f.db.schema, SetUpOrders: own, WritePathEvery: node.WritePathEvery, Policy: ltp.DefaultPolicy().Change(),
		Worker: true, Pace: pace.Default(), Meter: meter,
		Observe: true, Settings: observer.DefaultSettings(), Heartbeat: meter.Heartbeat,
		Listen: listen, Log: a.log,
	})
	if err != nil {
		return err
	}
	defer n.Stop()

	var plain *demo.Plain
	if f.compare {
		if plain, err = demo.NewPlain(ctx, t.Client, f.db.url, orderdb.WithSchema(f.db.schema)); err != nil {
			return err
		}
		defer plain.Close()
	}
	screen := newScreen(cmd.ErrOrStderr())
	var above io.Writer = screen
	a.logTo.Store(&above)
	defer a.logTo.Store(nil)
	screen.note("Temporal UI: %s", t.ui)
	report, err := demo.Run(ctx, demo.Config{
		Client: t.Client, Namespace: t.namespace, Board: n.Board, DB: n.DB, Fault: fault, Plain: plain,
		APIURL: "http://" + listen.Addr().String(), Meter: meter,
		Orders: f.orders, Outage: f.outage, Show: screen.show,
	})
	screen.clear()
	if err != nil {
		return err
	}
	if f.as.JSON() {
		err = printJSON(cmd.OutOrStdout(), report)
	} else {
		err = report.WriteText(cmd.OutOrStdout(), look(cmd.OutOrStdout()))
	}
	if err != nil {
		return err
	}
	if !f.as.JSON() {
		a.whatNext(cmd.OutOrStdout(), report, t.ui)
	}
	if !f.exit && terminal.Is(os.Stdout) && terminal.Is(os.Stdin) {
		fmt.Fprintln(cmd.ErrOrStderr(), "\nTemporal UI and the order API stay up until Ctrl-C.")
		if err := t.waitFor(ctx, n); err != nil {
			return err
		}
	}
	if !report.Held() {
		return exitCode(1)
	}
	return nil
}

// stage makes the order database ready, names it in f, and returns how it will fail, and
// whether the demo makes its tables.
func (a *app) stage(cmd *cobra.Command, f *demoFlags) (fault demo.Fault, own bool, remove func(), err error) {
	remove = func() {}
	switch {
	case f.onPair():
		fmt.Fprintln(cmd.ErrOrStderr(), "Starting a Postgres leader and its synchronous standby.")
		pair, err := pglocal.StartPair(cmd.Context(), pglocal.Options{Bin: f.bin, Links: f.fault == "partition"})
		if err != nil {
			return fault, false, remove, err
		}
		f.db.url, remove = pair.URL("postgres"), pair.Remove
		if fault, err = demo.PairFault(pair, f.fault); err != nil {
			remove()
		}
		return fault, true, remove, err
	case f.db.url == "":
		f.db.url, own = a.ownOrders(), true
	case strings.HasPrefix(f.db.url, "postgres://"), strings.HasPrefix(f.db.url, "postgresql://"):
		if err := f.mayLock(cmd); err != nil {
			return fault, false, remove, err
		}
	default:
		own = absentFile(f.db.url)
	}
	return demo.Lock(f.db.url, f.db.schema), own, remove, nil
}

// mayLock asks whether a database that is not the demo's own may be made to fail.
func (f demoFlags) mayLock(cmd *cobra.Command) error {
	if f.yes {
		return nil
	}
	if !terminal.Is(cmd.InOrStdin()) {
		return fmt.Errorf("the demo would lock the tables %s of %s for %s: say --yes if it may", demo.LockedTables, orderdb.Redact(f.db.url), f.outage)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "The demo writes orders into %s and locks the tables %s there for %s.\nGo on? [y/N] ",
		orderdb.Redact(f.db.url), demo.LockedTables, f.outage)
	var answer string
	_, _ = fmt.Fscanln(cmd.InOrStdin(), &answer)
	if answer = strings.ToLower(answer); answer != "y" && answer != "yes" {
		return errors.New("nothing was done")
	}
	return nil
}

// stateFlag is what a hint adds to a command, so that it finds the state directory of this one.
func (a *app) stateFlag() string {
	if a.stateDir == defaultStateDir {
		return ""
	}
	return " --state-dir " + shellWord(a.stateDir)
}

func (a *app) whatNext(w io.Writer, r demo.Report, ui string) {
	me, flag := called(), a.stateFlag()
	fmt.Fprintf(w, `
Look at it
  Temporal UI         %s
  the incident        %s inspect%s
  one deferred order  %s inspect%s %s
  everything, again   %s dev%s
`, ui, me, flag, me, flag, r.Example, me, flag)
}

func free(addr string) bool {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	l.Close()
	return true
}
