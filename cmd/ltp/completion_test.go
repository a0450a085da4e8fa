package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp/webhook"
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
		"keys create --role s":         {"support"},
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

func TestKeysAndEndpointsAreCompletedFromTheirFiles(t *testing.T) {
	dir := t.TempDir()
	keys, hooks := dir+"/api.keys", dir+"/hooks.json"
	var ids []string
	for _, name := range []string{"web", "desk"} {
		out, _, err := run(t, "", "keys", "create", "--keys", keys, "--role", "support", "--name", name, "--format", "json")
		require.NoError(t, err)
		var made listedKey
		require.NoError(t, json.Unmarshal([]byte(out), &made))
		ids = append(ids, made.ID)
	}
	assert.Equal(t, ids, completed(t, "keys", "revoke", "--keys", keys, ""))
	_, _, err := run(t, "", "keys", "revoke", "--keys", keys, ids[0])
	require.NoError(t, err)
	assert.Equal(t, ids[1:], completed(t, "keys", "revoke", "--keys", keys, ""))
	assert.Empty(t, completed(t, "keys", "revoke", "--keys", dir+"/none", ""))

	content := fmt.Sprintf(`{"endpoints": [{"name": "shop", "url": "https://shop.example/hooks", "secrets": [%[1]q]}, {"name": "crm", "url": "https://crm.example/", "secrets": [%[1]q]}]}`, webhook.NewSecret())
	require.NoError(t, os.WriteFile(hooks, []byte(content), 0o600))
	assert.Equal(t, []string{"shop", "crm"}, completed(t, "webhooks", "test", "--webhooks", hooks, ""))
	assert.Equal(t, []string{"crm"}, completed(t, "webhooks", "test", "--webhooks", hooks, "shop", ""))
}

// TestNothingIsProposedWithoutTemporal, quietly, and no server is started.
func TestNothingIsProposedWithoutTemporal(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
	assert.Empty(t, completed(t, "--state-dir", dir, "orders", "get", ""))
	assert.Empty(t, completed(t, "--state-dir", dir, "orientation", "hold", "--component", ""))
}
