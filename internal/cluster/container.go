package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Container is one container of a stack.
type Container struct {
	Service string
	ID      string
	stack   *Stack
}

func (c Container) String() string { return c.Service + "/" + c.ID[:min(8, len(c.ID))] }

// Containers are those of a service that are there, running or not, in an order that does
// not change.
func (s *Stack) Containers(ctx context.Context, service string) ([]Container, error) {
	out, err := s.Docker(ctx, "ps", "--all", "--quiet", "--no-trunc",
		"--filter", "label=com.docker.compose.project="+s.Project, "--filter", "label=com.docker.compose.service="+service)
	if err != nil {
		return nil, err
	}
	ids := strings.Fields(out)
	if len(ids) == 0 {
		return nil, fmt.Errorf("service %s has no container", service)
	}
	slices.Sort(ids)
	all := make([]Container, len(ids))
	for i, id := range ids {
		all[i] = Container{Service: service, ID: id, stack: s}
	}
	return all, nil
}

// Pause freezes the container, and returns what thaws it.
func (c Container) Pause(ctx context.Context) (mend func(context.Context) error, err error) {
	return c.run("unpause"), c.run("pause")(ctx)
}

// Kill ends the container at once, and returns what starts it again.
func (c Container) Kill(ctx context.Context) (mend func(context.Context) error, err error) {
	return c.run("start"), c.run("kill")(ctx)
}

// Disconnect takes the container off a network of the project, such as node, and returns
// what puts it back under the names that it had there. Its open connections hang.
func (c Container) Disconnect(ctx context.Context, network string) (mend func(context.Context) error, err error) {
	name := c.stack.Project + "_" + network
	said, err := c.stack.Docker(ctx, "inspect", "--format", "{{json .NetworkSettings.Networks}}", c.ID)
	if err != nil {
		return nil, err
	}
	var networks map[string]struct {
		Aliases   []string
		IPAddress string
	}
	if err := json.Unmarshal([]byte(said), &networks); err != nil {
		return nil, err
	}
	on, is := networks[name]
	if !is {
		return nil, fmt.Errorf("%s is not on the network %s", c, network)
	}
	connect := []string{"network", "connect"}
	for _, alias := range on.Aliases {
		if !strings.HasPrefix(c.ID, alias) { // its own it gets anyway
			connect = append(connect, "--alias", alias)
		}
	}
	mend = func(ctx context.Context) error {
		if _, err := c.stack.Docker(ctx, append(connect, name, c.ID)...); err != nil {
			return err
		}
		at, err := c.stack.Docker(ctx, "inspect", "--format", fmt.Sprintf("{{(index .NetworkSettings.Networks %q).IPAddress}}", name), c.ID)
		if err != nil || at == on.IPAddress {
			return err
		}
		// Meanwhile another container took its address, and Temporal's parts have informed each
		// other theirs: as a host that comes back with another address, it begins anew.
		_, err = c.stack.Docker(ctx, "restart", "--time", "1", c.ID)
		return err
	}
	_, err = c.stack.Docker(ctx, "network", "disconnect", name, c.ID)
	return mend, err
}

// Restart ends the container as a rollout does, with time to answer what is under way, and
// starts it again. It returns when the container is healthy.
func (c Container) Restart(ctx context.Context) error {
	if _, err := c.stack.Docker(ctx, "restart", "--time", "20", c.ID); err != nil {
		return err
	}
	return c.Healthy(ctx)
}

// Healthy waits until the health check of the container says so.
func (c Container) Healthy(ctx context.Context) error {
	return soon(ctx, c.String()+" is not healthy", func(ctx context.Context) error {
		health, err := c.stack.Docker(ctx, "inspect", "--format", "{{.State.Health.Status}}", c.ID)
		if err == nil && health != "healthy" {
			err = errors.New(health)
		}
		return err
	})
}

// CutOff takes the container off every network of the project, and returns what puts it back.
func (c Container) CutOff(ctx context.Context) (mend func(context.Context) error, err error) {
	networks, err := c.Networks(ctx)
	if err != nil {
		return nil, err
	}
	var mends []func(context.Context) error
	mend = func(ctx context.Context) error {
		for _, m := range mends {
			if err := m(ctx); err != nil {
				return err
			}
		}
		return nil
	}
	for _, n := range networks {
		m, err := c.Disconnect(ctx, n)
		if err != nil {
			return mend, err
		}
		mends = append(mends, m)
	}
	return mend, nil
}

// psql runs a query of one value in the container of a member of the order database.
func (c Container) psql(ctx context.Context, query string) (string, error) {
	var out strings.Builder
	err := c.stack.command(ctx, strings.NewReader(query), &out, "docker", "exec", "--interactive", c.ID,
		"psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1", "--username=ltp", "--dbname=orders")
	return strings.TrimSpace(out.String()), err
}

// Networks are those of the project that the container is on.
func (c Container) Networks(ctx context.Context) ([]string, error) {
	said, err := c.stack.Docker(ctx, "inspect", "--format", "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}", c.ID)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, name := range strings.Fields(said) {
		if own, is := strings.CutPrefix(name, c.stack.Project+"_"); is {
			all = append(all, own)
		}
	}
	if len(all) == 0 {
		return nil, errors.New(c.String() + " is on no network")
	}
	return all, nil
}

func (c Container) run(command string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := c.stack.Docker(ctx, command, c.ID)
		return err
	}
}
