package orderdb

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// hanging is when a write counts as hanging; every host is then asked who leads, and
// again after as long.
const hanging = askedFor

// watch ends a write on a connection when another server is seen to have been promoted:
// at a former leader it would hang for as long as it may. The write is over when the
// returned function is called.
func (c *cluster) watch(ctx context.Context, conn *pgconn.PgConn) (context.Context, context.CancelFunc) {
	if c == nil {
		return ctx, func() {}
	}
	p, known := conn.CustomData()[positionKey].(walPosition)
	if !known {
		return ctx, func() {}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	at := conn.Conn().RemoteAddr()
	timer := time.AfterFunc(hanging, func() {
		for ctx.Err() == nil {
			c.askHosts(ctx, at)
			if highest := c.recordTimeline(p); p.timeline < highest {
				cancel(&deposedError{p.timeline, highest})
			}
			select {
			case <-ctx.Done():
			case <-time.After(hanging):
			}
		}
	})
	return ctx, func() { timer.Stop(); cancel(nil) }
}

// causeOf is the error of a write that was watched: that its server was deposed, where that
// ended it.
func causeOf(ctx context.Context, err error) error {
	if deposed, ok := context.Cause(ctx).(*deposedError); ok && err != nil {
		return deposed
	}
	return err
}
