package api

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/bulkhead"
)

// Bounds of what the API does at once.
const (
	// connectionsAtOnce is for each listener, idle connections included. One takes some 20 KB.
	connectionsAtOnce = 4096
	// With so many orders on their way to Temporal, more of them raise the latency and not
	// the throughput. The queue bounds the latency under load, since it is served at the
	// rate that Temporal can bear; intakePatience is for how long Temporal may stall before
	// an order is refused for it.
	intakeAtOnce, intakeQueue = 32, 96
	intakePatience            = 4 * time.Second
	// All orders of one ordering key change one workflow, so that more of them at once are
	// no faster, and would take what the orders of others need.
	keyAtOnce, keyQueue     = 8, 32
	readsAtOnce, readsQueue = 32, 32
	listsAtOnce, listsQueue = 1, 4
	// listsRest is for how many times as long as a listing took the next one waits: a listing
	// may keep a small Temporal as busy as hundreds of orders do.
	listsRest = 4
	// waitsAtOnce is how many answers wait for their orders; others tell at once what is
	// known.
	waitsAtOnce = 256
	// queueTime is how long any other request waits for its turn.
	queueTime = time.Second
	// shedRetry is how long a client that was refused should stay away, at least; up to as
	// long again is added at random.
	shedRetry = 2 * time.Second
)

// load are the bulkheads of the API: what is over one of them costs the others nothing.
// Where keys are asked for, a tenant takes a part of each at most.
type load struct {
	intake, reads, lists *bulkhead.Divided
	followers            *bulkhead.Divided  // of orders
	keys                 *bulkhead.Keyed    // the ordering keys
	waits                *bulkhead.Bulkhead // of answers for their orders
}

func newLoad(tenants bool) load {
	divide := bulkhead.Undivided
	if tenants {
		divide = bulkhead.Divide
	}
	return load{
		intake: divide(bulkhead.New(intakeAtOnce, intakeQueue, intakePatience)),
		keys:   &bulkhead.Keyed{AtOnce: keyAtOnce, Queue: keyQueue, Patience: queueTime},
		reads:  divide(bulkhead.New(readsAtOnce, readsQueue, queueTime)),
		lists:  divide(bulkhead.New(listsAtOnce, listsQueue, queueTime)),
		waits:  bulkhead.New(waitsAtOnce, 0, 0), // who finds no room does not wait
		// One that is refused comes again: a queue would hold its place for minutes.
		followers: divide(bulkhead.New(followersAtOnce, 0, 0)),
	}
}

// accept waits for an order's turn: that of its full ordering key, and then that of all.
// Orders that wait for their key take no room of others.
func (l load) accept(ctx context.Context, o ltp.Order) (leave func(), p *problem) {
	done := func() {}
	if o.OrderingKey != "" {
		var err error
		if done, err = l.keys.Enter(ctx, o.OrderingKey); err != nil {
			p := tooManyRequests.withDetail("Many orders of this ordering key are being accepted at this moment. This one was not accepted: send it again after the Retry-After.").after(shed())
			p.Field = "/ordering_key"
			return nil, p
		}
	}
	out, p := enter(ctx, l.intake)
	if p != nil {
		done()
		return nil, p
	}
	return func() { out(); done() }, nil
}

// enter enters the caller's part of a bulkhead, or returns the problem to answer with.
func enter(ctx context.Context, b *bulkhead.Divided) (leave func(), p *problem) {
	leave, err := b.Enter(ctx, tenantOf(ctx))
	if err == nil {
		return leave, nil
	}
	return nil, shedding()
}

// shedding is the problem of a request that is over a bound. That happens by the thousand,
// so the log has it for who debugs alone; the metrics count it.
func shedding() *problem {
	return tooManyRequests.withDetail("More requests come than can be served. Nothing was done: send the request again after the Retry-After.").after(shed())
}

func shed() time.Duration { return shedRetry + rand.N(shedRetry) }
