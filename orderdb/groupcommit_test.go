package orderdb_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/orderdb"
)

// attempt is one write of several: a withdrawal if end is set.
type attempt struct {
	order  ltp.Order
	end    *ltp.Ending
	ctx    context.Context
	admit  func() error
	stored orderdb.Stored
	err    error
	ended  chan struct{}
}

func (a *attempt) write(db orderdb.DB) (orderdb.Stored, error) {
	admit := func() error {
		if a.admit == nil {
			return nil
		}
		return a.admit()
	}
	if a.end != nil {
		return db.Withdraw(a.ctx, a.order, *a.end, admit)
	}
	return db.Put(a.ctx, a.order, func() (ltp.Receipt, error) { return ltp.Receipt{}, admit() })
}

// meet has writes come while another is under way, so that they are written together. The
// returned function waits for their ends.
func meet(t *testing.T, db orderdb.DB, all []*attempt) (wait func()) {
	t.Helper()
	asked, goOn := make(chan struct{}), make(chan struct{})
	var under sync.WaitGroup
	under.Go(func() {
		_, err := db.Put(t.Context(), ordertest.New("first"), func() (ltp.Receipt, error) {
			close(asked)
			<-goOn
			return ltp.Receipt{}, nil
		})
		assert.NoError(t, err)
	})
	<-asked
	for i, a := range all {
		if a.ctx == nil {
			a.ctx = t.Context()
		}
		a.ended = make(chan struct{})
		under.Go(func() {
			defer close(a.ended)
			a.stored, a.err = a.write(db)
		})
		require.Eventually(t, func() bool { return orderdb.Queued(db) == i+1 }, 20*time.Second, time.Millisecond)
	}
	close(goOn)
	return under.Wait
}

// TestWritesThatComeTogetherHaveTheirOwnEnds, whatever becomes of those beside them.
func TestWritesThatComeTogetherHaveTheirOwnEnds(t *testing.T) {
	refusals := map[string]struct {
		sql   string
		class orderdb.Class
	}{
		"a statement is refused": {`CREATE TRIGGER refuse BEFORE INSERT ON orders WHEN NEW.customer = 'banned'
			BEGIN SELECT RAISE(ABORT, 'banned does not order here'); END`, orderdb.Rejected},
		"its second statement is refused": {`CREATE TRIGGER refuse BEFORE INSERT ON order_outbox WHEN NEW.order_id = 'C1'
			BEGIN SELECT RAISE(ABORT, 'banned does not order here'); END`, orderdb.Rejected},
		"the transaction is ended": {`CREATE TRIGGER refuse BEFORE INSERT ON orders WHEN NEW.customer = 'banned'
			BEGIN SELECT RAISE(ROLLBACK, 'banned does not order here'); END`, orderdb.Rejected},
		"the commit is refused": {`CREATE TABLE stock (sku TEXT PRIMARY KEY);
			CREATE TABLE picks (sku TEXT REFERENCES stock DEFERRABLE INITIALLY DEFERRED);
			CREATE TRIGGER pick AFTER INSERT ON orders WHEN NEW.customer = 'banned' BEGIN INSERT INTO picks VALUES ('none'); END`, orderdb.Unavailable},
	}
	for name, refusal := range refusals {
		t.Run(name, func(t *testing.T) {
			url := backends[0].fresh(t)
			db := open(t, url)
			require.NoError(t, db.Migrate(t.Context()))
			mustPut(t, db, ordertest.New("B1"))
			execSQLite(t, url, refusal.sql)
			shut := errors.New("the fence is shut")
			all := []*attempt{
				{order: ordertest.New("A1")}, {order: ordertest.New("A1")}, {order: ordertest.New("A2")},
				{order: ordertest.New("B1", ordertest.Customer("another"))}, {order: ordertest.New("B1")}, {order: ordertest.New("C1", ordertest.Customer("banned"))},
				{order: ordertest.New("D1"), admit: func() error { return shut }}, {order: ordertest.New("A3")},
				{order: ordertest.New("E1"), end: &cancelled}, {order: ordertest.New("E1")}, {order: ordertest.New("B1"), end: &cancelled},
			}
			meet(t, db, all)()
			for i, want := range []struct {
				repeated  bool
				class     orderdb.Class
				is        error
				tombstone *ltp.Ending
			}{
				{}, {repeated: true}, {}, {class: orderdb.Rejected, is: orderdb.ErrConflict}, {repeated: true},
				{class: refusal.class}, {class: orderdb.Unavailable, is: shut}, {},
				{tombstone: &cancelled}, {repeated: true, tombstone: &cancelled}, {repeated: true},
			} {
				a := all[i]
				if want.class == "" {
					assert.NoError(t, a.err, "%d", i)
				} else {
					assertClass(t, want.class, a.err)
				}
				if want.is != nil {
					assert.ErrorIs(t, a.err, want.is, "%d", i)
				}
				assert.Equal(t, want.repeated, a.stored.Repeated, "%d", i)
				assert.Equal(t, want.tombstone, a.stored.Tombstone, "%d", i)
			}
			assertWithdrawn(t, db, 5, 1) // first, B1, A1, A2 and A3; E1
			assert.False(t, mustPut(t, db, ordertest.New("F1")), "the connection is well")
		})
	}
}

// TestWritesThatComeTogetherAskTogether: so one question to Temporal serves them all, and
// none is written on an older answer than its own.
func TestWritesThatComeTogetherAskTogether(t *testing.T) {
	db := open(t, backends[0].fresh(t))
	require.NoError(t, db.Migrate(t.Context()))
	var arrived sync.WaitGroup
	arrived.Add(orderdb.GroupSize)
	written := int64(-1)
	ask := func() error { // which only returns when all of them ask
		arrived.Done()
		arrived.Wait()
		return nil
	}
	var all []*attempt
	for i := range orderdb.GroupSize {
		all = append(all, &attempt{order: ordertest.New(fmt.Sprint("A", i)), admit: ask})
	}
	all = append(all, &attempt{order: ordertest.New("next"), admit: func() error {
		tally, err := db.Tally(t.Context(), "A")
		written = tally.Orders
		return err
	}})
	meet(t, db, all)()
	for _, a := range all {
		assert.NoError(t, a.err)
	}
	assert.EqualValues(t, orderdb.GroupSize, written, "what comes after them finds them written")
}

// TestACallerMayGoWhileItsWriteWaitsAmongOthers, and nothing of it is written.
func TestACallerMayGoWhileItsWriteWaitsAmongOthers(t *testing.T) {
	url := backends[0].fresh(t)
	db := open(t, url)
	require.NoError(t, db.Migrate(t.Context()))
	going, stop := context.WithCancelCause(t.Context())
	gone := errors.New("it became unfit")
	var release func()
	both := make(chan struct{}, 2)
	all := []*attempt{
		{order: ordertest.New("A1"), ctx: going, admit: func() error { both <- struct{}{}; return nil }},
		{order: ordertest.New("A2"), admit: func() error {
			release = holdSQLite(t, url) // after which nothing can begin
			both <- struct{}{}
			return nil
		}},
	}
	wait := meet(t, db, all)
	<-both
	<-both
	stop(gone)
	<-all[0].ended
	release()
	wait()
	assertClass(t, orderdb.Unavailable, all[0].err)
	assert.ErrorIs(t, all[0].err, gone)
	assert.NoError(t, all[1].err)
	assertTally(t, db, 2) // first and A2
}
