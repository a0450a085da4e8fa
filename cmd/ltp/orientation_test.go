package main

import (
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
)

// TestAHoldEndsAtATimeOfThisDayOrTheNext, here, after a while, or at a moment anywhere.
func TestAHoldEndsAtATimeOfThisDayOrTheNext(t *testing.T) {
	zone := time.FixedZone("CET", 3600)
	now := time.Date(2026, 11, 5, 14, 0, 0, 500, zone)
	for name, c := range map[string]struct {
		lasts time.Duration
		until string
		want  string
		says  string
	}{
		"without an end":      {want: "0001-01-01T00:00:00Z"},
		"for a while":         {lasts: 10 * time.Minute, want: "2026-11-05T13:10:00Z"},
		"today":               {until: "15:00", want: "2026-11-05T14:00:00Z"},
		"tomorrow":            {until: "13:59", want: "2026-11-06T12:59:00Z"},
		"to the second":       {until: "15:00:07", want: "2026-11-05T14:00:07Z"},
		"at a moment":         {until: "2026-11-07T09:30:00+02:00", want: "2026-11-07T07:30:00Z"},
		"at one that is past": {until: "2026-11-05T12:00:00Z", says: "past"},
		"both":                {lasts: time.Minute, until: "15:00", says: "give one"},
		"for less than none":  {lasts: -time.Minute, says: "--for -1m0s"},
		"no time":             {until: "3 o'clock", says: "--until"},
	} {
		t.Run(name, func(t *testing.T) {
			end, err := holdEnds(now, c.lasts, c.until, c.lasts != 0)
			if c.says != "" {
				assert.ErrorContains(t, err, c.says)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, c.want, end.Format(time.RFC3339Nano))
		})
	}
}

// TestOnlyWhatWasGivenIsAskedForOfThePolicy.
func TestOnlyWhatWasGivenIsAskedForOfThePolicy(t *testing.T) {
	parse := func(args ...string) (w ltp.PolicyChange, err error) {
		cmd := &cobra.Command{RunE: func(*cobra.Command, []string) error { return nil }, SilenceErrors: true, SilenceUsage: true}
		policyFlags(cmd, &w)
		cmd.SetArgs(args)
		err = cmd.Execute()
		return w, err
	}
	w, err := parse()
	require.NoError(t, err)
	assert.True(t, w.Empty())
	w, err = parse("--dwell", "2s")
	require.NoError(t, err)
	assert.Equal(t, ltp.PolicyChange{Dwell: new(2 * time.Second)}, w, "also where it is the default")
	_, err = parse("--grace", "1h")
	assert.ErrorContains(t, err, "--grace")
	_, err = parse("--dwell", "soon")
	assert.ErrorContains(t, err, "soon")
}
