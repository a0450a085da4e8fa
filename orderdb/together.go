package orderdb

import (
	"context"
	"database/sql"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ltp-node/ltp"
)

// together is the most orders that are written in one transaction.
const together = 16

// write is an order on its way into the database.
type write struct {
	ctx   context.Context
	order ltp.Order
	body  string
	admit func() error
	ended chan end

	mu    sync.Mutex // held while the write is admitted
	begun bool       // it may be in the database
	left  bool       // its caller has gone, and nothing was begun
}

// end is what became of a write.
type end struct {
	repeated bool
	err      error
}

func (w *write) end(repeated bool, err error) { w.ended <- end{repeated, err} }

// admitted asks at the door, and ends the write if it is not let in.
func (w *write) admitted() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.left {
		return false
	}
	if w.admit == nil {
		return true
	}
	err := w.admit()
	if err != nil {
		w.end(false, unavailable(err))
	}
	return err == nil
}

// begin reports whether the write may begin: its caller has not gone.
func (w *write) begin() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.begun = !w.left
	return w.begun
}

// leave reports whether a caller may go: nothing was begun, and nothing will be.
func (w *write) leave() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left = !w.begun
	return w.left
}

// door lets writes into the database, one transaction at a time. What comes while one is
// under way goes into the next together: it asks at the door at one time, and is
// committed at one time.
type door struct {
	open    chan struct{} // holds one: whoever has it may begin a transaction
	mu      sync.Mutex
	waiting []*write
}

func newDoor() *door {
	d := &door{open: make(chan struct{}, 1)}
	d.open <- struct{}{}
	return d
}

// pass brings a write through the door and waits for its end: until its context has
// ended, and a moment longer where it has begun.
func (d *door) pass(w *write, transact func([]*write)) (repeated bool, err error) {
	d.mu.Lock()
	d.waiting = append(d.waiting, w)
	d.mu.Unlock()
	for {
		select {
		case e := <-w.ended:
			return e.repeated, e.err
		case <-d.open:
			// What hangs in the operating system, on a disk that does not answer, cannot
			// be interrupted. It is left behind and keeps the door, so that nothing is
			// begun after it.
			go func() {
				defer func() { d.open <- struct{}{} }()
				if all := d.next(); len(all) > 0 {
					transact(all)
				}
			}()
		case <-w.ctx.Done():
			return d.leave(w)
		}
	}
}

// next takes the writes that have waited longest.
func (d *door) next() []*write {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := min(len(d.waiting), together)
	all := slices.Clone(d.waiting[:n])
	d.waiting = slices.Delete(d.waiting, 0, n)
	return all
}

// leave ends a write whose caller waits no longer.
func (d *door) leave(w *write) (repeated bool, err error) {
	d.mu.Lock()
	d.waiting = slices.DeleteFunc(d.waiting, func(other *write) bool { return other == w })
	d.mu.Unlock()
	if w.leave() {
		select {
		case e := <-w.ended: // why it was not let in
			return e.repeated, e.err
		default:
			return false, unavailable(context.Cause(w.ctx))
		}
	}
	select {
	case e := <-w.ended:
		return e.repeated, e.err
	case <-time.After(interruptWithin):
		return false, unknown(context.Cause(w.ctx))
	}
}

// whileAny is a context that ends when all of theirs have.
func whileAny(all []*write) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(context.Background())
	var left atomic.Int64
	left.Store(int64(len(all)))
	var stops []func() bool
	for _, w := range all {
		stops = append(stops, context.AfterFunc(w.ctx, func() {
			if left.Add(-1) == 0 {
				cancel(context.Cause(w.ctx))
			}
		}))
	}
	return ctx, func() {
		for _, stop := range stops {
			stop()
		}
		cancel(nil)
	}
}

// transact writes orders that go through the door together.
func (s *sqliteDB) transact(all []*write) {
	ctx, cancel := whileAny(all)
	defer cancel()
	conn, err := connect(ctx, s.writer)
	if err != nil {
		for _, w := range all {
			w.end(false, unavailable(err))
		}
		return
	}
	all = admitted(all)
	ended := true
	switch len(all) {
	case 0:
	case 1:
		all[0].end(writeOne(all[0].ctx, conn, all[0]))
	default:
		ended = writeAll(ctx, conn, all)
	}
	_ = conn.Close()
	if ended {
		return
	}
	for _, w := range all {
		w.end(s.alone(w))
	}
}

// alone writes an order by itself, on a connection that is well.
func (s *sqliteDB) alone(w *write) (repeated bool, err error) {
	conn, err := connect(w.ctx, s.writer)
	if err != nil {
		return false, unavailable(err)
	}
	defer conn.Close()
	return writeOne(w.ctx, conn, w)
}

// admitted asks at the door for all of them at one time, and returns those that are let
// in.
func admitted(all []*write) (in []*write) {
	yes := make([]bool, len(all))
	var asked sync.WaitGroup
	for i, w := range all {
		asked.Go(func() { yes[i] = w.admitted() })
	}
	asked.Wait()
	for i, w := range all {
		if yes[i] {
			in = append(in, w)
		}
	}
	return in
}

// writeOne writes an order in a transaction of its own.
func writeOne(ctx context.Context, conn *sql.Conn, w *write) (repeated bool, err error) {
	if err := begin(ctx, conn); err != nil {
		return false, unavailable(err)
	}
	if !w.begin() {
		rollback(ctx, conn)
		return false, unavailable(context.Cause(ctx))
	}
	repeated, err = putInto(ctx, conn, w.order, w.body)
	if err == nil && !repeated {
		err = commit(ctx, conn)
	}
	if err != nil || repeated {
		rollback(ctx, conn)
	}
	return repeated, err
}

// writeAll writes several orders in one transaction, a savepoint for each, so that one
// that is refused does not take the others with it. It reports whether they have had
// their ends; where nothing was written and it cannot be told whose fault that is, each
// is to be written by itself.
func writeAll(ctx context.Context, conn *sql.Conn, all []*write) (ended bool) {
	ends := make([]end, len(all))
	err := begin(ctx, conn)
	if err != nil {
		err = unavailable(err)
	}
	for i := 0; i < len(all) && err == nil; i++ {
		var whole error
		if ends[i], whole = writeAmong(ctx, conn, all[i]); whole != nil {
			rollback(ctx, conn)
			return false
		}
	}
	if err == nil {
		if err = commit(ctx, conn); err != nil {
			rollback(ctx, conn)
		}
		if class, _ := ClassOf(err); err != nil && class == Rejected {
			return false
		}
	}
	for i, w := range all {
		if ends[i].err == nil {
			ends[i].err = err
		}
		w.ended <- ends[i]
	}
	return true
}

// writeAmong writes one order of several. An error of whole is one of the transaction.
func writeAmong(ctx context.Context, conn *sql.Conn, w *write) (e end, whole error) {
	if !w.begin() {
		return end{err: unavailable(context.Cause(w.ctx))}, nil
	}
	if _, err := conn.ExecContext(ctx, "SAVEPOINT one"); err != nil {
		return end{}, err
	}
	if e.repeated, e.err = putInto(ctx, conn, w.order, w.body); e.err != nil {
		if _, err := conn.ExecContext(ctx, "ROLLBACK TO one"); err != nil {
			return end{}, err
		}
	}
	_, err := conn.ExecContext(ctx, "RELEASE one")
	return e, err
}
