// Package harness is what the end-to-end tests run on: a real Temporal server and a real
// order database of the test's own, processes of the ltp binary, and a tenant's endpoint of
// webhooks.
package harness

import (
	"context"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/internal/embedded"
	"github.com/ltp-node/ltp/orderdb"
	"github.com/ltp-node/ltp/payload"
	"github.com/ltp-node/ltp/starter"
)

// look is the pause between two looks at a condition that nobody announces.
const look = 20 * time.Millisecond

// Patience is a safety net: how long tests wait for what must come.
type Patience struct {
	Step  time.Duration // for an event, the end of an order, a process
	State time.Duration // for a state of the component: a backlog may have to drain before
}

// Rig is a Temporal server and an order database, on a directory of the test.
type Rig struct {
	T      *testing.T
	Ctx    context.Context
	Dir    string
	Orders string // the order database: a path, or a URL of the test's
	// Options are what the Temporal server is started with.
	Options embedded.Options
	Server  *embedded.Server
	Address string // of Temporal, also after it was started again
	Client  client.Client
	Start   *starter.Starter

	patience Patience
}

// New starts Temporal, which ends with the test, and migrates the order database. An empty
// orders is a file in the directory of the test. What set changes, it changes for every
// server of the rig.
func New(t *testing.T, patience Patience, orders string, set ...func(*embedded.Options)) *Rig {
	t.Helper()
	r := &Rig{T: t, Ctx: t.Context(), Dir: t.TempDir(), Orders: orders, patience: patience}
	if orders == "" {
		r.Orders = filepath.Join(r.Dir, "orders.db")
	}
	r.Options = embedded.Options{
		StateDir: r.Dir, SearchAttributes: starter.SearchAttributes(),
		Progress: func(s embedded.Step) { t.Log(s) },
		Client:   client.Options{Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler))},
	}
	payload.Connect(&r.Options.Client, nil)
	for _, f := range set {
		f(&r.Options)
	}
	r.Serve()
	t.Cleanup(func() { _ = r.Server.Stop() })
	r.Address = r.Server.Address()
	r.Client = r.Dial()
	r.Start = starter.New(r.Client)
	db, err := orderdb.Open(r.Ctx, r.Orders)
	require.NoError(t, err)
	require.NoError(t, db.Migrate(r.Ctx))
	require.NoError(t, db.Close())
	return r
}

// Serve starts Temporal on the rig's data, the second time at the same address.
func (r *Rig) Serve() {
	r.T.Helper()
	var err error
	r.Server, err = embedded.Start(r.Ctx, r.Options)
	require.NoError(r.T, err)
	at, err := url.Parse("//" + r.Server.Address())
	require.NoError(r.T, err)
	r.Options.Port, err = strconv.Atoi(at.Port())
	require.NoError(r.T, err)
}

// KillServer ends Temporal where it is.
func (r *Rig) KillServer() {
	r.T.Helper()
	p, err := os.FindProcess(r.Server.PID())
	require.NoError(r.T, err)
	require.NoError(r.T, p.Kill())
	<-r.Server.Done()
	_ = r.Server.Stop() // it says that the server was killed
}

// Dial is a connection to Temporal of its own. It outlives a restart of the server.
func (r *Rig) Dial() client.Client {
	r.T.Helper()
	o := r.Options.Client
	o.HostPort, o.Namespace = r.Address, r.Server.Namespace()
	c, err := client.Dial(o)
	require.NoError(r.T, err)
	r.T.Cleanup(c.Close)
	return c
}

// OpenDB opens the order database until the end of the test.
func (r *Rig) OpenDB() orderdb.DB {
	r.T.Helper()
	db, err := orderdb.Open(r.Ctx, r.Orders)
	require.NoError(r.T, err)
	r.T.Cleanup(func() { _ = db.Close() })
	return db
}

// Watch is a board of the test's own, so that it sees what Temporal holds when the nodes
// are other processes, or down.
func (r *Rig) Watch() *board.Board {
	b := board.New(r.Client, []string{ltp.DefaultComponent}, slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { b.Run(ctx) })
	r.T.Cleanup(func() { stop(); done.Wait() })
	return b
}
