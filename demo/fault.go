package demo

import (
	"context"
	"fmt"
	"slices"

	"github.com/ltp-node/ltp/internal/pglocal"
)

// Fault is a way for the order database to stop taking writes, and to take them
// again. Nothing in the product knows of it.
type Fault struct {
	// Name is what --fault calls it.
	Name string
	// Begins and Ends say what happens, for people.
	Begins, Ends string
	// Begin returns once writes are not possible any more, and End once they are
	// again, as far as the database is concerned.
	Begin, End func(context.Context) error
	// After puts things in order once the incident is over; nil does nothing.
	After func(context.Context) error
}

// FaultNames are the faults of a pair, by their names.
func FaultNames() []string {
	return []string{"kill", "freeze", "readonly", "restart", "partition", "standby"}
}

// PairFault is a fault of a pair of servers. The fault partition needs their links.
func PairFault(p *pglocal.Pair, name string) (Fault, error) {
	i := slices.Index(FaultNames(), name)
	if i < 0 {
		return Fault{}, fmt.Errorf("no fault is called %q: use one of %v", name, FaultNames())
	}
	f := []func(*pglocal.Pair) Fault{kill, freeze, readOnly, restart, partition, standbyLost}[i](p)
	f.Name = name
	return f, nil
}

// atOnce makes a step of what cannot fail or wait.
func atOnce(f func()) func(context.Context) error {
	return func(context.Context) error { f(); return nil }
}

func kill(p *pglocal.Pair) Fault {
	return Fault{
		Begins: "the leader is killed", Ends: "the standby is promoted",
		Begin: atOnce(p.Leader().Kill), End: p.Promote, After: p.Rejoin,
	}
}

// freeze thaws the former leader while the backlog is replayed: it does not know that
// it leads no more.
func freeze(p *pglocal.Pair) Fault {
	leader := p.Leader()
	return Fault{
		Begins: "the leader is frozen", Ends: "the standby is promoted, and the former leader thaws",
		Begin: func(context.Context) error { return leader.Freeze() },
		End: func(ctx context.Context) error {
			defer leader.Thaw()
			return p.Promote(ctx)
		},
		After: p.Rejoin,
	}
}

func readOnly(p *pglocal.Pair) Fault {
	set := func(value string) func(context.Context) error {
		return func(context.Context) error { return p.Leader().Set("default_transaction_read_only", value) }
	}
	return Fault{Begins: "the leader turns read-only", Ends: "the leader takes writes again", Begin: set("on"), End: set("")}
}

func restart(p *pglocal.Pair) Fault {
	return Fault{
		Begins: "the leader is stopped", Ends: "the leader is started again",
		Begin: atOnce(p.Leader().Shutdown), End: func(ctx context.Context) error { return p.Leader().Start(ctx) },
	}
}

// partition lets the former leader back while the backlog is replayed.
func partition(p *pglocal.Pair) Fault {
	leader := p.Leader()
	return Fault{
		Begins: "the network loses the leader", Ends: "the standby is promoted, and the network is whole again",
		Begin: atOnce(leader.Link().Hang),
		End: func(ctx context.Context) error {
			defer leader.Link().Mend()
			return p.Promote(ctx)
		},
		After: p.Rejoin,
	}
}

// standbyLost leaves a leader that refuses nothing, and whose commits never return.
func standbyLost(p *pglocal.Pair) Fault {
	return Fault{
		Begins: "the synchronous standby is lost: commits hang", Ends: "the standby is back",
		Begin: atOnce(p.Standby().Stop), End: func(ctx context.Context) error { return p.Standby().Start(ctx) },
	}
}
