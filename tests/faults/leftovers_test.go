package faults

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/tests/child"
	"github.com/ltp-node/ltp/tests/harness"
)

// victim says that this program is the run that a test kills.
const victim = "LTP_FAULTS_VICTIM"

// TestProcessesOfAKilledRun is the run that is killed: it has a server, a frozen worker, a locked
// order database and, where that can be, a small disk.
func TestProcessesOfAKilledRun(t *testing.T) {
	if os.Getenv(victim) == "" {
		t.Skip("it is run by TestNothingRemainsOfARunThatIsKilled")
	}
	r := newRig(t, "")
	observer := r.observer(r.Orders)
	w := r.worker(r.Address)
	r.Until(r.seen, ltp.Stable)
	r.freeze(w)
	r.Outage()
	all := []int{r.Server.PID(), observer.Cmd.Process.Pid, w.Cmd.Process.Pid}
	if os.Getuid() == 0 {
		all = append(all, newDisk(t, 1).keeper.Cmd.Process.Pid)
	}
	fmt.Println("victim", os.Getenv("TMPDIR"), strings.Trim(fmt.Sprint(all), "[]"), "ready")
	<-t.Context().Done()
}

// TestNothingRemainsOfARunThatIsKilled: neither a process, not even a frozen one, nor a
// mount, nor a directory.
func TestNothingRemainsOfARunThatIsKilled(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux ends a process with the one that started it")
	}
	run := launch(t, child.Environment(t, victim+"=1", harness.BinaryVariable+"="+harness.Binary(t)), os.Args[0], "-test.run=^TestProcessesOfAKilledRun$")
	said := run.Says(&run.Stdout, `victim (\S+) ([\d ]+) ready`)
	run.Kill()
	require.Eventually(t, func() bool {
		for _, pid := range strings.Fields(said[2]) {
			if n, _ := strconv.Atoi(pid); child.State(n) != "" && child.State(n) != "Z" {
				return false
			}
		}
		_, err := os.Stat(said[1])
		return os.IsNotExist(err)
	}, patience, look, "%s and the processes %s are gone", said[1], said[2])
	mounts, err := os.ReadFile("/proc/self/mounts")
	require.NoError(t, err)
	require.NotContains(t, string(mounts), said[1])
}
