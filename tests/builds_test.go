package tests

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/tests/child"
)

// earlierBuild is the source of an earlier worker, all of it, with a main of its own:
//
//	git archive 32aa45f -- go.mod go.sum '*.go' activities board observer orderdb worker workflows
//
// without its tests, and cmd/worker/main.go. Orders of its time may still wait.
const earlierBuild = "testdata/builds/32aa45f.tar.gz"

// buildEarlier compiles the earlier worker and returns its binary.
func buildEarlier(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	f, err := os.Open(earlierBuild)
	require.NoError(t, err)
	defer f.Close()
	zipped, err := gzip.NewReader(f)
	require.NoError(t, err)
	for files := tar.NewReader(zipped); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if h.Typeflag != tar.TypeReg {
			continue
		}
		require.True(t, filepath.IsLocal(h.Name), h.Name)
		path := filepath.Join(dir, h.Name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		data, err := io.ReadAll(files)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, data, 0o600))
	}
	binary := filepath.Join(dir, "earlier")
	build := exec.Command("go", "build", "-C", dir, "-o", binary, "./cmd/worker")
	said, err := build.CombinedOutput()
	require.NoErrorf(t, err, "%s", said)
	return binary
}

// deployment is an order node whose workers are processes of one build or the other.
type deployment struct {
	*rig
	binary  string
	workers []*process
}

func newDeployment(t *testing.T) *deployment {
	d := &deployment{rig: newRig(t), binary: buildEarlier(t)}
	d.observer()
	return d
}

// earlier and today start a worker of a build.
func (d *deployment) earlier() {
	d.t.Helper()
	env := child.Environment(d.t, "TEMPORAL_ADDRESS="+d.server.Address(), "TEMPORAL_NAMESPACE="+d.server.Namespace())
	p := launch(d.t, env, d.binary, d.orders)
	p.Says(&p.Stderr, `runs on Temporal namespace`)
	d.workers = append(d.workers, p)
}

func (d *deployment) today() { d.workers = append(d.workers, d.worker()) }

// stop stops the workers that run.
func (d *deployment) stop() {
	for _, p := range d.workers {
		p.Interrupt()
		d.calm(p)
	}
	d.workers = nil
}

// calm checks that a worker has met no workflow that it could not go on with.
func (d *deployment) calm(p *process) {
	for _, bad := range []string{"TMPRL1100", "nondeterminis", "panic"} {
		assert.NotContains(d.t, strings.ToLower(p.Stderr.String()), strings.ToLower(bad), "%s", p)
	}
}

// wait submits orders in an outage and waits until they are deferred.
func (d *deployment) wait(prefix string, n int) (ids []string) {
	d.t.Helper()
	for i := range n {
		id := fmt.Sprintf("%s%03d", prefix, i)
		require.Equal(d.t, ltp.Deferred, d.decided(d.submit(order(id))).State)
		ids = append(ids, id)
	}
	return ids
}

// goneThrough checks that no workflow got stuck, and returns how many orders workers of
// both builds have worked on.
func (d *deployment) goneThrough(ids []string) (both int) {
	d.t.Helper()
	workflows := []string{ltp.OrientationWorkflowID(ltp.DefaultComponent)}
	for _, id := range ids {
		workflows = append(workflows, ltp.OrderWorkflowID(id))
	}
	for _, id := range workflows {
		builds := map[bool]bool{}
		for _, e := range d.history(id).GetEvents() {
			if failed := e.GetWorkflowTaskFailedEventAttributes(); failed != nil {
				// A signal that comes while an order ends has it look again: no harm.
				assert.Equal(d.t, enumspb.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND, failed.GetCause(), "%s: %s", id, e)
			}
			if done := e.GetWorkflowTaskCompletedEventAttributes(); done != nil {
				builds[strings.HasPrefix(done.GetIdentity(), "32aa45f/")] = true
			}
		}
		if len(builds) == 2 && strings.HasPrefix(id, "order/") {
			both++
		}
	}
	return both
}

// TestOrdersGoOnAcrossDeployments: orders that an earlier build deferred end under
// today's, and the other way round when it is rolled back.
func TestOrdersGoOnAcrossDeployments(t *testing.T) {
	for name, roll := range map[string]struct{ from, to func(*deployment) }{
		"forward": {(*deployment).earlier, (*deployment).today},
		"back":    {(*deployment).today, (*deployment).earlier},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDeployment(t)
			seen := d.watch()
			roll.from(d)
			d.untilOn(seen, ltp.Stable)
			end := d.outage()
			d.untilOn(seen, ltp.Unstable)
			ids := d.wait("roll-", 20)
			d.stop()
			end()

			roll.to(d)
			d.executedOnce("roll-", ids)
			d.untilOn(seen, ltp.Stable)
			d.submit(order("roll-last"))
			d.executedOnce("roll-", append(ids, "roll-last"))
			d.stop()
			assert.Equal(t, len(ids), d.goneThrough(ids), "each was begun by one build and ended by the other")
		})
	}
}

// TestTwoBuildsDrainTogether: in the middle of a deployment workers of both builds share
// the queues, and any order may come to either.
func TestTwoBuildsDrainTogether(t *testing.T) {
	d := newDeployment(t)
	seen := d.watch()
	both := func() { d.earlier(); d.today() }
	both()
	d.untilOn(seen, ltp.Stable)
	end := d.outage()
	d.untilOn(seen, ltp.Unstable)
	ids := d.wait("both-", 100)
	d.stop() // so that no worker knows its orders
	both()
	end()
	d.executedOnce("both-", ids)
	d.untilOn(seen, ltp.Stable)
	d.stop()
	assert.Positive(t, d.goneThrough(ids), "some were begun by one build and ended by the other")
}
