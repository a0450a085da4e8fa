package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/terminal"
	"github.com/ltp-node/ltp/starter"
	"github.com/ltp-node/ltp/trace"
)

const inspectLong = `Show what happened to a component, from Temporal history alone: no worker needs to run.

Without arguments, that is the current outage or the last one, as a timeline in phases
with numbered frames. Where hundreds of frames say the same, the first and the last are
shown and the others counted; --all shows each. With an order, its frames are shown and
what each was based on.

--incident shows another incident of the list that --incidents prints; --since and
--until show a stretch of time instead. --follow shows what happens from now on, or from
--since on, until Ctrl-C. What Temporal's retention has deleted is listed as missing.

Times are UTC. On a terminal, what is longer than the screen is shown with $PAGER, or
less; NO_COLOR turns colours off.`

const inspectExample = `  ltp inspect                              # the current or last outage
  ltp inspect A2                           # one order
  ltp inspect --incidents                  # all incidents
  ltp inspect --incident 3 --all           # one of them, every frame
  ltp inspect --since 2h --until 90m       # a stretch of time
  ltp inspect --follow                     # live
  ltp inspect --format jsonl | jq -r 'select(.response.decision == "DEFER") | .response.order_id'`

// inspection is what ltp inspect is asked for.
type inspection struct {
	component         string
	incident          int
	list, follow, all bool
	since, until      string
	as                format
	noPager           bool
	window            trace.Window // of since and until
	reader            *trace.Reader
	orders            *starter.Starter
	out, err          io.Writer
}

func (a *app) inspectCommand() *cobra.Command {
	in := inspection{component: ltp.DefaultComponent}
	cmd := &cobra.Command{
		Use:     "inspect [ORDER]",
		Short:   "Show an incident as a timeline, or the frames of one order",
		Long:    inspectLong,
		Example: inspectExample,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := in.check(cmd, args, time.Now()); err != nil {
				return err
			}
			t, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer t.stop()
			in.out, in.err = cmd.OutOrStdout(), cmd.ErrOrStderr()
			in.reader, in.orders = trace.NewReader(t.Client, t.namespace), starter.New(t.Client)
			in.reader.Progress = reading(in.err)
			return in.run(cmd, args)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&in.component, "component", in.component, "the component to look at")
	flags.IntVar(&in.incident, "incident", 0, "the number of an incident; 0 is the current or latest outage")
	flags.BoolVar(&in.list, "incidents", false, "list the incidents")
	flags.StringVar(&in.since, "since", "", "show a stretch of time: from then on, as 2026-01-31T14:30:00Z or as 90m, 2h, 3d ago")
	flags.StringVar(&in.until, "until", "", "with --since: up to then; up to now without it")
	flags.BoolVar(&in.follow, "follow", false, "show what happens, until Ctrl-C")
	flags.BoolVar(&in.all, "all", false, "show every frame, also where many say the same")
	in.as.flag(cmd, "one object, or with jsonl one frame a line", "jsonl")
	flags.BoolVar(&in.noPager, "no-pager", false, "do not page on a terminal")
	cmd.MarkFlagsMutuallyExclusive("incident", "incidents", "since")
	cmd.MarkFlagsMutuallyExclusive("incident", "incidents", "follow")
	cmd.MarkFlagsMutuallyExclusive("until", "follow")
	return cmd
}

// check refuses what goes together badly, before anything is connected to.
func (in *inspection) check(cmd *cobra.Command, args []string, now time.Time) (err error) {
	if err := ltp.ValidComponent(in.component); err != nil {
		return err
	}
	if len(args) == 1 {
		if err := ltp.ValidID(args[0]); err != nil {
			return err
		}
		for _, flag := range []string{"component", "incident", "incidents", "since", "until", "all"} {
			if cmd.Flags().Changed(flag) {
				return fmt.Errorf("--%s does not go with an order", flag)
			}
		}
	}
	switch {
	case in.follow && in.as.JSON():
		return errors.New("--follow has no end, and so no JSON document: use --format jsonl")
	case in.incident < 0:
		return fmt.Errorf("--incident %d: incidents are numbered from 1", in.incident)
	case in.until != "" && in.since == "":
		return errors.New("--until needs --since")
	}
	if in.since != "" {
		if in.window.From, err = moment("--since", in.since, now); err != nil {
			return err
		}
		if in.window.From.After(now) {
			return fmt.Errorf("--since %s has not come yet", in.since)
		}
	}
	if in.until != "" {
		if in.window.To, err = moment("--until", in.until, now); err != nil {
			return err
		}
		if !in.window.From.Before(in.window.To) {
			return fmt.Errorf("--until %s is not after --since %s", in.until, in.since)
		}
	}
	return nil
}

// moment is a time in RFC 3339, or so long ago.
func moment(flag, s string, now time.Time) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t.UTC(), nil
	}
	ago := strings.TrimSpace(strings.TrimSuffix(s, "ago"))
	if days, ok := strings.CutSuffix(ago, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return now.UTC().AddDate(0, 0, -int(n)), nil
		}
	}
	if d, err := time.ParseDuration(ago); err == nil && d >= 0 {
		return now.UTC().Add(-d), nil
	}
	return time.Time{}, fmt.Errorf("%s %q: say a time such as 2026-01-31T14:30:00Z, or how long ago, such as 90m, 2h or 3d", flag, s)
}

// momentOrNone is zero where nothing is given.
func momentOrNone(flag, s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	return moment(flag, s, now)
}

func (in *inspection) run(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 1 && in.follow:
		return in.followOrder(cmd, args[0])
	case len(args) == 1:
		return in.order(cmd, args[0])
	case in.follow:
		return in.followComponent(cmd)
	}
	o, err := in.reader.Orientation(cmd.Context(), in.component)
	if err != nil {
		return in.known(cmd, err)
	}
	incidents := trace.Incidents(o)
	if in.list {
		return in.incidents(incidents, o.Gaps)
	}
	if in.since != "" {
		return in.timeline(cmd, o, o.During(in.window), in.window)
	}
	incident, err := trace.Choose(incidents, in.incident)
	if errors.Is(err, trace.ErrNoIncident) && in.incident == 0 {
		fmt.Fprintf(in.err, "%s has had no incident.\n", in.component)
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", in.component, err)
	}
	return in.timeline(cmd, o, incident, incident.Window())
}

// known says of a component that is not there which ones are.
func (in *inspection) known(cmd *cobra.Command, err error) error {
	if !errors.Is(err, trace.ErrNotFound) {
		return err
	}
	there, err := in.reader.Components(cmd.Context())
	if err != nil {
		return err
	}
	if len(there) == 0 {
		return fmt.Errorf("no component %s, nor any other: start a worker or an observer of it, such as ltp dev", in.component)
	}
	return fmt.Errorf("no component %s: there is %s", in.component, strings.Join(there, ", "))
}

// absent says of an order that it is not there.
func absent(orderID string, err error) error {
	if errors.Is(err, trace.ErrNotFound) {
		return fmt.Errorf("no order %s: it was never accepted, or is past Temporal's retention", orderID)
	}
	return err
}

func (in *inspection) order(cmd *cobra.Command, orderID string) error {
	order, err := in.reader.Order(cmd.Context(), orderID)
	if err != nil {
		return absent(orderID, err)
	}
	switch {
	case in.as.JSON():
		return trace.WriteJSON(in.out, order)
	case in.as.lines():
		return trace.WriteJSONLines(in.out, order.Frames)
	}
	place := in.place(cmd.Context(), order)
	return in.page(func(w io.Writer, o trace.Options) error {
		o.Place = place
		return trace.WriteOrder(w, order, o)
	})
}

// place is where a deferred order stands in the backlog now, which no history has, and nil
// where that is not known in time.
func (in *inspection) place(ctx context.Context, o trace.OrderTrace) *ltp.Place {
	if o.State() != ltp.Deferred {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, placeTimeout)
	defer cancel()
	st, err := in.orders.Get(ctx, o.Order.ID)
	if err != nil {
		return nil
	}
	return in.orders.Place(ctx, st)
}

func (in *inspection) incidents(incidents []trace.Incident, gaps []trace.Gap) error {
	all := trace.Summaries(incidents, time.Now())
	switch {
	case in.as.JSON():
		return trace.WriteJSON(in.out, all)
	case in.as.lines():
		return trace.WriteJSONLines(in.out, all)
	}
	return in.page(func(w io.Writer, o trace.Options) error {
		return trace.WriteIncidents(w, in.component, incidents, gaps, o)
	})
}

func (in *inspection) timeline(cmd *cobra.Command, o trace.OrientationTrace, incident trace.Incident, w trace.Window) error {
	switch {
	case in.as.lines():
		return in.stream(cmd, o, incident, w)
	case in.as.JSON() || in.all:
		orders, err := in.reader.Orders(cmd.Context(), w)
		if err != nil {
			return err
		}
		return in.print(trace.NewTimeline(o, incident, orders, w))
	}
	digest := trace.NewDigest(o, incident, w)
	for found, err := range in.reader.Each(cmd.Context(), w) {
		switch {
		case err != nil:
			return err
		case found.Gap != nil:
			digest.Gap(*found.Gap)
		default:
			digest.Add(found.Trace)
		}
	}
	return in.print(digest.Timeline())
}

func (in *inspection) print(t trace.Timeline) error {
	if in.as.JSON() {
		return trace.WriteJSON(in.out, t)
	}
	return in.page(func(w io.Writer, o trace.Options) error {
		o.All = in.all
		return trace.WriteTimeline(w, t, o)
	})
}

// stream writes frames as they are read. What is missing is said on standard error:
// among the lines there is no place for it.
func (in *inspection) stream(cmd *cobra.Command, o trace.OrientationTrace, incident trace.Incident, w trace.Window) error {
	frames := trace.NewFrameStream(in.out, o, incident, w)
	gaps := o.Gaps
	for found, err := range in.reader.Each(cmd.Context(), w) {
		switch {
		case err != nil:
			return errors.Join(err, frames.Close())
		case found.Gap != nil:
			gaps = append(gaps, *found.Gap)
		default:
			if err := frames.Add(found.Trace); err != nil {
				return errors.Join(err, frames.Close())
			}
		}
	}
	for _, g := range gaps {
		fmt.Fprintf(in.err, "missing: %s: %s\n", g.What, g.Why)
	}
	return frames.Close()
}

func (in *inspection) followComponent(cmd *cobra.Command) error {
	ctx := cmd.Context()
	o, err := in.reader.Orientation(ctx, in.component)
	if err != nil {
		return in.known(cmd, err)
	}
	if in.since == "" {
		in.window.From = time.Now()
	}
	now := o.During(trace.Window{From: time.Now()})
	if now.Before != nil {
		fmt.Fprintf(in.err, "%s is %s, epoch %d, since %s UTC. Ctrl-C ends.\n", in.component,
			now.Before.State, now.Before.Epoch, now.Before.Since.UTC().Format(time.DateTime))
	}
	return in.reader.Follow(ctx, in.component, in.window.From, in.live())
}

func (in *inspection) followOrder(cmd *cobra.Command, orderID string) error {
	return absent(orderID, in.reader.FollowOrder(cmd.Context(), orderID, in.live()))
}

// live shows entries as they come.
func (in *inspection) live() func([]trace.Entry) error {
	if in.as.lines() {
		return func(entries []trace.Entry) error {
			for _, e := range entries {
				if err := trace.WriteJSONLines(in.out, e.Frames); err != nil {
					return err
				}
			}
			return nil
		}
	}
	o := look(in.out)
	o.All = in.all
	return trace.NewLive(in.out, in.component, o).Write
}

// look is how a stream shows a trace: in colour on a terminal, unless NO_COLOR is
// set.
func look(w io.Writer) trace.Options {
	if !terminal.Is(w) {
		return trace.Options{Width: 100}
	}
	width, _, ok := terminal.Size(w)
	if !ok {
		width = 80
	}
	return trace.Options{Color: os.Getenv("NO_COLOR") == "", Width: width}
}

// reading shows on a terminal how many histories have been read.
func reading(w io.Writer) func(done, total int) {
	if !terminal.Is(w) {
		return nil
	}
	var said time.Time
	return func(done, total int) {
		if done == total {
			fmt.Fprint(w, "\r\x1b[K")
		} else if now := time.Now(); now.Sub(said) > 100*time.Millisecond {
			said = now
			fmt.Fprintf(w, "\r\x1b[Kreading histories: %d of %d", done, total)
		}
	}
}
