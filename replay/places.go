package replay

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/internal/visibility"
)

const (
	// placesPage is how long a backlog may be so that every place in it is known. It is what
	// Temporal lists at once.
	placesPage = 1000
	// placesCounts is how many counts the places of a longer one are found by, at most.
	placesCounts = 48
)

// Places finds the place of orders in the backlog of their component, as [Plan] has it. It
// needs no worker. A backlog is read once for all who ask, and for at most a tenth of the
// time: by one question a second for up to 1,000 orders, and by some 75 for any other, less
// often where they take long. In one of more than 1,000 orders, of several tenants, those of each that asks
// are read besides, in the same way, for a tenth of the time together. What it returns is a second
// or two old, and 30 s at most where reading takes long. It is safe for concurrent use.
type Places struct {
	client client.Client

	mu  sync.Mutex
	all map[string]*places
}

// places are what is read of one component.
type places struct {
	backlog shared[backlogPlaces]
	run     shared[*Run]
	// own are the orders of tenants alone, where the backlog is a long one. One of them is
	// read at a time.
	own     map[string]*shared[backlogPlaces]
	reading chan struct{}
}

// NewPlaces makes Places on a connected client.
func NewPlaces(c client.Client) *Places { return &Places{client: c, all: map[string]*places{}} }

// Of returns the place of an order that was deferred under an epoch of the component, whose
// orientation is r. It returns false where ctx ends before the place is known. The place
// counts the orders of the same tenant; the expected time follows from all orders. In a
// backlog of more than 1,000 orders, orders are taken to be spread evenly between two counts.
// An order that was continued in a new run may then get too early a place, since a replay
// takes it by the beginning of that run.
func (p *Places) Of(ctx context.Context, r board.Reading, o PlannedOrder, under int64) (ltp.Place, bool) {
	p.mu.Lock()
	of := p.all[r.Component]
	if of == nil {
		of = &places{own: map[string]*shared[backlogPlaces]{}, reading: make(chan struct{}, 1)}
		p.all[r.Component] = of
	}
	p.mu.Unlock()
	all := backlog{client: p.client, component: r.Component, before: r.Epoch + 1}
	known, ok := of.backlog.get(ctx, all.readPlaces)
	if !ok {
		return ltp.Place{}, false
	}
	tenant, _ := ltp.SplitID(o.OrderID)
	own := known
	if len(known.slices) > 0 && (known.mixed || tenant != "") {
		own, ok = p.of(of, tenant).get(ctx, func(ctx context.Context) (backlogPlaces, error) {
			select {
			case of.reading <- struct{}{}:
				defer func() { <-of.reading }()
			case <-ctx.Done():
				return backlogPlaces{}, ctx.Err()
			}
			return all.of(tenant).readPlaces(ctx)
		})
		if !ok {
			return ltp.Place{}, false
		}
	}
	now := time.Now()
	var run *Run
	if releases(r.State) {
		run, _ = of.run.get(ctx, func(ctx context.Context) (*Run, error) { return UnderWay(ctx, p.client, r.Component, r.Epoch) })
	}
	outlook := NewOutlook(r, run, Took, now)
	at := now
	if outlook.Pace.Rate() > 0 {
		at = known.at // of those who went before at that moment some have had their turn
	}
	place := outlook.Place(known.ahead(o), under, at, now)
	place.Ahead = own.aheadOfTenant(tenant, o)
	return place, true
}

// of is what is read of a tenant's orders. What of others is too old to be used is forgotten.
func (p *Places) of(of *places, tenant string) *shared[backlogPlaces] {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := of.own[tenant]
	if s == nil {
		maps.DeleteFunc(of.own, func(_ string, s *shared[backlogPlaces]) bool { return s.expired() })
		s = &shared[backlogPlaces]{}
		of.own[tenant] = s
	}
	return s
}

// backlogPlaces is a backlog at a moment: every order of a short one, or how many there are in
// slices of time of a long one.
type backlogPlaces struct {
	at     time.Time
	places map[string]place // by workflow
	orders []waiting        // in turn
	slices []timeSlice      // in turn; empty where the orders are known
	mixed  bool             // some of a long one are of a tenant other than the default one
}

// place is how many orders go before one: all of them, and those of its tenant.
type place struct{ all, own int64 }

// timeSlice is how many orders of a class were started in a slice of time.
type timeSlice struct {
	class    int
	from, to time.Time
	orders   int64
}

// readPlaces reads the backlog.
func (b backlog) readPlaces(ctx context.Context) (backlogPlaces, error) {
	s := backlogPlaces{at: time.Now()}
	l := b.listing("")
	l.PageSize = placesPage
	found, more, err := l.Page(ctx, nil)
	switch {
	case err != nil:
		return s, err
	case len(more) > 0:
		if b.whose == "" {
			if s.mixed, err = b.listing(" AND " + ltp.TenantAttribute + " IS NOT NULL").Any(ctx); err != nil {
				return s, err
			}
		}
		s.slices, err = b.timeSlices(ctx, s.at)
		return s, err
	}
	s.orders, s.places = asWaiting(found), make(map[string]place, len(found))
	slices.SortFunc(s.orders, compareInTurn)
	own := map[string]int64{}
	for i, o := range s.orders {
		tenant := o.tenant()
		s.places[o.id] = place{int64(i), own[tenant]}
		own[tenant]++
	}
	return s, nil
}

// compareInTurn is the order of a release.
func compareInTurn(a, b waiting) int {
	return cmp.Or(cmp.Compare(classOf(a.priority), classOf(b.priority)), a.started.Compare(b.started), cmp.Compare(a.id, b.id))
}

// classOf is the class that an order of a priority is in, as an index of classes.
func classOf(priority int) int { return min(max(priority, 0), ltp.LastPriority) }

// timeSlices counts the orders in slices of time, each time in half of the slice that has
// most.
func (b backlog) timeSlices(ctx context.Context, now time.Time) ([]timeSlice, error) {
	begin, err := b.listing("").Beginning(ctx, now)
	if err != nil {
		return nil, err
	}
	present, err := b.classes(ctx)
	if err != nil {
		return nil, err
	}
	var all []timeSlice
	counts := 0
	for i, c := range present {
		n, err := b.countListing(ctx, b.listing(c.where))
		if err != nil {
			return nil, err
		}
		if c == everything {
			i = classOf(ltp.DefaultPriority)
		}
		counts++
		all = append(all, timeSlice{i, begin, now, n})
	}
	for ; counts < placesCounts; counts++ {
		i := largest(all)
		s := all[i]
		if s.orders <= 1 || s.to.Sub(s.from) < 2*time.Millisecond {
			break
		}
		half := s.from.Add(s.to.Sub(s.from) / 2)
		n, err := b.countListing(ctx, b.listing(classCondition(present, s.class)).Between(s.from, half))
		if err != nil {
			return nil, err
		}
		n = min(n, s.orders)
		all[i].to, all[i].orders = half, n
		all = slices.Insert(all, i+1, timeSlice{s.class, half, s.to, s.orders - n})
	}
	return all, nil
}

func classCondition(present []class, i int) string {
	if len(present) == 1 {
		return present[0].where
	}
	return present[i].where
}

// largest is the index of the slice with most orders.
func largest(all []timeSlice) int {
	i := 0
	for j := range all {
		if all[j].orders > all[i].orders {
			i = j
		}
	}
	return i
}

// countListing counts what a listing would list.
func (b backlog) countListing(ctx context.Context, l visibility.Listing) (int64, error) {
	r, err := b.client.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Query: l.Query})
	if err != nil {
		return 0, fmt.Errorf("count %s: %w", l.Query, err)
	}
	return r.GetCount(), nil
}

// ahead is how many orders go before one. It is that exactly for one that is known, and for
// any other where it would stand.
func (s backlogPlaces) ahead(o PlannedOrder) (n int64) {
	if place, ok := s.places[o.WorkflowID]; ok {
		return place.all
	}
	if len(s.slices) == 0 {
		return int64(len(s.before(o)))
	}
	for _, x := range s.slices {
		switch class := classOf(o.Priority); {
		case x.class < class, x.class == class && !o.StartedAt.Before(x.to):
			n += x.orders
		case x.class == class && o.StartedAt.After(x.from):
			n += int64(float64(x.orders) * float64(o.StartedAt.Sub(x.from)) / float64(x.to.Sub(x.from)))
		}
	}
	return n
}

// before are the orders that go before one that is not among them.
func (s backlogPlaces) before(o PlannedOrder) []waiting {
	i, _ := slices.BinarySearchFunc(s.orders, waiting{id: o.WorkflowID, started: o.StartedAt, priority: o.Priority}, compareInTurn)
	return s.orders[:i]
}

// aheadOfTenant is how many orders of a tenant go before one of its own. Where orders are
// counted alone, they are all of the tenant.
func (s backlogPlaces) aheadOfTenant(tenant string, o PlannedOrder) (n int64) {
	if len(s.slices) > 0 {
		return s.ahead(o)
	}
	if place, ok := s.places[o.WorkflowID]; ok {
		return place.own
	}
	for _, other := range s.before(o) {
		if other.tenant() == tenant {
			n++
		}
	}
	return n
}
