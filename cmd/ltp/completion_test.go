package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// completed is what the shell is given for a line whose last word is begun.
func completed(t *testing.T, line ...string) []string {
	t.Helper()
	var out bytes.Buffer
	cmd := root()
	cmd.SetArgs(append([]string{cobra.ShellCompNoDescRequestCmd}, line...))
	cmd.SetOut(&out)
	cmd.SetErr(&bytes.Buffer{})
	require.NoError(t, cmd.ExecuteContext(t.Context()))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	return lines[:len(lines)-1] // the last is how the shell is to take them
}

func TestWordsOfFlagsAreCompleted(t *testing.T) {
	for line, want := range map[string][]string{
		"orders list --state P":        {"PARKED"},
		"orders cancel --state DEF":    {"DEFERRED"},
		"orders list --reason AWAITS_": {"AWAITS_TURN", "AWAITS_REPLAY", "AWAITS_PROOF"},
		"demo --fault read":            {"readonly"},
		"inspect --format json":        {"json", "jsonl"},
		"replay simulate --scenario c": {"cold-cache"},
		"orders list --log-level w":    {"warn"},
	} {
		words := strings.Fields(line)
		begun := words[len(words)-1]
		var fit []string
		for _, c := range completed(t, words...) { // the shell leaves the others out
			if strings.HasPrefix(c, begun) {
				fit = append(fit, c)
			}
		}
		assert.Equal(t, want, fit, line)
	}
}

// TestNothingIsProposedWithoutTemporal, quietly, and no server is started.
func TestNothingIsProposedWithoutTemporal(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
	assert.Empty(t, completed(t, "--state-dir", dir, "orders", "get", ""))
	assert.Empty(t, completed(t, "--state-dir", dir, "orientation", "hold", "--component", ""))
}
