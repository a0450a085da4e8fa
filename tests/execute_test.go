package tests

import (
	"database/sql"
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/audit"
	"github.com/ltp-node/ltp/starter"
	"github.com/ltp-node/ltp/tests/child"
)

var fulfil = ltp.Execution{Activity: "Fulfil", TaskQueue: "shop"}

// shop is the program of examples/execute, and what it has written.
type shop struct {
	*rig
	binary, file string
}

func newShop(r *rig) *shop {
	s := &shop{rig: r, binary: filepath.Join(r.t.TempDir(), "execute"), file: filepath.Join(r.dir, "shop.db")}
	said, err := exec.Command("go", "build", "-o", s.binary, "github.com/ltp-node/ltp/examples/execute").CombinedOutput()
	require.NoErrorf(r.t, err, "%s", said)
	r.start = starter.New(r.client, starter.WithExecution(fulfil))
	return s
}

func (s *shop) open() *process {
	s.t.Helper()
	env := child.Environment(s.t, "TEMPORAL_ADDRESS="+s.server.Address(), "TEMPORAL_NAMESPACE="+s.server.Namespace())
	p := launch(s.t, env, s.binary, "-db", s.file)
	p.Says(&p.Stdout, "waits for orders")
	return p
}

// rows are how often each order was written.
func (s *shop) rows() map[string]int {
	s.t.Helper()
	db, err := sql.Open("sqlite", "file:"+s.file+"?_pragma=busy_timeout(10000)")
	require.NoError(s.t, err)
	defer db.Close()
	found, err := db.QueryContext(s.ctx, "SELECT order_id, count(*) FROM fulfilments GROUP BY order_id")
	require.NoError(s.t, err)
	defer found.Close()
	rows := map[string]int{}
	for found.Next() {
		var id string
		var n int
		require.NoError(s.t, found.Scan(&id, &n))
		rows[id] = n
	}
	require.NoError(s.t, found.Err())
	return rows
}

// executed waits until orders are executed and checks that the shop has each once, and
// the order database none.
func (s *shop) executed(ids []string) {
	s.t.Helper()
	for _, id := range ids {
		st := s.ended(id)
		require.Equal(s.t, ltp.Executed, st.State, "%+v", st)
		require.NotNil(s.t, st.Receipt)
		assert.True(s.t, st.Receipt.Fence.State.Fit())
		assert.False(s.t, st.Receipt.Fence.ReadAt.IsZero())
		assert.False(s.t, st.Receipt.BegunAt.Before(st.Receipt.Fence.ReadAt), "the fence was asked before the write")
		assert.Contains(s.t, string(st.Receipt.Result), "committed_at")
		story, err := s.reader().Order(s.ctx, id)
		require.NoError(s.t, err)
		assert.Equal(s.t, fulfil, story.Execution)
	}
	want := map[string]int{}
	for _, id := range ids {
		want[id] = 1
	}
	assert.Equal(s.t, want, s.rows())
	missing, err := s.openDB().Missing(s.ctx, ids)
	require.NoError(s.t, err)
	assert.Equal(s.t, ids, missing, "the order database knows nothing of them")
}

// TestActivityOfTheUsersExecutesOrdersOnce: a program of the user's executes orders, is
// kept from it through an outage, and executes each exactly once after it. Then it is
// down, and orders wait for it.
func TestActivityOfTheUsersExecutesOrdersOnce(t *testing.T) {
	r := newRig(t)
	s := newShop(r)
	n := r.up(r.config())
	r.until(n, ltp.Stable)
	running := s.open()
	ids := []string{"own-00"}
	r.submit(order("own-00"))
	s.executed(ids)
	assert.LessOrEqual(t, r.cost("own-00").events, int64(13), "the fence is one event more")

	end := r.outage()
	r.until(n, ltp.Unstable)
	for i := 1; i <= 20; i++ {
		id := fmt.Sprintf("own-%02d", i)
		require.Equal(t, ltp.Deferred, r.decided(r.submit(order(id))).State)
		ids = append(ids, id)
	}
	assert.Len(t, s.rows(), 1, "nothing is executed while unfit")
	end()
	s.executed(ids)
	r.until(n, ltp.Stable)

	running.Interrupt()
	r.submit(order("own-21"))
	require.Eventually(t, func() bool {
		st, err := r.start.Get(r.ctx, "own-21")
		require.NoError(t, err)
		return st.Reason == ltp.ReasonExecuteUnavailable
	}, patience, 50*time.Millisecond, "nobody is there to take it")
	s.open()
	ids = append(ids, "own-21")
	s.executed(ids)
	r.until(n, ltp.Stable)

	a := r.audited(2, "--orders-db", r.orders)
	for _, claim := range a.Claims {
		if claim.Name != audit.RowsAgree {
			assert.Equal(t, audit.Held, claim.Verdict, "%+v", claim)
		}
	}
	assert.Contains(t, a.Claim(audit.RowsAgree).Why, "activities of your own")
	file := filepath.Join(t.TempDir(), "incident.jsonl")
	for _, args := range [][]string{{"trace", "export", "--state-dir", r.dir, "-o", file}, {"trace", "verify", "--state-dir", r.dir, file}} {
		status, said := r.command(args...)
		require.Zero(t, status, said)
	}
}
