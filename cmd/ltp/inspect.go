package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/trace"
)

func (a *app) inspectCommand() *cobra.Command {
	var format string
	component := ltp.DefaultComponent
	cmd := &cobra.Command{
		Use:   "inspect [ORDER]",
		Short: "Show the latest incident as a timeline, or the frames of one order",
		Long: `Show the current or latest incident of a component as a timeline of its state
transitions with the frames around them; with an order, that order's frames.

Everything is read from Temporal history: no worker needs to run.`,
		Example: "  ltp inspect\n  ltp inspect A2\n  ltp inspect --format jsonl | jq .",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch format {
			case "human", "json", "jsonl":
			default:
				return fmt.Errorf("--format %q: use human, json or jsonl", format)
			}
			if err := ltp.ValidComponent(component); err != nil {
				return err
			}
			t, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer t.stop()
			reader := trace.NewReader(t.Client, t.namespace)
			reader.Progress = reading(cmd.ErrOrStderr())
			if len(args) == 1 {
				return inspectOrder(cmd, reader, args[0], format)
			}
			return inspectIncident(cmd, reader, component, format)
		},
	}
	cmd.Flags().StringVar(&component, "component", component, "the component whose incident to show")
	cmd.Flags().StringVar(&format, "format", "human", "human, json, or jsonl with one frame a line")
	return cmd
}

func inspectOrder(cmd *cobra.Command, reader *trace.Reader, orderID, format string) error {
	if err := ltp.ValidID(orderID); err != nil {
		return err
	}
	order, err := reader.Order(cmd.Context(), orderID)
	if errors.Is(err, trace.ErrNotFound) {
		return fmt.Errorf("no order %s: it never was, or Temporal's retention has passed it", orderID)
	}
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	switch format {
	case "json":
		return trace.WriteJSON(out, order)
	case "jsonl":
		return trace.WriteJSONLines(out, order.Frames)
	}
	return trace.WriteOrder(out, order, look(out))
}

func inspectIncident(cmd *cobra.Command, reader *trace.Reader, component, format string) error {
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	orientation, err := reader.Orientation(ctx, component)
	if errors.Is(err, trace.ErrNotFound) {
		return fmt.Errorf("no component %s: start a worker or an observer of it, such as ltp dev", component)
	}
	if err != nil {
		return err
	}
	incident, ok := trace.Latest(trace.Incidents(orientation))
	if !ok {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s has had no incident.\n", component)
		return nil
	}
	window := incident.Window()
	orders, err := reader.Orders(ctx, window)
	if err != nil {
		return err
	}
	timeline := trace.NewTimeline(orientation, incident, orders, window)
	switch format {
	case "json":
		return trace.WriteJSON(out, timeline)
	case "jsonl":
		return trace.WriteJSONLines(out, timeline.Frames())
	}
	return trace.WriteTimeline(out, timeline, look(out))
}

// look is how a stream shows a trace: in colour on a terminal, unless NO_COLOR is
// set.
func look(w io.Writer) trace.Options {
	if !isTerminal(w) {
		return trace.Options{Width: 100}
	}
	width, _, err := term.GetSize(int(w.(*os.File).Fd()))
	if err != nil {
		width = 80
	}
	return trace.Options{Color: os.Getenv("NO_COLOR") == "", Width: width}
}

// reading shows on a terminal how many histories have been read.
func reading(w io.Writer) func(done, total int) {
	if !isTerminal(w) {
		return nil
	}
	return func(done, total int) {
		fmt.Fprintf(w, "\r\x1b[Kreading histories: %d of %d", done, total)
		if done == total {
			fmt.Fprint(w, "\r\x1b[K")
		}
	}
}
