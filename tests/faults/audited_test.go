package faults

import (
	"encoding/json"
	"path/filepath"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/audit"
	"github.com/ltp-node/ltp/trace"
)

// What the real binary says of it.

// audited has the real binary audit every incident. Nothing may be broken; what is not
// checked may only be what was lost with a worker that was killed.
func (r *rig) audited() {
	r.T.Helper()
	o, err := r.Reader().Orientation(r.Ctx, ltp.DefaultComponent)
	require.NoError(r.T, err)
	for n := range trace.Incidents(o) {
		var a audit.Audit
		said := r.command("audit", "--format", "json", "--orders-db", r.Orders, "--incident", number(n+1))
		require.NoError(r.T, json.Unmarshal([]byte(said), &a), said)
		for _, c := range a.Claims {
			allowed := c.Verdict == audit.Held || c.Verdict == audit.NotChecked && c.Name == audit.Fenced
			assert.Truef(r.T, allowed, "incident %d: %s is %s: %s %v", n+1, c.Name, c.Verdict, c.Why, c.Breaches)
		}
	}
}

// verified exports every incident, and has every file verified.
func (r *rig) verified() {
	r.T.Helper()
	o, err := r.Reader().Orientation(r.Ctx, ltp.DefaultComponent)
	require.NoError(r.T, err)
	for n := range trace.Incidents(o) {
		file := filepath.Join(r.Dir, "incident-"+number(n+1)+".jsonl")
		r.command("trace", "export", "--incident", number(n+1), "-o", file)
		assert.Contains(r.T, r.command("trace", "verify", file), "is whole")
	}
}

// command runs an ltp command to its end, and returns what it printed.
func (r *rig) command(args ...string) string {
	r.T.Helper()
	p := r.Command(append(args, "--state-dir", r.Dir)...)
	if status := p.Wait(); status != 0 {
		r.T.Logf("%s: status %d\n%s", p, status, p.Stderr.String())
	}
	return p.Stdout.String()
}
