package node

import (
	"context"
	"fmt"
	"time"

	"github.com/ltp-node/ltp/orderdb"
)

const (
	// checkTimeout is how long an order database that hangs may hold up a start.
	checkTimeout = 10 * time.Second
	// awaitPace is the time between two looks at one that is not set up.
	awaitPace = time.Second
)

func (c Config) ordersOptions() []orderdb.Option {
	return []orderdb.Option{
		orderdb.WithSchema(c.OrdersSchema), orderdb.WithRejectOn(c.RejectOn), orderdb.WithSQL(c.OrdersSQL), orderdb.WithWritePathEvery(c.WritePathEvery),
	}
}

// readyOrders returns when a node may start on the order database: its tables are those
// of this build, and it takes the shop's statements, or nobody can tell.
func (c Config) readyOrders(ctx context.Context) error {
	db, err := orderdb.Open(ctx, c.OrdersURL, c.ordersOptions()...)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	err = c.checkOrders(ctx, db)
	switch {
	case err != nil && !orderdb.Wrong(err):
		// A node that starts in an outage must not fail because of it. Orders wait, and
		// what the database says once it is back stands in the orientation.
		c.Log.Warn("the tables of the order database were not checked: orders wait until it can be reached", "error", err)
		return nil
	case orderdb.Denied(err) && c.AwaitOrders == nil:
		// It is like an outage that a GRANT ends: whoever restarts in it must come up.
		c.Log.Warn("orders wait until the role of the order database has its privileges", "error", err)
		return nil
	case err == nil, c.AwaitOrders == nil:
		return err
	}
	pace := time.NewTicker(awaitPace)
	defer pace.Stop()
	for said := ""; err != nil; err = c.checkOrders(ctx, db) {
		if err.Error() != said {
			said = err.Error()
			c.AwaitOrders(err)
		}
		select {
		case <-pace.C:
		case <-ctx.Done():
			return fmt.Errorf("ended while it waited for the order database: %w", err)
		}
	}
	return nil
}

func (c Config) checkOrders(ctx context.Context, db orderdb.DB) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	if c.SetUpOrders {
		if err := db.Migrate(ctx); err != nil {
			return err
		}
	}
	return db.Check(ctx)
}
