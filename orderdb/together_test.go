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
	"github.com/ltp-node/ltp/orderdb"
)

// attempt is one write of several.
type attempt struct {
	order    ltp.Order
	ctx      context.Context
	admit    func() error
	repeated bool
	err      error
	ended    chan struct{}
}

// meet has writes come while another is under way, so that they are written together. The
// returned function waits for their ends.
func meet(t *testing.T, db orderdb.DB, all []*attempt) (wait func()) {
	t.Helper()
	asked, goOn := make(chan struct{}), make(chan struct{})
	var under sync.WaitGroup
	under.Go(func() {
		_, err := db.Put(t.Context(), order("first"), func() error {
			close(asked)
			<-goOn
			return nil
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
			a.repeated, a.err = db.Put(a.ctx, a.order, a.admit)
		})
		require.Eventually(t, func() bool { return orderdb.AtTheDoor(db) == i+1 }, 20*time.Second, time.Millisecond)
	}
	close(goOn)
	return under.Wait
}

// of is an order of a customer.
func of(customer, id string) ltp.Order {
	o := order(id)
	o.Customer = customer
	return o
}

// TestWritesThatComeTogetherHaveTheirOwnEnds, whatever becomes of those beside them.
func TestWritesThatComeTogetherHaveTheirOwnEnds(t *testing.T) {
	refusals := map[string]string{
		"a statement is refused": `CREATE TRIGGER refuse BEFORE INSERT ON orders WHEN NEW.customer = 'banned'
			BEGIN SELECT RAISE(ABORT, 'banned does not order here'); END`,
		"its second statement is refused": `CREATE TRIGGER refuse BEFORE INSERT ON order_outbox WHEN NEW.order_id = 'C1'
			BEGIN SELECT RAISE(ABORT, 'banned does not order here'); END`,
		"the transaction is ended": `CREATE TRIGGER refuse BEFORE INSERT ON orders WHEN NEW.customer = 'banned'
			BEGIN SELECT RAISE(ROLLBACK, 'banned does not order here'); END`,
		"the commit is refused": `CREATE TABLE stock (sku TEXT PRIMARY KEY);
			CREATE TABLE picks (sku TEXT REFERENCES stock DEFERRABLE INITIALLY DEFERRED);
			CREATE TRIGGER pick AFTER INSERT ON orders WHEN NEW.customer = 'banned' BEGIN INSERT INTO picks VALUES ('none'); END`,
	}
	for name, refusal := range refusals {
		t.Run(name, func(t *testing.T) {
			url := backends[0].fresh(t)
			db := open(t, url)
			require.NoError(t, db.Migrate(t.Context()))
			mustPut(t, db, order("B1"))
			execSQLite(t, url, refusal)
			shut := errors.New("the fence is shut")
			all := []*attempt{
				{order: order("A1")}, {order: order("A1")}, {order: order("A2")},
				{order: of("another", "B1")}, {order: order("B1")}, {order: of("banned", "C1")},
				{order: order("D1"), admit: func() error { return shut }}, {order: order("A3")},
			}
			meet(t, db, all)()
			for i, want := range []struct {
				repeated bool
				class    orderdb.Class
				is       error
			}{
				{}, {repeated: true}, {}, {class: orderdb.Rejected, is: orderdb.ErrConflict}, {repeated: true},
				{class: orderdb.Rejected}, {class: orderdb.Unavailable, is: shut}, {},
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
				assert.Equal(t, want.repeated, a.repeated, "%d", i)
			}
			assertTally(t, db, 5) // first, B1, A1, A2 and A3
			assert.False(t, mustPut(t, db, order("E1")), "the connection is well")
		})
	}
}

// TestWritesThatComeTogetherAskTogether: so one question to Temporal serves them all, and
// none is written on an older answer than its own.
func TestWritesThatComeTogetherAskTogether(t *testing.T) {
	db := open(t, backends[0].fresh(t))
	require.NoError(t, db.Migrate(t.Context()))
	var arrived sync.WaitGroup
	arrived.Add(orderdb.Together)
	written := int64(-1)
	ask := func() error { // which only returns when all of them ask
		arrived.Done()
		arrived.Wait()
		return nil
	}
	var all []*attempt
	for i := range orderdb.Together {
		all = append(all, &attempt{order: order(fmt.Sprint("A", i)), admit: ask})
	}
	all = append(all, &attempt{order: order("next"), admit: func() error {
		tally, err := db.Tally(t.Context(), "A")
		written = tally.Orders
		return err
	}})
	meet(t, db, all)()
	for _, a := range all {
		assert.NoError(t, a.err)
	}
	assert.EqualValues(t, orderdb.Together, written, "what comes after them finds them written")
}

// TestACallerMayGoWhileItsWriteWaitsAmongOthers, and nothing of it is written.
func TestACallerMayGoWhileItsWriteWaitsAmongOthers(t *testing.T) {
	url := backends[0].fresh(t)
	db := open(t, url)
	require.NoError(t, db.Migrate(t.Context()))
	leaving, leave := context.WithCancelCause(t.Context())
	gone := errors.New("it became unfit")
	var release func()
	both := make(chan struct{}, 2)
	all := []*attempt{
		{order: order("A1"), ctx: leaving, admit: func() error { both <- struct{}{}; return nil }},
		{order: order("A2"), admit: func() error {
			release = holdSQLite(t, url) // after which nothing can begin
			both <- struct{}{}
			return nil
		}},
	}
	wait := meet(t, db, all)
	<-both
	<-both
	leave(gone)
	<-all[0].ended
	release()
	wait()
	assertClass(t, orderdb.Unavailable, all[0].err)
	assert.ErrorIs(t, all[0].err, gone)
	assert.NoError(t, all[1].err)
	assertTally(t, db, 2) // first and A2
}
