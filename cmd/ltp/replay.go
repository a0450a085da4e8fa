package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/words"
)

func (a *app) replayCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "replay",
		Short: "Watch, plan and control how deferred orders are released",
		Long: `Watch, plan and control how deferred orders are released when a component is fit again.

What an operator says stands until another word is said, also over the next outage, and
is kept in the history. It changes neither the state nor the epoch: a paused replay
leaves the component RECOVERING, and its orders waiting.`,
	}
	cmd.AddCommand(a.replayStatus(), a.replayPlan(), a.replayPause(), a.replayResume(), a.replayRate(), a.replaySimulate())
	return cmd
}

// controlFlags are the flags of a change of the replay control.
type controlFlags struct {
	component string
	word      ltp.ReplayControlChange
	as        format
}

func (s *controlFlags) flags(cmd *cobra.Command) {
	s.component = ltp.DefaultComponent
	s.as.flag(cmd, "what operators say of the replay, as one object")
	whoAndWhy(cmd, &s.component, &s.word.By, &s.word.Why)
}

// rateFlag lets the word set the rate as well.
func (s *controlFlags) rateFlag(cmd *cobra.Command) {
	cmd.Flags().Func("rate", "also set the most orders released in a second; 0 leaves it to the pace", func(text string) error {
		rate, err := strconv.ParseFloat(text, 64)
		s.word.Rate = &rate
		return err
	})
}

// controlReplay sends the change and shows the replay control that is in force since.
func (a *app) controlReplay(cmd *cobra.Command, s *controlFlags) error {
	// What is no number at all cannot even be said: see ltp.ReplayControlChange.Validate.
	if err := s.word.Validate(ltp.ReplayControl{Paused: true}); err != nil && s.word.By != "" && s.word.Why != "" {
		return err
	}
	var now ltp.ReplayControl
	if err := a.sendUpdate(cmd.Context(), s.component, ltp.ReplayControlUpdate, s.word, s.word.By, s.word.Why, &now); err != nil {
		return err
	}
	return s.as.show(cmd, now, func(w io.Writer) {
		lines := controlWords(now, time.Now())
		if len(lines) == 0 {
			lines = []string{"no operator says anything of it: the pace decides"}
		}
		for _, line := range lines {
			fmt.Fprintf(w, "Replay of %s: %s\n", s.component, words.Clean(line))
		}
	})
}

func (a *app) replayPause() *cobra.Command {
	var s controlFlags
	cmd := &cobra.Command{
		Use:   "pause",
		Short: "Release nothing until resumed; what is released goes on",
		Long: `Release nothing until resumed. Orders that are released already go on. The component
stays RECOVERING, so that new orders wait as well; to stop all writes, also those of a
STABLE component, use ltp orientation hold.`,
		Example: "  ltp replay pause --why 'the cache is cold'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s.word.Paused = new(true)
			return a.controlReplay(cmd, &s)
		},
	}
	s.flags(cmd)
	s.rateFlag(cmd)
	return cmd
}

func (a *app) replayResume() *cobra.Command {
	var s controlFlags
	cmd := &cobra.Command{
		Use:     "resume",
		Short:   "Go on with a paused replay",
		Example: "  ltp replay resume --rate 200 --why 'the cache is warm'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s.word.Paused = new(false)
			return a.controlReplay(cmd, &s)
		},
	}
	s.flags(cmd)
	s.rateFlag(cmd)
	return cmd
}

func (a *app) replayRate() *cobra.Command {
	var s controlFlags
	var reset bool
	cmd := &cobra.Command{
		Use:   "rate N | --reset",
		Short: "Release at most N orders a second; 0 leaves it to the pace",
		Long: fmt.Sprintf(`Release at most N orders a second, %v at least. The pace may go slower, and does when
commits fail or take long. 0, or --reset, leaves the rate to the pace again.`, ltp.MinRate),
		Example: "  ltp replay rate 50 --why 'the cache is cold'\n  ltp replay rate --reset --why 'it is warm'",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if reset == (len(args) == 1) {
				return errors.New("give the most orders a second, or --reset")
			}
			rate := 0.0
			if !reset {
				var err error
				if rate, err = strconv.ParseFloat(args[0], 64); err != nil {
					return fmt.Errorf("%q is no rate: give the most orders a second", args[0])
				}
			}
			s.word.Rate = &rate
			return a.controlReplay(cmd, &s)
		},
	}
	s.flags(cmd)
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		if _, digits, is := strings.Cut(err.Error(), "unknown shorthand flag: "); is && strings.ContainsAny(digits[:min(3, len(digits))], "0123456789.") {
			return errors.New("a rate is not negative: give the most orders a second, or 0 for no limit")
		}
		return err
	})
	cmd.Flags().BoolVar(&reset, "reset", false, "leave the rate to the pace again")
	return cmd
}
