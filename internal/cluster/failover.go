package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ltp-node/ltp/demo"
)

// Fault is what becomes of the order database in an incident.
type Fault string

const (
	// Pause freezes the leader, and thaws it: connections stay open, writes hang.
	Pause Fault = "pause"
	// KillLeader kills the leader of a cluster. Another member is promoted, and the former
	// leader is started again as a standby once the incident is over.
	KillLeader Fault = "kill-leader"
	// CutOffLeader takes the leader of a cluster off every network. It goes on for a while
	// without noticing, and nobody reaches it. It comes back once the incident is over.
	CutOffLeader Fault = "cut-off-leader"
)

// of is the fault as it befalls a stack.
func (f Fault) of(ctx context.Context, s *Stack) (demo.Fault, error) {
	leader, err := s.Leader(ctx)
	if err != nil {
		return demo.Fault{}, err
	}
	if f != Pause {
		if err := s.promotable(ctx, leader); err != nil {
			return demo.Fault{}, err
		}
	}
	fault := demo.Fault{Name: string(f)}
	var mend func(context.Context) error
	breaks := func(how func(context.Context) (func(context.Context) error, error)) func(context.Context) error {
		return func(ctx context.Context) (err error) { mend, err = how(ctx); return err }
	}
	mends := func(ctx context.Context) error { return mend(ctx) }
	promoted := func(ctx context.Context) error { return s.promoted(ctx, leader) }
	switch f {
	case Pause:
		fault.Begins, fault.Ends = "the order database is paused", "the order database goes on"
		fault.Begin, fault.End = breaks(leader.Pause), mends
	case KillLeader:
		fault.Begins, fault.Ends = "the leader "+leader.Service+" is killed", "Patroni has promoted another member"
		fault.Begin, fault.End, fault.After = breaks(leader.Kill), promoted, mends
	case CutOffLeader:
		fault.Begins, fault.Ends = "the leader "+leader.Service+" is cut off", "Patroni has promoted another member"
		fault.Begin, fault.End, fault.After = breaks(leader.CutOff), promoted, mends
	default:
		return demo.Fault{}, fmt.Errorf("no fault is called %q: use %s, %s or %s", f, Pause, KillLeader, CutOffLeader)
	}
	return fault, nil
}

// members are the services of the order database: one, or those of a cluster.
func (s *Stack) members(ctx context.Context) ([]string, error) {
	if s.orders != nil {
		return s.orders, nil
	}
	out, err := s.Compose(ctx, "config", "--services")
	if err != nil {
		return nil, err
	}
	all := slices.DeleteFunc(strings.Fields(out), func(name string) bool { return !strings.HasPrefix(name, "orders-db") })
	slices.Sort(all)
	s.orders = all
	return all, nil
}

// OrdersURL is the order database as the stack's own network has it.
func (s *Stack) OrdersURL(ctx context.Context) (string, error) {
	members, err := s.members(ctx)
	if err != nil {
		return "", err
	}
	return "postgres://ltp@" + strings.Join(members, ":5432,") + ":5432/orders?sslmode=disable", nil
}

// Leader is the member of the order database that takes writes, of those that are not passed
// over.
func (s *Stack) Leader(ctx context.Context, passedOver ...Container) (Container, error) {
	members, err := s.members(ctx)
	if err != nil {
		return Container{}, err
	}
	none := errors.New("all that answer are standbys")
	for _, service := range members {
		all, err := s.Containers(ctx, service)
		if err != nil {
			return Container{}, err
		}
		if slices.Contains(passedOver, all[0]) {
			continue
		}
		standby, err := all[0].psql(ctx, "SELECT pg_is_in_recovery()")
		if err == nil && standby == "f" {
			return all[0], nil
		}
		none = errors.Join(none, err)
	}
	return Container{}, fmt.Errorf("the order database has no leader: %w", none)
}

// promotable waits until Patroni has made a standby that follows the leader synchronous: that
// one can be promoted.
func (s *Stack) promotable(ctx context.Context, leader Container) error {
	return soon(ctx, "Patroni has no synchronous standby", func(ctx context.Context) error {
		waits, err := leader.psql(ctx, "SELECT current_setting('synchronous_standby_names') <> ''")
		if err == nil && waits != "t" {
			err = errors.New("it has not chosen one")
		}
		return err
	})
}

// promoted waits until another member than former takes writes.
func (s *Stack) promoted(ctx context.Context, former Container) error {
	return soon(ctx, "no other member was promoted", func(ctx context.Context) error {
		_, err := s.Leader(ctx, former)
		return err
	})
}

// soon is eventually, for as long as a busy machine may need. A cluster that has not healed by
// then does not heal.
func soon(ctx context.Context, otherwise string, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return eventually(ctx, otherwise, try)
}

// eventually tries until it succeeds, or ctx ends: otherwise is the error then.
func eventually(ctx context.Context, otherwise string, try func(context.Context) error) error {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", otherwise, err)
		case <-tick.C:
		}
	}
}
