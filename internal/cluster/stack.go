// Package cluster runs the production path in containers: docker-compose.yml as a project
// of its own, with free ports and passwords that nobody else has. It plays the incident
// there, and removes what it has started, by name, and nothing else.
package cluster

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ltp-node/ltp/internal/loopback"
)

// ErrNoEngine says that containers cannot be started on this machine, and what is missing.
var ErrNoEngine = errors.New("no containers can be started here")

// Stack is the services of docker-compose.yml as one project. It is not safe for
// concurrent use.
type Stack struct {
	// Project is its name, with which every container, network and volume of it begins.
	Project string
	dir     string
	compose []string // the command
	env     []string
	say     io.Writer
	orders  []string // the services of the order database; nil until they were asked for
}

// New names a stack on the docker-compose.yml of the checkout dir, with the files over it,
// and starts nothing. What Docker and its tools say goes to say. Without Docker, Compose or
// a running engine the error is an ErrNoEngine.
func New(ctx context.Context, dir string, say io.Writer, over ...string) (*Stack, error) {
	compose, err := find(ctx)
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	s := &Stack{Project: "ltp-" + strings.ToLower(rand.Text()[:8]), dir: dir, compose: compose, say: say}
	s.env = append(os.Environ(),
		"COMPOSE_PROJECT_NAME="+s.Project, "COMPOSE_PATH_SEPARATOR=:", "COMPOSE_FILE="+strings.Join(append([]string{"docker-compose.yml"}, over...), ":"),
		"COMPOSE_ANSI=never", "DOCKER_CLI_HINTS=false",
		"TEMPORAL_DB_PASSWORD="+rand.Text(), "ORDERS_DB_PASSWORD="+rand.Text(), "ORDERS_DB_ADMIN_PASSWORD="+rand.Text(), "TEMPORAL_NAMESPACE=default")
	// Not 0, for which Docker takes another port at every start of the container.
	for _, port := range []string{"API_PORT", "API_2_PORT", "TEMPORAL_PORT", "TEMPORAL_UI_PORT", "PROMETHEUS_PORT"} {
		free, err := loopback.Port(0)
		if err != nil {
			return nil, err
		}
		s.env = append(s.env, fmt.Sprintf("%s=%d", port, free))
	}
	return s, nil
}

// Command is a command of Compose, with its arguments.
func (s *Stack) Command(args ...string) []string { return append(slices.Clone(s.compose), args...) }

// find returns the command of Compose, where the engine answers.
func find(ctx context.Context) ([]string, error) {
	if _, err := exec.LookPath("docker"); err != nil {
		return nil, fmt.Errorf("%w: docker is not installed", ErrNoEngine)
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "docker", "version", "--format", "{{.Server.Version}}").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: the Docker engine does not answer: %s", ErrNoEngine, bytes.TrimSpace(out))
	}
	for _, compose := range [][]string{{"docker", "compose"}, {"docker-compose"}} {
		if exec.CommandContext(ctx, compose[0], append(compose[1:], "version")...).Run() == nil {
			return compose, nil
		}
	}
	return nil, fmt.Errorf("%w: Docker Compose is not installed", ErrNoEngine)
}

// Images makes every image ready. Where no registry answers, deploy/offline builds them,
// which takes minutes the first time.
func (s *Stack) Images(ctx context.Context) error {
	err := s.command(ctx, nil, io.Discard, s.Command("pull", "--quiet", "temporal-db")...)
	if err == nil {
		return s.command(ctx, nil, s.say, s.Command("build")...)
	}
	fmt.Fprintf(s.say, "No image comes from a container registry, so deploy/offline builds them: %v\n", err)
	return s.Offline(ctx)
}

// Offline has deploy/offline build every image, and uses those.
func (s *Stack) Offline(ctx context.Context) error {
	offline := filepath.Join(s.dir, "deploy", "offline")
	if err := s.command(ctx, nil, s.say, filepath.Join(offline, "build.sh")); err != nil {
		return err
	}
	images, err := os.ReadFile(filepath.Join(offline, "images.env"))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(images)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			s.env = append(s.env, line)
		}
	}
	return nil
}

// Up starts the services, and returns when they were started; Down must be called, also
// after an error.
func (s *Stack) Up(ctx context.Context) error {
	return s.command(ctx, nil, s.say, s.Command("up", "--detach")...)
}

// Down removes what the project has: containers, networks and volumes.
func (s *Stack) Down() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	_ = s.command(ctx, nil, io.Discard, s.Command("unpause")...) // what is paused cannot be stopped
	// Containers of `run`, too, if one was cut off.
	return s.command(ctx, nil, io.Discard, s.Command("down", "--volumes", "--remove-orphans", "--timeout", "5")...)
}

// Compose runs a command of Compose, such as pause orders-db, and returns its output.
func (s *Stack) Compose(ctx context.Context, args ...string) (string, error) {
	var out strings.Builder
	err := s.command(ctx, nil, &out, s.Command(args...)...)
	return out.String(), err
}

// Docker runs a command of Docker and returns its output.
func (s *Stack) Docker(ctx context.Context, args ...string) (string, error) {
	var out strings.Builder
	err := s.command(ctx, nil, &out, append([]string{"docker"}, args...)...)
	return strings.TrimSpace(out.String()), err
}

// Address is where a port of a service is published, as host:port.
func (s *Stack) Address(ctx context.Context, service, port string) (string, error) {
	out, err := s.Compose(ctx, "port", service, port)
	return strings.TrimSpace(out), err
}

// Tool runs a command of ltp inside the network, as `docker compose run --rm ltp` does, and
// returns its output; with an error, too.
func (s *Stack) Tool(ctx context.Context, args ...string) (string, error) {
	return s.Compose(ctx, append([]string{"run", "--rm", "-T", "ltp"}, args...)...)
}

// command runs a program in the checkout. The error has what it said on standard error,
// which is not shown otherwise unless it is written to out as well.
func (s *Stack) command(ctx context.Context, in io.Reader, out io.Writer, program ...string) error {
	cmd := exec.CommandContext(ctx, program[0], program[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdin, cmd.Stdout = s.dir, s.env, in, out
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	var said strings.Builder
	if cmd.Stderr = &said; out == s.say {
		cmd.Stderr = io.MultiWriter(&said, s.say)
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(program, " "), err, last(said.String(), 2000))
	}
	return nil
}

// last is the end of a text.
func last(s string, n int) string {
	s = strings.TrimSpace(s)
	return s[max(0, len(s)-n):]
}
