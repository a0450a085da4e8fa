package main

import (
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ltp-node/ltp/internal/terminal"
	"github.com/ltp-node/ltp/replay/pace/simulate"
)

func (a *app) replaySimulate() *cobra.Command {
	var f simulateFlags
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Play the release of a backlog against a modelled database",
		Long: `Play the release of a backlog against a modelled order database, with the pacing that
the replay engine uses, and compare it with releasing at a fixed rate, without feedback.
Needs no server and takes no time; the same flags give the same figures.

Scenarios: healthy; cold-cache, where a write takes 20 times as long until the cache is
warm; relapse, where the database fails when it is asked for more than 40 % of its
capacity; arrivals, where 100 new orders a second join.

Policies: feedback is the engine's pace; forgetful does not know under which rate the
component fell before; fixed releases at the ceiling, as a batch job that signals does.`,
		Example: "  ltp replay simulate --scenario cold-cache --orders 1000000\n  ltp replay simulate --scenario relapse --svg relapse.svg",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.scenario, "scenario", "all", strings.Join(simulate.Scenarios, ", ")+" or all")
	flags.Int64Var(&f.orders, "orders", 1500, "how many orders wait")
	flags.Float64Var(&f.rate, "rate", 0, "the most orders released per second, as an operator says it; 0 is the pace's ceiling")
	flags.Float64Var(&f.capacity, "capacity", 1500, "how many writes per second the database does at most, once warm")
	flags.Uint64Var(&f.seed, "seed", 1, "of what is random")
	f.as.flag(cmd, "a line for each run, with the load over time")
	flags.StringVar(&f.svg, "svg", "", "also draw the load over time into this file")
	return cmd
}

type simulateFlags struct {
	scenario, svg  string
	orders         int64
	rate, capacity float64
	seed           uint64
	as             format
}

func (f simulateFlags) run(cmd *cobra.Command) error {
	models, err := f.models()
	if err != nil {
		return err
	}
	var results []simulate.Result
	for _, m := range models {
		r, err := simulate.Run(cmd.Context(), m)
		if err != nil {
			return err
		}
		results = append(results, r)
		if f.as.JSON() {
			if err := printJSONLine(cmd.OutOrStdout(), r); err != nil {
				return err
			}
		}
	}
	if !f.as.JSON() {
		out := cmd.OutOrStdout()
		if err := errors.Join(simulate.WriteTable(out, results), simulate.WriteText(out, shownOf(results), !terminal.Is(out))); err != nil {
			return err
		}
	}
	if f.svg == "" {
		return nil
	}
	return writeFile(f.svg, func(w io.Writer) error { return simulate.WriteSVG(w, shownOf(results)) })
}

// models are the runs to make: each scenario under each policy.
func (f simulateFlags) models() ([]simulate.Model, error) {
	names := []string{f.scenario}
	if f.scenario == "all" {
		names = simulate.Scenarios
	}
	var models []simulate.Model
	for _, name := range names {
		m, err := simulate.Scenario(name, f.orders)
		if err != nil {
			return nil, err
		}
		m.Limit, m.Database.Capacity, m.Seed = f.rate, f.capacity, f.seed
		for _, m.Policy = range simulate.Policies {
			if m.Policy == simulate.Forgetful && m.Database.FailAbove == 0 {
				continue // nothing falls that could be forgotten
			}
			if err := m.Validate(); err != nil {
				return nil, err
			}
			models = append(models, m)
		}
	}
	return models, nil
}

// shownOf are the results that are drawn: the engine's, and what it is compared with.
func shownOf(results []simulate.Result) []simulate.Result {
	return slices.DeleteFunc(slices.Clone(results), func(r simulate.Result) bool { return r.Policy == simulate.Forgetful })
}
