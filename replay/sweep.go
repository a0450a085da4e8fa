package replay

import (
	"context"
	"errors"
	"time"

	"github.com/ltp-node/ltp"
)

// errIdle ends a sweep that has found nothing new for longer than Patience, in a
// listing that may be endless.
var errIdle = errors.New("nothing new")

// sweep releases every order it finds that was not released yet, a class before the next.
// It ends when all of them have answered. One that was cut short is continued by the next.
func (r *release) sweep(ctx context.Context) error {
	r.nextSweep()
	defer r.onWay.Wait()
	r.resume()
	all := r.next.IsZero()
	r.classedAt = time.Now()
	classes, err := r.backlog.classes(ctx)
	if err != nil {
		return err
	}
	for _, c := range classes {
		if err := r.sweepClass(ctx, c); err != nil {
			return err
		}
	}
	r.swept = r.swept || all
	return nil
}

// sweepClass releases the orders of a class. The next page is listed while one is
// released, so that the store's answer is not waited for.
func (r *release) sweepClass(ctx context.Context, c class) error {
	var from time.Time
	if c.usual() {
		from = r.next
	}
	listing, stop := context.WithCancel(ctx)
	defer stop()
	pages, listed := make(chan page), make(chan error, 1)
	go func() {
		defer close(pages)
		listed <- r.backlog.walk(listing, c, from, func(p page) error {
			select {
			case pages <- p:
				return nil
			case <-listing.Done():
				return listing.Err()
			}
		})
	}()
	first := true
	for p := range pages {
		if err := r.page(ctx, c, p, first); err != nil {
			stop()
			for range pages { // until it has stopped
			}
			return err
		}
		first = first && len(p.orders) == 0
		if c.usual() {
			r.setNext(p.upTo)
		}
	}
	if err := <-listed; err != nil {
		return err
	}
	if c.usual() {
		r.setNext(time.Time{})
	}
	return nil
}

// setNext sets where a sweep goes on that is cut short from here.
func (r *release) setNext(at time.Time) {
	r.next = at
	r.progress.update(func(report *ltp.ReleaseReport) { report.Next = at })
}

// page releases the orders of a page.
func (r *release) page(ctx context.Context, c class, p page, first bool) error {
	if first && len(p.orders) > 0 && c.usual() {
		r.progress.update(func(report *ltp.ReleaseReport) { report.Oldest = p.orders[0].started })
	}
	if r.swept && !r.in.Settle && r.idle() > r.Pace.Patience {
		return errIdle
	}
	fresh := r.unreleased(p.orders)
	if len(fresh) == 0 {
		return nil
	}
	if !first || c != everything || time.Since(r.classedAt) > time.Second { // else nothing goes before it: that was just asked
		if err := r.preempt(ctx, c); err != nil {
			return err
		}
		fresh = r.unreleased(fresh)
	}
	r.progress.update(func(report *ltp.ReleaseReport) { report.Found += len(fresh) })
	for len(fresh) > 0 {
		pauses, n := r.resumes.Load(), 1
		var err error
		if r.canariesPassed.Load() {
			err = r.ramp(ctx, fresh[0])
		} else {
			n, err = r.canaries(ctx, fresh)
		}
		if err != nil {
			return err
		}
		fresh = fresh[n:]
		if r.resumes.Load() != pauses { // who was expedited during the pause goes next
			if err := r.preempt(ctx, c); err != nil {
				return err
			}
		}
	}
	return nil
}

// preempt releases what has shown up in the classes that go before c.
func (r *release) preempt(ctx context.Context, c class) error {
	if c.before == "" {
		return nil
	}
	found, more, err := r.backlog.listing(c.before).Page(ctx, nil)
	if err != nil || (len(more) == 0 && len(r.unreleased(asWaiting(found))) == 0) {
		return err
	}
	for _, other := range classes {
		if other == c || (c == everything && other.usual()) {
			return nil
		}
		if err := r.sweepClass(ctx, other); err != nil {
			return err
		}
	}
	return nil
}
