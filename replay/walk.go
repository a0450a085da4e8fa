package replay

import (
	"context"
	"time"
)

const (
	// finest is the narrowest slice of time. What was started within it is read to its
	// end, however much it is.
	finest = 10 * time.Millisecond
	// ahead is how far ahead of this clock another may be that started an order.
	ahead = 24 * time.Hour
	// closeTo is how many times as old the oldest order is as the beginning of a walk is
	// before it, about.
	closeTo = 64
	// fill is how full a page is meant to be: the next slice may be denser.
	fill = slicePage * 2 / 3
)

// page is a slice of a backlog: its orders oldest first, and the time before which
// all were started that this page or an earlier one shows.
type page struct {
	orders []waiting
	upTo   time.Time
}

// walk calls each with the orders of a class, a page at a time, in the order in which
// they were started. The store lists newest first only, so time is walked upwards in
// slices that fit on a page; each slice is as wide as the one before it suggests. It
// goes over every moment once, whatever the store answers. A zero from begins with the
// oldest.
func (b backlog) walk(ctx context.Context, c class, from time.Time, each func(page) error) error {
	now := time.Now().UTC()
	if from.IsZero() {
		var err error
		if from, err = b.beginning(ctx, c, now); err != nil {
			return err
		}
	}
	var repeats bool
	for _, end := range []time.Time{now, now.Add(ahead)} { // the latter for what was started meanwhile
		for width := end.Sub(from); from.Before(end); {
			to := from.Add(min(width, end.Sub(from)))
			orders, more, err := b.list(ctx, c.where+slice(from, to), slicePage, nil)
			if err != nil {
				return err
			}
			if len(more) > 0 {
				if narrower, ok := narrow(orders, from, to); ok && !repeats {
					width = narrower
					continue
				}
				var again bool
				if orders, again, err = b.rest(ctx, c.where+slice(from, to), orders, more); err != nil {
					return err
				}
				repeats = repeats || again
			}
			inTurn(orders)
			if err := each(page{orders, to}); err != nil {
				return err
			}
			from, width = to, next(to.Sub(from), within(orders, from, to))
		}
	}
	return nil
}

// next is the width of the slice after one of that width which held n orders.
func next(width time.Duration, n int) time.Duration {
	if n == 0 {
		return 4 * width
	}
	return max(width/4, min(4*width, width/time.Duration(n)*fill), finest)
}

// within is how many of the orders belong into the slice: a store may answer with what
// it is not asked for.
func within(orders []waiting, from, to time.Time) (n int) {
	for _, o := range orders {
		if !o.started.Before(from) && o.started.Before(to) {
			n++
		}
	}
	return n
}

// narrow is the width of a slice that begins with this one and fits on a page, by how
// close together the newest of this one are: at most half of it. It is false where no
// narrower one helps: with many orders of one moment, and with a store that answers with
// what it is not asked for.
func narrow(newest []waiting, from, to time.Time) (time.Duration, bool) {
	width := to.Sub(from)
	if width <= finest || len(newest) == 0 || within(newest, from, to) < len(newest) {
		return 0, false
	}
	oldest := to
	for _, o := range newest {
		if o.started.Before(oldest) {
			oldest = o.started
		}
	}
	return max(min(width/2, to.Sub(oldest)/slicePage*fill), finest), true
}

// rest reads the pages that follow the first, until one shows nothing new: a store may
// answer with the same page for ever. It reports whether this one does; narrower slices
// are of no use then.
func (b backlog) rest(ctx context.Context, where string, orders []waiting, token []byte) (all []waiting, repeats bool, err error) {
	seen := make(map[string]struct{}, 2*len(orders))
	for _, o := range orders {
		seen[o.id] = struct{}{}
	}
	for len(token) > 0 {
		more, next, err := b.list(ctx, where, slicePage, token)
		if err != nil {
			return nil, false, err
		}
		before := len(orders)
		for _, o := range more {
			if _, known := seen[o.id]; !known {
				seen[o.id] = struct{}{}
				orders = append(orders, o)
			}
		}
		if len(orders) == before {
			return orders, len(next) > 0, nil
		}
		token = next
	}
	return orders, false, nil
}

// beginning is a time before which no order of the class was started, and not much
// earlier than the oldest was. It looks back twice as far each time, and halves what it
// has passed over: that there is none is found at once, however long the backlog.
func (b backlog) beginning(ctx context.Context, c class, now time.Time) (time.Time, error) {
	epoch := time.Unix(0, 0).UTC()
	older := func(than time.Time) (bool, error) { return b.some(ctx, c.where+slice(epoch, than)) }
	none, some := now.Add(-2*time.Minute), now // no order is older than none; unless now, one is older than some
	for {
		found, err := older(none)
		if err != nil {
			return none, err
		}
		if !found {
			break
		}
		if !none.After(epoch) {
			return epoch, nil
		}
		none, some = now.Add(2*none.Sub(now)), none
	}
	for some.Before(now) && some.Sub(none) > now.Sub(some)/closeTo {
		half := none.Add(some.Sub(none) / 2)
		found, err := older(half)
		if err != nil {
			return none, err
		}
		if found {
			some = half
		} else {
			none = half
		}
	}
	return none, nil
}
