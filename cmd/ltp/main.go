// Command ltp is the LTP order node: its worker, order API and observer, a demo of
// the incident that it exists for, and the tools to read what happened.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/ltp-node/ltp/internal/keyservice"
	"github.com/ltp-node/ltp/payload"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := root().ExecuteContext(ctx)
	stop()
	var code exitCode
	switch {
	case err == nil:
	case errors.As(err, &code):
		os.Exit(int(code))
	default:
		fmt.Fprintln(os.Stderr, "ltp:", err)
		os.Exit(1)
	}
}

// exitCode ends the process without another word: the command has said it all.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit status %d", int(c)) }

// defaultStateDir is that of --state-dir.
const defaultStateDir = ".ltp"

// app is what every command shares.
type app struct {
	stateDir   string
	payloadKey string
	payloadKMS string
	logLevel   string
	logFormat  string
	log        *slog.Logger
	logTo      logStream
}

// logStream is where the log goes: standard error, unless something is painted
// there.
type logStream struct{ atomic.Pointer[io.Writer] }

func (s *logStream) Write(p []byte) (int, error) {
	if w := s.Load(); w != nil {
		return (*w).Write(p)
	}
	return os.Stderr.Write(p)
}

func root() *cobra.Command {
	a := &app{}
	cmd := &cobra.Command{
		Use:   "ltp",
		Short: "An order service that lives through an outage",
		Long: `The LTP order node answers "Order Received - Pending Confirmation" while the order
database is down, writes nothing into it, and executes every order once it is back.

Start with:  ltp demo

Commands that talk to your own Temporal read TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE,
TEMPORAL_API_KEY, TEMPORAL_TLS_* and TEMPORAL_PROFILE, as the Temporal CLI does.
Without an address they use what ltp demo and ltp dev keep in the state directory.`,
		Version:       version().String(),
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			return a.setUpLog()
		},
	}
	flags := cmd.PersistentFlags()
	flags.StringVar(&a.stateDir, "state-dir", defaultStateDir, "where the embedded Temporal server and the SQLite order database keep their data")
	flags.StringVar(&a.payloadKey, "payload-key", "", "a file of keys (ltp payload-key makes one): what Temporal stores of orders is encrypted with the first and read with all; without, $"+payload.FileVariable)
	flags.StringVar(&a.payloadKMS, "payload-key-kms", "", "the key of a key service by which the keys of --payload-key are wrapped, as a URL: awskms://, azurekeyvault://, hashivault://; without, $"+keyservice.Variable)
	flags.StringVar(&a.logLevel, "log-level", "warn", "debug, info, warn or error")
	flags.StringVar(&a.logFormat, "log-format", "text", "text or json")
	cmd.AddCommand(
		a.demoCommand(), a.devCommand(),
		a.setupCommand(), a.workerCommand(), a.apiCommand(), a.observeCommand(), a.healthCommand(),
		a.inspectCommand(), a.traceCommand(), a.orientationCommand(), a.ordersCommand(), a.replayCommand(),
		a.auditCommand(), a.reportCommand(),
		a.keysCommand(), a.webhooksCommand(), a.payloadKeyCommand(), a.codecCommand(), versionCommand(), manCommand(),
	)
	explainArguments(cmd)
	explainGroups(cmd)
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w: %s --help lists the flags", err, cmd.CommandPath())
	})
	a.completeNames(cmd)
	return cmd
}

// explainArguments has every command that is called with the wrong arguments say which
// it takes.
func explainArguments(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return fmt.Errorf("%w: it is called as %s", err, cmd.UseLine())
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		explainArguments(sub)
	}
}

// explainGroups has every command that only groups others refuse a word that is none of
// theirs, and say which are; Cobra shows help and succeeds.
func explainGroups(cmd *cobra.Command) {
	for _, group := range cmd.Commands() {
		if !group.HasSubCommands() || group.Runnable() {
			continue
		}
		var names []string
		for _, sub := range group.Commands() {
			names = append(names, sub.Name())
		}
		group.RunE = func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return fmt.Errorf("unknown command %s %s: it is one of %s", cmd.CommandPath(), args[0], strings.Join(names, ", "))
		}
		explainGroups(group)
	}
}

func (a *app) setUpLog() error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(a.logLevel)); err != nil {
		return fmt.Errorf("--log-level %q: use debug, info, warn or error", a.logLevel)
	}
	options := &slog.HandlerOptions{Level: level}
	switch a.logFormat {
	case "text":
		a.log = slog.New(slog.NewTextHandler(&a.logTo, options))
	case "json":
		a.log = slog.New(slog.NewJSONHandler(&a.logTo, options))
	default:
		return fmt.Errorf("--log-format %q: use text or json", a.logFormat)
	}
	return nil
}
