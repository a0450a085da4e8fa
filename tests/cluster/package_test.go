package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/ltp-node/ltp/internal/cluster"
	"github.com/ltp-node/ltp/internal/embedded"
	"github.com/ltp-node/ltp/internal/loopback"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/orderdb"
	"github.com/ltp-node/ltp/orderdb/pgtest"
)

// nfpm makes the packages, as it does within GoReleaser, whose version of it this is.
const nfpm = "github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2"

// TestTheDebIsUpgradedUnderWaitingOrders on a host with systemd: the parts are installed,
// and started when they are ready; an upgrade starts them anew while orders wait and come,
// and keeps the settings; a removal stops them, and leaves nothing but the settings.
func TestTheDebIsUpgradedUnderWaitingOrders(t *testing.T) {
	h := boot(t)
	debs := packages(t)
	db := pgtest.Start(t)
	url := db.Database(t)
	api, admin := h.settings(t, url)

	h.copy(t, debs[0], "/tmp/first.deb")
	h.run(t, "dpkg", "--install", "/tmp/first.deb")
	assert.Equal(t, "640 root:ltp", h.run(t, "stat", "--format", "%a %U:%G", "/etc/ltp/ltp.env"))
	h.copy(t, h.env, "/etc/ltp/ltp.env")
	h.run(t, "chown", "root:ltp", "/etc/ltp/ltp.env")
	h.run(t, "sh", "-c", "export $(grep ^TEMPORAL_ /etc/ltp/ltp.env) && ltp setup && ltp setup --orders-db "+url)
	h.run(t, "systemctl", "enable", "--now", "ltp-worker", "ltp-observer", "ltp-api")
	first := h.processes(t)
	require.Eventually(t, func() bool { return strings.Contains(answer("http://"+admin+"/orientation"), `"STABLE"`) }, patience, 100*time.Millisecond)

	db.Set(t, "default_transaction_read_only", "on")
	require.Eventually(t, func() bool { return strings.Contains(answer("http://"+admin+"/orientation"), `"UNSTABLE"`) }, patience, 100*time.Millisecond)
	shop := &customers{api: "http://" + api, answers: map[int]int{}}
	for range 100 {
		shop.order(t)
	}
	upgrading, upgraded := context.WithCancel(t.Context())
	var arriving sync.WaitGroup
	arriving.Go(func() {
		for upgrading.Err() == nil {
			shop.order(t)
			time.Sleep(50 * time.Millisecond)
		}
	})
	defer func() { upgraded(); arriving.Wait() }()
	h.copy(t, debs[1], "/tmp/second.deb")
	h.run(t, "dpkg", "--install", "/tmp/second.deb")
	upgraded()
	arriving.Wait()

	second := h.processes(t)
	for part, p := range second {
		assert.Equal(t, "0", first[part].restarts, "%s was ready and alive before", part)
		assert.NotEqual(t, first[part].pid, p.pid, "%s was started anew", part)
		assert.Equal(t, "/usr/bin/ltp", p.exe, "%s runs what is installed now", part)
		assert.Equal(t, "0", p.restarts, "%s was ready and alive after", part)
	}
	assert.NotContains(t, h.run(t, "journalctl", "--no-pager"), "stop-sigterm", "every part ended when it was to")
	mine, err := os.ReadFile(h.env)
	require.NoError(t, err)
	assert.Equal(t, strings.TrimSpace(string(mine)), h.run(t, "cat", "/etc/ltp/ltp.env"), "the settings were kept")

	db.Set(t, "default_transaction_read_only", "off")
	orders, err := orderdb.Open(t.Context(), url)
	require.NoError(t, err)
	defer func() { _ = orders.Close() }()
	require.Eventually(t, func() bool {
		tally, err := orders.Tally(t.Context(), "deb-")
		return err == nil && int(tally.Orders) >= len(shop.accepted)
	}, patience, 100*time.Millisecond)
	tally, err := orders.Tally(t.Context(), "deb-")
	require.NoError(t, err)
	assert.EqualValues(t, len(shop.accepted), tally.Orders, "each once, and none that was not accepted")
	assert.Greater(t, len(shop.accepted), 100, "orders came during the upgrade")
	for _, id := range shop.accepted {
		assert.Eventually(t, func() bool { return strings.Contains(answer("http://"+api+"/orders/"+id), `"EXECUTED"`) }, patience, 20*time.Millisecond, id)
	}
	t.Logf("%d orders accepted, %d connections refused during the upgrade, answers %v", len(shop.accepted), shop.refused, shop.answers)
	assert.Equal(t, map[int]int{http.StatusAccepted: len(shop.accepted)}, shop.answers, "whoever was answered was answered 202")

	h.run(t, "dpkg", "--remove", "ltp")
	for part := range second {
		assert.Equal(t, "inactive", h.say(t, "systemctl", "is-active", part))
	}
	left := h.run(t, "sh", "-c", "find /usr /etc /var/lib /opt -xdev -cnewer /tmp/first.deb -name '*ltp*' -not -path '/var/lib/dpkg/*' | sort")
	assert.Equal(t, "/etc/ltp\n/etc/ltp/ltp.env", left, "what a removal leaves")
	h.run(t, "dpkg", "--purge", "ltp")
	assert.NotContains(t, h.run(t, "ls", "/etc"), "ltp")
}

// host is a container that systemd runs, on the network of this machine.
type host struct {
	stack *cluster.Stack
	name  string
	env   string // the file with its settings
}

// boot returns a host that has started.
func boot(t *testing.T) *host {
	t.Helper()
	s, err := cluster.New(t.Context(), root, lines{t})
	if errors.Is(err, cluster.ErrNoEngine) {
		t.Skipf("the package is not installed: %s", err)
	}
	require.NoError(t, err)
	require.NoError(t, s.Offline(t.Context()))
	args := []string{
		"run", "--detach", "--name", s.Project + "-host", "--network", "host", "--cap-add", "SYS_ADMIN", "--cap-add", "SYS_PTRACE", "--security-opt", "seccomp=unconfined",
		"--tmpfs", "/run", "--tmpfs", "/run/lock", "--cgroupns", "host", "--volume", "/sys/fs/cgroup:/sys/fs/cgroup:ro",
	}
	// systemd keeps its own groups, in the hierarchy that the machine has for it.
	if _, err := os.Stat("/sys/fs/cgroup/systemd"); err == nil {
		args = append(args, "--volume", "/sys/fs/cgroup/systemd:/sys/fs/cgroup/systemd:rw")
	} else {
		args = append(args[:len(args)-2], "--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw")
	}
	h := &host{stack: s, name: s.Project + "-host", env: filepath.Join(t.TempDir(), "ltp.env")}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if t.Failed() {
			said, _ := s.Docker(ctx, "exec", h.name, "journalctl", "--no-pager", "--lines", "60")
			t.Log(said)
		}
		_, err := s.Docker(ctx, "rm", "--force", "--volumes", h.name)
		assert.NoError(t, err)
	})
	_, err = s.Docker(t.Context(), append(args, "ltp-offline/host")...)
	require.NoError(t, err)
	state := ""
	for end := time.Now().Add(patience); state != "running" && state != "degraded" && time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		state = h.say(t, "systemctl", "is-system-running")
	}
	if state != "running" {
		t.Skipf("the package is not installed: systemd is %q in a container of this engine: %s", state, h.say(t, "systemctl", "--failed", "--no-legend"))
	}
	return h
}

// run runs a command on the host, which must succeed, and returns what it said.
func (h *host) run(t *testing.T, command ...string) string {
	t.Helper()
	out, err := h.docker(t, append([]string{"exec", h.name}, command...)...)
	require.NoError(t, err)
	return out
}

// say runs a command on the host, and returns what it said, also where it failed.
func (h *host) say(t *testing.T, command ...string) string {
	t.Helper()
	out, _ := h.docker(t, append([]string{"exec", h.name}, command...)...)
	return out
}

func (h *host) docker(t *testing.T, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return h.stack.Docker(ctx, args...)
}

func (h *host) copy(t *testing.T, file, to string) {
	t.Helper()
	_, err := h.docker(t, "cp", file, h.name+":"+to)
	require.NoError(t, err)
}

// settings writes what stands in /etc/ltp/ltp.env for a Temporal server of the test's own
// and the order database, and returns where customers and operators are served.
func (h *host) settings(t *testing.T, orders string) (api, admin string) {
	t.Helper()
	server, err := embedded.Start(t.Context(), embedded.Options{
		StateDir: t.TempDir(), Progress: func(s embedded.Step) { t.Log(s) },
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Stop() })
	var at [4]string
	for i := range at {
		port, err := loopback.Port(0)
		require.NoError(t, err)
		at[i] = fmt.Sprintf("127.0.0.1:%d", port)
	}
	require.NoError(t, os.WriteFile(h.env, fmt.Appendf(nil, `TEMPORAL_ADDRESS=%s
TEMPORAL_NAMESPACE=%s
LTP_API_ARGS=--api %s --admin %s
LTP_WORKER_ARGS=--orders-db %s --admin %s
LTP_OBSERVER_ARGS=--orders-db %s --admin %s
`, server.Address(), server.Namespace(), at[0], at[1], orders, at[2], orders, at[3]), 0o640))
	return at[0], at[1]
}

// parts are the units that the package brings.
var parts = []string{"ltp-api", "ltp-worker", "ltp-observer"}

// process is the main process of a part.
type process struct{ pid, exe, restarts string }

// processes are those of the parts, which are ready.
func (h *host) processes(t *testing.T) map[string]process {
	t.Helper()
	all := map[string]process{}
	for _, part := range parts {
		assert.Equal(t, "active", h.say(t, "systemctl", "is-active", part))
		pid := h.run(t, "systemctl", "show", "--property", "MainPID", "--value", part)
		all[part] = process{pid, h.run(t, "readlink", "/proc/"+pid+"/exe"), h.run(t, "systemctl", "show", "--property", "NRestarts", "--value", part)}
	}
	return all
}

// packages are two debs of this checkout, the second with a higher version, made of what
// .goreleaser.yaml says of them.
func packages(t *testing.T) (debs []string) {
	t.Helper()
	dir := t.TempDir()
	tool := func(name string, args ...string) []byte {
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = root
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s %v: %s", name, args, out)
		return out
	}
	ltp := filepath.Join(dir, "ltp")
	tool("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", ltp, "./cmd/ltp")
	require.NoError(t, os.Mkdir(filepath.Join(dir, "completions"), 0o755))
	for _, shell := range []string{"bash", "zsh", "fish"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "completions", "ltp."+shell), tool(ltp, "completion", shell), 0o644))
	}
	tool(ltp, "man", filepath.Join(dir, "man"))

	content, err := os.ReadFile(filepath.Join(root, ".goreleaser.yaml"))
	require.NoError(t, err)
	content = bytes.ReplaceAll(content, []byte("build/packaging/"), []byte(dir+"/"))
	var release struct {
		Packages []map[string]any `yaml:"nfpms"`
	}
	require.NoError(t, yaml.Unmarshal(content, &release))
	require.Len(t, release.Packages, 1)
	p := release.Packages[0]
	p["name"], p["arch"], p["platform"] = p["package_name"], strings.TrimSpace(string(tool("go", "env", "GOARCH"))), "linux"
	p["contents"] = append(p["contents"].([]any), map[string]any{"src": ltp, "dst": p["bindir"].(string) + "/ltp", "file_info": map[string]any{"mode": 0o755}})
	for _, of := range []string{"package_name", "formats", "bindir"} {
		delete(p, of)
	}
	for _, version := range []string{"0.1.0", "0.1.1"} {
		p["version"] = version
		config, err := yaml.Marshal(p)
		require.NoError(t, err)
		file, deb := filepath.Join(dir, version+".yaml"), filepath.Join(dir, version+".deb")
		require.NoError(t, os.WriteFile(file, config, 0o644))
		tool("go", "run", nfpm, "package", "--config", file, "--target", deb)
		debs = append(debs, deb)
	}
	return debs
}

// customers order, and send an order again until it was answered.
type customers struct {
	api      string
	accepted []string
	answers  map[int]int
	refused  int // connections
}

// order orders once.
func (c *customers) order(t *testing.T) {
	id := fmt.Sprintf("deb-%04d", len(c.accepted))
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.api+"/orders", strings.NewReader(ordertest.JSON(id)))
		if !assert.NoError(t, err) {
			return
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Prefer", "respond-async")
		response, err := web.Do(r)
		if err != nil {
			c.refused++
			continue
		}
		said, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		c.answers[response.StatusCode]++
		if response.StatusCode == http.StatusAccepted {
			c.accepted = append(c.accepted, id)
			return
		}
		t.Logf("%s: %d %s", id, response.StatusCode, said)
	}
	assert.Fail(t, "it was not accepted", id)
}
