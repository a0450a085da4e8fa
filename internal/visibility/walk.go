package visibility

import (
	"cmp"
	"context"
	"slices"
	"time"
)

const (
	// finest is the narrowest slice of time. What was started within it is read to its
	// end, however much it is.
	finest = 10 * time.Millisecond
	// ahead is how far ahead of this clock another may be that started an execution.
	ahead = 24 * time.Hour
	// closeTo is how many times as old the oldest execution is as the beginning of a walk
	// is before it, about.
	closeTo = 64
)

// Slice is what was started in a slice of time, oldest first.
type Slice struct {
	Found []Execution
	// UpTo is the time before which all were started that this slice or an earlier one
	// shows.
	UpTo time.Time
}

// Walk calls each with what l finds, slice by slice, in the order in which it was
// started, until each returns an error. A slice is about as long as fits on a page; each
// is as wide as the one before it suggests. Walk goes over every moment once, whatever the
// store answers. A zero from begins with the oldest.
func (l Listing) Walk(ctx context.Context, from time.Time, each func(Slice) error) error {
	now := time.Now().UTC()
	if from.IsZero() {
		var err error
		if from, err = l.Beginning(ctx, now); err != nil {
			return err
		}
	}
	var repeats bool
	for _, end := range []time.Time{now, now.Add(ahead)} { // the latter for what was started meanwhile
		for width := end.Sub(from); from.Before(end); {
			to := from.Add(min(width, end.Sub(from)))
			slice := l.Between(from, to)
			found, more, err := slice.Page(ctx, nil)
			if err != nil {
				return err
			}
			if len(more) > 0 {
				if narrower, ok := l.narrow(found, from, to); ok && !repeats {
					width = narrower
					if from, err = l.skip(ctx, from, oldest(found), width); err != nil {
						return err
					}
					continue
				}
				var again bool
				if found, again, err = slice.rest(ctx, found, more); err != nil {
					return err
				}
				repeats = repeats || again
			}
			found = slices.SortedStableFunc(slices.Values(found), func(a, b Execution) int {
				return cmp.Or(Started(a).Compare(Started(b)), cmp.Compare(a.GetExecution().GetWorkflowId(), b.GetExecution().GetWorkflowId()))
			})
			if err := each(Slice{found, to}); err != nil {
				return err
			}
			from, width = to, l.next(to.Sub(from), within(found, from, to))
		}
	}
	return nil
}

// Started is when an execution was started; where the start was delayed, until when.
func Started(w Execution) time.Time { return w.GetExecutionTime().AsTime() }

// fill is how full a page is meant to be: the next slice may be denser.
func (l Listing) fill() time.Duration { return time.Duration(l.PageSize * 2 / 3) }

// next is the width of the slice after one of that width which held n executions.
func (l Listing) next(width time.Duration, n int) time.Duration {
	if n == 0 {
		return 4 * width
	}
	return max(width/4, min(4*width, width/time.Duration(n)*l.fill()), finest)
}

// within is how many of those found belong into the slice.
func within(found []Execution, from, to time.Time) (n int) {
	for _, w := range found {
		if at := Started(w); !at.Before(from) && at.Before(to) {
			n++
		}
	}
	return n
}

// narrow is the width of a slice that begins with this one and fits on a page, by how
// close together the newest of this one are: at most half of it. It is false where no
// narrower one helps: with many executions of one moment, and with a store that answers
// with what it is not asked for.
func (l Listing) narrow(newest []Execution, from, to time.Time) (time.Duration, bool) {
	width := to.Sub(from)
	if width <= finest || len(newest) == 0 || within(newest, from, to) < len(newest) {
		return 0, false
	}
	return max(min(width/2, to.Sub(oldest(newest))/time.Duration(l.PageSize)*l.fill()), finest), true
}

// oldest is when the first of some executions was started.
func oldest(some []Execution) time.Time {
	return Started(slices.MinFunc(some, func(a, b Execution) int { return Started(a).Compare(Started(b)) }))
}

// skip passes over a time in which nothing was started: up to something that was started
// before to, to within width. A question whether there is anything costs far less than a
// page which holds too much.
func (l Listing) skip(ctx context.Context, from, to time.Time, width time.Duration) (time.Time, error) {
	for to.Sub(from) > width {
		half := from.Add(to.Sub(from) / 2)
		found, err := l.Between(from, half).Any(ctx)
		if err != nil {
			return from, err
		}
		if found {
			to = half
		} else {
			from = half
		}
	}
	return from, nil
}

// Beginning is a time before which nothing that l finds was started, and not much earlier
// than the oldest was. It looks back twice as far each time, and halves what it has passed
// over: that there is nothing is found at once, however long the backlog.
func (l Listing) Beginning(ctx context.Context, now time.Time) (time.Time, error) {
	epoch := time.Unix(0, 0).UTC()
	older := func(than time.Time) (bool, error) { return l.Between(epoch, than).Any(ctx) }
	none, some := now.Add(-2*time.Minute), now // nothing is older than none; unless now, something is older than some
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
