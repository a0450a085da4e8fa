package harness

import (
	"context"
	"database/sql"
	"sync"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/starter"
)

// Submit submits an order, which must be accepted.
func (r *Rig) Submit(id string, changes ...func(*ltp.Order)) starter.Submission {
	r.T.Helper()
	sub, err := r.Start.Submit(r.Ctx, ordertest.New(id, changes...))
	require.NoError(r.T, err)
	return sub
}

// Outage stops the writes of an SQLite order database until end is called, at the latest
// with the test.
func (r *Rig) Outage() (end func()) {
	r.T.Helper()
	db, err := sql.Open("sqlite", "file:"+r.Orders+"?_pragma=busy_timeout(10000)")
	require.NoError(r.T, err)
	conn, err := db.Conn(r.Ctx)
	require.NoError(r.T, err)
	_, err = conn.ExecContext(r.Ctx, "BEGIN EXCLUSIVE")
	require.NoError(r.T, err)
	end = sync.OnceFunc(func() {
		_, err := conn.ExecContext(context.Background(), "ROLLBACK")
		assert.NoError(r.T, err, "end the outage")
		_ = conn.Close()
		_ = db.Close()
	})
	r.T.Cleanup(end)
	return end
}

// Operator sends an Update of an operator to the default component.
func (r *Rig) Operator(update string, request any) error {
	ctx, cancel := context.WithTimeout(r.Ctx, time.Minute)
	defer cancel()
	return board.SendUpdate(ctx, r.Client, ltp.DefaultComponent, update, request, nil)
}

// Hold makes the component UNSTABLE, by ann.
func (r *Rig) Hold(why string) {
	r.T.Helper()
	require.NoError(r.T, r.Operator(ltp.HoldUpdate, ltp.Hold{By: "ann", Why: why}))
}

// Release ends the hold, by bob.
func (r *Rig) Release() {
	r.T.Helper()
	require.NoError(r.T, r.Operator(ltp.ReleaseUpdate, ltp.Release{By: "bob", Why: "done"}))
}
