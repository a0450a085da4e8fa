// Package cluster plays the incident on docker-compose.yml, in containers.
package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp/audit"
	"github.com/ltp-node/ltp/demo"
	"github.com/ltp-node/ltp/internal/cluster"
)

// root is the checkout.
const root = "../.."

// patience is how long a test waits for what must come.
const patience = 2 * time.Minute

// maxImage is how large the image of the order node may be.
const maxImage = 60_000_000

// lines writes lines to the log of a test.
type lines struct{ t *testing.T }

func (l lines) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimRight(string(p), "\n"))
	return len(p), nil
}

// start returns a stack that takes orders, and is removed with the test.
func start(t *testing.T, over ...string) *cluster.Stack {
	t.Helper()
	s, err := cluster.New(t.Context(), root, lines{t}, over...)
	if errors.Is(err, cluster.ErrNoEngine) {
		t.Skipf("the production path is not played: %s", err)
	}
	require.NoError(t, err)
	require.NoError(t, s.Images(t.Context()))
	t.Cleanup(func() {
		if t.Failed() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			said, _ := s.Compose(ctx, "logs", "--no-color", "--tail", "20")
			states, _ := s.Compose(ctx, "ps")
			t.Logf("%s\n%s", states, said)
		}
		assert.NoError(t, s.Down())
	})
	up(t, s)
	return s
}

func up(t *testing.T, s *cluster.Stack) {
	t.Helper()
	require.NoError(t, s.Up(t.Context()))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, s.Ready(ctx))
}

// TestTheProductionPathLivesThroughTheIncident: no order is refused, lost or executed
// twice, none is written while the database is unfit, and all are still there after the
// whole stack was stopped and started again.
func TestTheProductionPathLivesThroughTheIncident(t *testing.T) {
	s := start(t)

	t.Run("the image of the order node holds nothing but it", func(t *testing.T) { theImage(t, s) })
	t.Run("every part says that it is well", func(t *testing.T) { everyPartIsWell(t, s) })
	t.Run("the order API does not reach the order database", func(t *testing.T) { networks(t, s) })
	t.Run("Prometheus and Temporal UI answer", func(t *testing.T) { operators(t, s) })

	example := theIncident(t, s, cluster.Pause)

	_, err := s.Compose(t.Context(), "stop")
	require.NoError(t, err)
	up(t, s)
	assert.Contains(t, get(t, s, "api", "8080", "/orders/"+example), `"EXECUTED"`)
}

// theIncident plays an incident, and returns an order that was deferred in it.
func theIncident(t *testing.T, s *cluster.Stack, fault cluster.Fault) (example string) {
	report, err := s.Play(t.Context(), cluster.Incident{Orders: 200, Outage: 12 * time.Second, Fault: fault, Show: progress(t)})
	require.NoError(t, err)
	for _, v := range report.Guarantees {
		assert.True(t, v.Held, "%s: %s", v.Guarantee, v.Evidence)
	}
	assert.Equal(t, report.Orders.Accepted, report.Orders.Executed)
	assert.Equal(t, report.Orders.Accepted, report.OrderDB.Rows)
	assert.Positive(t, report.Orders.Deferred)

	found, err := s.Audit(t.Context())
	require.NoError(t, err)
	for _, c := range found.Claims {
		assert.Equal(t, audit.Held, c.Verdict, "%s: %s %v", c.Name, c.Why, c.Breaches)
	}
	return report.Example
}

// theImage: small, of a user who is nobody, and without a shell.
func theImage(t *testing.T, s *cluster.Stack) {
	out, err := s.Compose(t.Context(), "ps", "-q", "api")
	require.NoError(t, err)
	said, err := s.Docker(t.Context(), "inspect", strings.TrimSpace(out))
	require.NoError(t, err)
	var containers []struct {
		Image      string
		Config     struct{ User string }
		HostConfig struct {
			ReadonlyRootfs bool
			Memory         int64
			PidsLimit      int64
			CapDrop        []string
		}
	}
	require.NoError(t, json.Unmarshal([]byte(said), &containers))
	c := containers[0]
	assert.NotContains(t, []string{"", "0", "root"}, c.Config.User)
	assert.True(t, c.HostConfig.ReadonlyRootfs)
	assert.Positive(t, c.HostConfig.Memory)
	assert.Positive(t, c.HostConfig.PidsLimit)
	assert.Equal(t, []string{"ALL"}, c.HostConfig.CapDrop)
	var images []struct{ Size int64 }
	said, err = s.Docker(t.Context(), "image", "inspect", c.Image)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal([]byte(said), &images))
	assert.LessOrEqual(t, images[0].Size, int64(maxImage))
	_, err = s.Docker(t.Context(), "run", "--rm", "--network", "none", "--entrypoint", "sh", c.Image, "-c", "true")
	assert.ErrorContains(t, err, "executable file not found")
}

// everyPartIsWell waits for the health checks of the parts.
func everyPartIsWell(t *testing.T, s *cluster.Stack) {
	for _, service := range []string{"api", "worker", "observer", "temporal", "temporal-db", "orders-db"} {
		all, err := s.Containers(t.Context(), service)
		require.NoError(t, err)
		for _, c := range all {
			assert.NoError(t, c.Healthy(t.Context()))
		}
	}
}

// networks asks from inside the containers, by the one program that is there. Postgres does
// not speak HTTP, and hangs up on it; a container of no common network is not there at all.
func networks(t *testing.T, s *cluster.Stack) {
	asks := func(from, service, port string) string {
		out, err := s.Compose(t.Context(), "ps", "-q", service)
		require.NoError(t, err)
		at, err := s.Docker(t.Context(), "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}", strings.TrimSpace(out))
		require.NoError(t, err)
		_, err = s.Compose(t.Context(), "exec", "-T", from, "ltp", "health", "http://"+strings.Fields(at)[0]+":"+port)
		require.Error(t, err)
		return err.Error()
	}
	assert.Contains(t, asks("worker", "orders-db", "5432"), "EOF")
	assert.Contains(t, asks("api", "orders-db", "5432"), "does not answer within")
	assert.Contains(t, asks("api", "temporal-db", "5432"), "does not answer within")
	assert.NotContains(t, asks("worker", "temporal-db", "5432"), "EOF")
}

func operators(t *testing.T, s *cluster.Stack) {
	var up struct {
		Data struct {
			ActiveTargets []struct {
				Labels map[string]string `json:"labels"`
				Health string            `json:"health"`
			} `json:"activeTargets"`
		} `json:"data"`
	}
	assert.Eventually(t, func() bool {
		up.Data.ActiveTargets = nil
		if json.Unmarshal([]byte(get(t, s, "prometheus", "9090", "/api/v1/targets")), &up) != nil {
			return false
		}
		jobs := map[string]int{}
		for _, target := range up.Data.ActiveTargets {
			if target.Health == "up" {
				jobs[target.Labels["job"]]++
			}
		}
		return jobs["ltp-api"] == 1 && jobs["ltp-worker"] == 1 && jobs["ltp-observer"] == 2
	}, patience, time.Second, "%v", &up)
	assert.Contains(t, get(t, s, "temporal-ui", "8080", "/"), "<html")
	assert.Contains(t, get(t, s, "temporal-ui", "8080", "/api/v1/namespaces/default"), `"NAMESPACE_STATE_REGISTERED"`)
}

// get is what a service answers at its published port.
func get(t *testing.T, s *cluster.Stack, service, port, path string) string {
	t.Helper()
	at, err := s.Address(t.Context(), service, port)
	require.NoError(t, err)
	return answer("http://" + at + path)
}

// web does not wait for ever.
var web = &http.Client{Timeout: 30 * time.Second}

// answer is what a URL answers, or why nobody does.
func answer(url string) string {
	response, err := web.Get(url)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	said, _ := io.ReadAll(response.Body)
	return string(said)
}

// progress logs every act and state.
func progress(t *testing.T) func(demo.Scene) {
	var last demo.Scene
	return func(now demo.Scene) {
		if now.Act != last.Act || now.Epoch != last.Epoch {
			t.Logf("%s epoch %d, %d received, %d executed, %d errors: %s", now.State, now.Epoch, now.Accepted, now.Executed, now.Errors, now.Act)
			last = now
		}
	}
}

// TestNothingStartsWithoutPasswords: none stands in docker-compose.yml.
func TestNothingStartsWithoutPasswords(t *testing.T) {
	s, err := cluster.New(t.Context(), root, io.Discard)
	if errors.Is(err, cluster.ErrNoEngine) {
		t.Skipf("the compose file is not read: %s", err)
	}
	require.NoError(t, err)
	nothing := filepath.Join(t.TempDir(), "env") // in place of an .env that somebody has
	require.NoError(t, os.WriteFile(nothing, nil, 0o600))
	config := func(env ...string) (string, error) {
		command := s.Command("--env-file", nothing, "config")
		cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
		cmd.Dir, cmd.Env = root, append(slices.DeleteFunc(os.Environ(), func(v string) bool {
			name, _, _ := strings.Cut(v, "=")
			return strings.HasSuffix(name, "_DB_PASSWORD")
		}), env...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	said, err := config()
	assert.Error(t, err)
	assert.Contains(t, said, "cp .env.example .env")
	example, err := os.ReadFile(root + "/.env.example")
	require.NoError(t, err)
	var env []string
	for line := range strings.Lines(string(example)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			env = append(env, line)
		}
	}
	said, err = config(env...)
	assert.NoError(t, err, said)
}
