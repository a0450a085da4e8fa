package tests

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/ledger"
)

// TestAnIncidentIsExportedAndProvesWhatItSays plays a small outage, and then uses the
// real binary as an engineer, a regulator and a customer would.
func TestAnIncidentIsExportedAndProvesWhatItSays(t *testing.T) {
	r := newRig(t)
	n := r.up(r.config())
	r.Until(n.Board, ltp.Stable)
	for i := range 5 {
		r.Submit(fmt.Sprintf("before-%d", i))
		r.Ended(fmt.Sprintf("before-%d", i))
	}
	end := r.Outage()
	r.Until(n.Board, ltp.Unstable)
	for i := range 20 {
		assert.Equal(t, ltp.Deferred, r.Decided(r.Submit(fmt.Sprintf("meanwhile-%02d", i))).State)
	}
	end()
	r.Until(n.Board, ltp.Stable)
	for i := range 20 {
		assert.Equal(t, ltp.Executed, r.Ended(fmt.Sprintf("meanwhile-%02d", i)).State)
	}
	n.Stop() // no worker is needed from here on

	cli := newTerminal(t)
	cli.env = r.Environment()
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	read := func(name string) []byte {
		data, err := os.ReadFile(in(name))
		require.NoError(t, err)
		return data
	}

	first := cli.start("trace", "export", "-o", in("incident.jsonl"))
	require.Zero(t, first.Wait(), first.Stderr.String())
	assert.Contains(t, first.Stderr.String(), "Made a key to sign with", "the key is made on first use, and that is said")
	assert.Contains(t, first.Stdout.String(), "25 orders")
	info, err := os.Stat(filepath.Join(cli.stateDir, ledger.KeyFile))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	again := cli.start("trace", "export", "-o", in("again.jsonl"))
	require.Zero(t, again.Wait(), again.Stderr.String())
	assert.Empty(t, again.Stderr.String(), "the key is there")
	assert.Equal(t, string(read("incident.jsonl")), string(read("again.jsonl")), "the same history is the same bytes")
	assert.Equal(t, string(read("incident.checkpoint")), string(read("again.checkpoint")))

	require.NoError(t, r.Server.Stop()) // and no Temporal
	public, err := os.ReadFile(filepath.Join(cli.stateDir, ledger.PublicKeyFile))
	require.NoError(t, err)
	elsewhere := newTerminal(t) // a regulator, who has the public key only
	key := string(bytes.TrimSpace(public))
	var v ledger.Verdict
	require.NoError(t, json.Unmarshal([]byte(elsewhere.run("trace", "verify", in("incident.jsonl"), "--key", key, "--format", "json")), &v))
	assert.True(t, v.OK)
	assert.Len(t, v.Checks, 15)
	assert.Equal(t, map[ltp.OrderState]int{ltp.Executed: 25}, v.Counts.Ends)
	assert.Equal(t, 20, v.Counts.Replays)
	assert.Contains(t, elsewhere.run("trace", "verify", in("incident.jsonl"), "--key", key), "is whole: incident 2 of orders-db, 25 orders")

	tampered := bytes.Replace(read("incident.jsonl"), []byte(`"decision":"DEFER"`), []byte(`"decision":"EXECUTE"`), 1)
	line := bytes.Count(tampered[:bytes.Index(tampered, []byte(`"SYSTEM_UNSTABLE"`))], []byte("\n")) + 1
	require.NoError(t, os.WriteFile(in("tampered.jsonl"), tampered, 0o644))
	p := elsewhere.start("trace", "verify", in("tampered.jsonl"), "--checkpoint", in("incident.checkpoint"), "--key", key)
	assert.Equal(t, 1, p.Wait())
	assert.Contains(t, p.Stdout.String(), fmt.Sprintf("BROKEN at line %d", line))
	assert.Contains(t, elsewhere.refused("trace", "verify", in("tampered.jsonl"), "--key", key), "there is no checkpoint at")
	assert.Contains(t, elsewhere.refused("trace", "verify", in("incident.jsonl")), "whose signature should it be?")

	cli.run("trace", "prove", "--order", "meanwhile-07", in("incident.jsonl"), "-o", in("proof"))
	said := elsewhere.run("trace", "verify-proof", in("proof"), "--key", key)
	assert.Regexp(t, `(?s)^Order meanwhile-07, .* is EXECUTED\..*DEFER SYSTEM_UNSTABLE.*EXECUTE RECOVERY_CONFIRMED.*written`, said)
	other := elsewhere.run("trace", "keygen", "--name", "orders.example.com")
	assert.Contains(t, elsewhere.refused("trace", "verify-proof", in("proof"), "--key", string(bytes.TrimSpace([]byte(other)))), "proves nothing")
	assert.Contains(t, elsewhere.refused("trace", "keygen"), "holds a key already")
	assert.Contains(t, cli.refused("trace", "prove", "--order", "A99", in("incident.jsonl"), "-o", in("none")), "holds nothing of order A99")
}
