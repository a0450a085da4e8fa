package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
	"github.com/ltp-node/ltp/demo"
	"github.com/ltp-node/ltp/embedded"
	"github.com/ltp-node/ltp/node"
	"github.com/ltp-node/ltp/observer"
)

// demoFlags are the flags of the demo.
type demoFlags struct {
	orders   int
	outage   time.Duration
	ordersDB string
	json     bool
	exit     bool
	uiPort   int
}

func (f demoFlags) validate() error {
	switch least := observer.DefaultSettings().UnfitLatency + 3*time.Second; {
	case f.orders < 1 || f.orders > 100_000:
		return fmt.Errorf("--orders %d: use 1 to 100000", f.orders)
	case f.outage < least:
		return fmt.Errorf("--outage %s: an outage is noticed after %s of hanging writes; use %s or more",
			f.outage, observer.DefaultSettings().UnfitLatency, least)
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

The data is kept in the state directory: look at it with ltp inspect and ltp dev.
With a postgres:// database the demo locks the tables orders, order_outbox and
ltp_probe there for the length of the outage.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.validate(); err != nil {
				return err
			}
			return a.playDemo(cmd, f)
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&f.orders, "orders", 1500, "how many orders arrive during the outage")
	flags.DurationVar(&f.outage, "outage", 45*time.Second, "how long the order database takes no writes")
	flags.StringVar(&f.ordersDB, "orders-db", "", "the order database: postgres://… or an SQLite file (default orders.db in the state directory)")
	flags.BoolVar(&f.json, "json", false, "print the report as JSON, and nothing else on standard output")
	flags.BoolVar(&f.exit, "exit", false, "end when the report is printed, also on a terminal")
	flags.IntVar(&f.uiPort, "ui-port", 0, "where Temporal UI listens on 127.0.0.1; 0 is 8233 if that is free, or any")
	return cmd
}

func (a *app) playDemo(cmd *cobra.Command, f demoFlags) error {
	ctx := cmd.Context()
	if f.ordersDB == "" {
		f.ordersDB = filepath.Join(a.stateDir, "orders.db")
	}
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
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	door := &demo.Door{}
	n, err := node.Start(ctx, node.Config{
		Client: t.Client, Namespace: t.namespace, Components: []string{ltp.DefaultComponent},
		OrdersURL: f.ordersDB, Policy: ltp.DefaultPolicy(),
		Worker: true, Pace: activities.DefaultPace(), Meter: door,
		Observe: true, Settings: observer.DefaultSettings(), Beat: door.Beat,
		Listen: listen, Log: a.log,
	})
	if err != nil {
		return err
	}
	defer n.Stop()

	screen := newScreen(cmd.ErrOrStderr())
	var above io.Writer = screen
	a.logTo.Store(&above)
	defer a.logTo.Store(nil)
	screen.note("Temporal UI: %s", t.ui)
	report, err := demo.Run(ctx, demo.Config{
		Client: t.Client, Namespace: t.namespace, Board: n.Board, DB: n.DB, OrdersURL: f.ordersDB,
		APIURL: "http://" + listen.Addr().String(), Door: door,
		Orders: f.orders, Outage: f.outage, Show: screen.show,
	})
	screen.clear()
	if err != nil {
		return err
	}
	if f.json {
		err = printJSON(cmd.OutOrStdout(), report)
	} else {
		err = report.WriteText(cmd.OutOrStdout(), isTerminal(cmd.OutOrStdout()))
	}
	if err != nil {
		return err
	}
	if !f.json {
		a.whatNext(cmd.OutOrStdout(), report, t.ui)
	}
	if !f.exit && isTerminal(os.Stdout) && isTerminal(os.Stdin) {
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

func (a *app) whatNext(w io.Writer, r demo.Report, ui string) {
	flag := ""
	if a.stateDir != ".ltp" {
		flag = " --state-dir " + a.stateDir
	}
	fmt.Fprintf(w, `
Look at it
  Temporal UI         %s
  the incident        ltp inspect%s
  one deferred order  ltp inspect%s %s
  everything, again   ltp dev%s
`, ui, flag, flag, r.Example, flag)
}

func free(addr string) bool {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	l.Close()
	return true
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
