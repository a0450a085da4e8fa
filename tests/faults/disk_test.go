package faults

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/embedded"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/orderdb"
	"github.com/ltp-node/ltp/tests/child"
	"github.com/ltp-node/ltp/tests/harness"
)

// disk is a small file system that only those see who are let into its mount namespace.
// It is gone when the last of them has ended, however that ends.
type disk struct {
	t      *testing.T
	keeper *process
	dir    string // where it is mounted, for those inside
	seen   string // the same, for those outside
}

// newDisk mounts one of so many megabytes, or skips the test and says why.
func newDisk(t *testing.T, megabytes int) *disk {
	t.Helper()
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		t.Skip("a small file system is mounted by root on Linux only")
	}
	d := &disk{t: t, dir: filepath.Join(t.TempDir(), "state")}
	require.NoError(t, os.Mkdir(d.dir, 0o700))
	const script = `mount -t tmpfs -o size="$2"m ltp "$1" && echo mounted && exec sleep infinity`
	if said, err := exec.Command("unshare", "-m", "true").CombinedOutput(); err != nil {
		t.Skipf("no mount namespace can be made here: %v: %s", err, said)
	}
	d.keeper = launch(t, os.Environ(), "unshare", "-m", "sh", "-c", script, "keeper", d.dir, strconv.Itoa(megabytes))
	d.keeper.Says(&d.keeper.Stdout, "mounted")
	d.seen = filepath.Join("/proc", strconv.Itoa(d.keeper.Cmd.Process.Pid), "root", d.dir)
	return d
}

// run starts a program that sees the disk.
func (d *disk) run(env []string, program string, args ...string) *process {
	d.t.Helper()
	enter := []string{"-t", strconv.Itoa(d.keeper.Cmd.Process.Pid), "-m", program}
	return launch(d.t, env, "nsenter", append(enter, args...)...)
}

// fill leaves no byte free, and returns what gives the room back.
func (d *disk) fill() (empty func()) {
	d.t.Helper()
	ballast := filepath.Join(d.seen, "ballast")
	f, err := os.Create(ballast)
	require.NoError(d.t, err)
	for size := 1 << 20; size > 0; {
		if n, err := f.Write(make([]byte, size)); err != nil && n == 0 {
			size /= 2
		}
	}
	_ = f.Close()
	return func() { require.NoError(d.t, os.Remove(ballast)) }
}

// devNode is ltp dev with its state directory on a disk, and the orders that it was
// sent.
type devNode struct {
	*disk
	env      []string
	process  *process
	url      string
	promised []string // answered with a promise
	sent     []string
}

func (n *devNode) start() {
	n.t.Helper()
	n.process = n.run(n.env, harness.Binary(n.t), "dev", "--state-dir", n.dir, "--api", "127.0.0.1:0", "--admin", "", "--ui-port", "0", "--dwell", "300ms")
	n.url = n.process.Says(&n.process.Stdout, `Order API\s+(http://\S+)`)[1]
}

// orders has n customers order at once, each once, and returns how many of them were
// refused.
func (n *devNode) orders(prefix string, customers int) (refused int) {
	n.t.Helper()
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range customers {
		all.Go(func() {
			id := fmt.Sprintf("%s-%02d", prefix, i)
			a, err := ask(n.t.Context(), http.MethodPost, n.url+"/orders", ordertest.JSON(id), nil)
			mu.Lock()
			defer mu.Unlock()
			n.sent = append(n.sent, id)
			if err == nil && (a.status == http.StatusAccepted || a.status == http.StatusCreated) {
				n.promised = append(n.promised, id)
				return
			}
			refused++ // or it has no answer: the node has ended, or takes too long
			if err == nil {
				assert.GreaterOrEqual(n.t, a.status, 500, "it is our fault: %+v", a)
				assert.NotEmpty(n.t, a.Detail)
			}
		})
	}
	all.Wait()
	return refused
}

// executed waits until orders are executed. None may be unknown.
func (n *devNode) executed(ids []string) {
	n.t.Helper()
	for _, id := range ids {
		require.Eventually(n.t, func() bool {
			a, err := ask(n.t.Context(), http.MethodGet, n.url+"/orders/"+id, "", nil)
			assert.NotEqual(n.t, http.StatusNotFound, a.status, "%s was promised, and is gone", id)
			return err == nil && a.State == ltp.Executed
		}, patience, look, id)
	}
}

// TestNothingPromisedIsLostWhenTheDiskIsFull: Temporal's data and the order database have no
// room. Orders are promised durably or refused with an error, and of what was promised
// nothing is lost: when there is room again, nor when the node is killed before that.
func TestNothingPromisedIsLostWhenTheDiskIsFull(t *testing.T) {
	t.Parallel()
	d := newDisk(t, 48)
	server, err := embedded.Binary(t.Context(), nil)
	require.NoError(t, err)
	n := &devNode{disk: d, env: child.Environment(t, embedded.BinaryEnv+"="+server)}
	n.start()
	assert.Zero(t, n.orders("room", 10))
	for _, killed := range []bool{false, true} {
		empty := d.fill()
		refused := 0
		for round := 0; refused == 0; round++ {
			refused = n.orders(fmt.Sprintf("full-%t-%d", killed, round), 16)
		}
		t.Logf("killed: %t; %d orders were promised and %d refused", killed, len(n.promised), refused)
		if killed {
			n.process.Kill()
		}
		empty()
		if killed {
			n.start()
		}
		n.executed(n.promised)
	}
	for _, id := range n.sent { // whoever was refused sends the order again
		require.Less(t, mustPost(t, n.url, ordertest.JSON(id), nil).status, 300)
	}
	n.executed(n.sent)
	n.process.Interrupt()
	tally := d.tally("orders.db")
	assert.EqualValues(t, len(n.sent), tally.Orders)
	assert.EqualValues(t, len(n.sent), tally.Outbox)
	assert.Zero(t, tally.Duplicates)
}

// tally counts in a copy of an order database: SQLite does not open what is in a mount
// namespace of others.
func (d *disk) tally(name string) orderdb.Tally {
	d.t.Helper()
	path := filepath.Join(d.t.TempDir(), name)
	for _, part := range []string{"", "-wal"} {
		data, err := os.ReadFile(filepath.Join(d.seen, name+part))
		if part != "" && errors.Is(err, os.ErrNotExist) {
			continue
		}
		require.NoError(d.t, err)
		require.NoError(d.t, os.WriteFile(path+part, data, 0o600))
	}
	db, err := orderdb.Open(d.t.Context(), path)
	require.NoError(d.t, err)
	defer db.Close()
	tally, err := db.Tally(d.t.Context(), "")
	require.NoError(d.t, err)
	return tally
}
