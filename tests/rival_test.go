package tests

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp/demo"
	"github.com/ltp-node/ltp/orderdb/pgtest"
)

// TestDemoOnItsOwnServersHoldsEveryGuarantee: the demo as a user runs it on servers of its own, with as
// many orders that are merely retried besides. Every guarantee holds, and the gate
// spares the database what retries do to it.
func TestDemoOnItsOwnServersHoldsEveryGuarantee(t *testing.T) {
	pgtest.Needed(t)
	c := newTerminal(t)
	p := c.start("demo", "--orders-db", "postgres", "--fault", "readonly", "--compare", "--format", "json", "--exit", "--orders", "100", "--outage", "10s", "--ui-port", "0")
	require.Zero(t, p.Wait(), p.Stderr.String())
	var report demo.Report
	require.NoError(t, json.Unmarshal([]byte(p.Stdout.String()), &report))
	assert.True(t, report.Held())
	assert.Equal(t, "readonly", report.Outage.Fault)
	assert.Zero(t, report.Orders.Errors)
	require.NotNil(t, report.Comparison)
	gate, plain := report.Comparison.Gate, report.Comparison.Plain
	assert.Zero(t, gate.FailedWritesKnowingly, "nothing is written when the outage is known")
	assert.Greater(t, plain.FailedKnowingly, 100, "retries hammer")
	assert.GreaterOrEqual(t, gate.Executed, report.Orders.Executed)
	assert.Equal(t, report.Orders.Executed, plain.Executed, "and get there as well")
}

// TestDemoAsksBeforeItLocksADatabaseOfYours: nothing is touched without a yes.
func TestDemoAsksBeforeItLocksADatabaseOfYours(t *testing.T) {
	c := newTerminal(t)
	said := c.refused("demo", "--orders-db", "postgres://app:secret@127.0.0.1:1/orders", "--exit")
	assert.Contains(t, said, "--yes")
	assert.NotContains(t, said, "secret")
	assert.Contains(t, c.refused("demo", "--fault", "kill"), "--orders-db postgres")
	assert.Contains(t, c.refused("demo", "--orders-db", "postgres", "--fault", "flood"), "freeze")
	assert.Contains(t, c.refused("demo", "--orders-db", "postgres", "--postgres-bin", t.TempDir()), "initdb")
}

// TestDemoLeavesNoServerBehind: it is killed in the middle of the outage, with a server
// that is frozen and cannot see it.
func TestDemoLeavesNoServerBehind(t *testing.T) {
	bin := pgtest.Needed(t)
	c := newTerminal(t)
	p := c.start("demo", "--orders-db", "postgres", "--postgres-bin", bin, "--fault", "freeze", "--exit", "--orders", "60", "--ui-port", "0")
	p.Says(&p.Stderr, "the leader is frozen for")
	servers := postgresOf(t, p.Cmd.Process.Pid)
	assert.Len(t, servers, 2)
	p.Kill()
	require.Eventually(t, func() bool {
		for _, pid := range servers {
			if isPostgres(pid) {
				return false
			}
		}
		return true
	}, patience, 50*time.Millisecond)
}

// postgresOf returns the servers that a process has started.
func postgresOf(t *testing.T, parent int) (pids []string) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("processes are looked up in /proc")
	}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	require.NoError(t, err)
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		pid := filepath.Base(filepath.Dir(path))
		// pid (name) state parent ...
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(parent) && isPostgres(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func isPostgres(pid string) bool {
	line, err := os.ReadFile(filepath.Join("/proc", pid, "cmdline"))
	return err == nil && strings.Contains(string(line), "/postgres\x00-D")
}
