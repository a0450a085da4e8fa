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
)

var fulfil = ltp.Execution{Activity: "Fulfil", TaskQueue: "shop"}

// shop is the program of examples/execute, and what it has written.
type shop struct {
	*rig
	binary, file string
}

func newShop(r *rig) *shop {
	s := &shop{rig: r, binary: filepath.Join(r.T.TempDir(), "execute"), file: filepath.Join(r.Dir, "shop.db")}
	said, err := exec.Command("go", "build", "-o", s.binary, "github.com/ltp-node/ltp/examples/execute").CombinedOutput()
	require.NoErrorf(r.T, err, "%s", said)
	r.Start = starter.New(r.Client, starter.WithExecution(fulfil))
	return s
}

func (s *shop) open() *process {
	s.T.Helper()
	env := s.Environment()
	p := launch(s.T, env, s.binary, "-db", s.file)
	p.Says(&p.Stdout, "waits for orders")
	return p
}

// rows are how often each order was written.
func (s *shop) rows() map[string]int {
	s.T.Helper()
	db, err := sql.Open("sqlite", "file:"+s.file+"?_pragma=busy_timeout(10000)")
	require.NoError(s.T, err)
	defer db.Close()
	found, err := db.QueryContext(s.Ctx, "SELECT order_id, count(*) FROM fulfilments GROUP BY order_id")
	require.NoError(s.T, err)
	defer found.Close()
	rows := map[string]int{}
	for found.Next() {
		var id string
		var n int
		require.NoError(s.T, found.Scan(&id, &n))
		rows[id] = n
	}
	require.NoError(s.T, found.Err())
	return rows
}

// executed waits until orders are executed and checks that the shop has each once, and
// the order database none.
func (s *shop) executed(ids []string) {
	s.T.Helper()
	for _, id := range ids {
		st := s.Ended(id)
		require.Equal(s.T, ltp.Executed, st.State, "%+v", st)
		require.NotNil(s.T, st.Receipt)
		assert.True(s.T, st.Receipt.Fence.State.Fit())
		assert.False(s.T, st.Receipt.Fence.ReadAt.IsZero())
		assert.False(s.T, st.Receipt.BegunAt.Before(st.Receipt.Fence.ReadAt), "the fence was asked before the write")
		assert.Contains(s.T, string(st.Receipt.Result), "committed_at")
		story, err := s.Reader().Order(s.Ctx, id)
		require.NoError(s.T, err)
		assert.Equal(s.T, fulfil, story.Execution)
	}
	want := map[string]int{}
	for _, id := range ids {
		want[id] = 1
	}
	assert.Equal(s.T, want, s.rows())
	missing, err := s.OpenDB().Missing(s.Ctx, ids)
	require.NoError(s.T, err)
	assert.Equal(s.T, ids, missing, "the order database knows nothing of them")
}

// TestActivityOfTheUsersExecutesOrdersOnce: a program of the user's executes orders, is
// kept from it through an outage, and executes each exactly once after it. Then it is
// down, and orders wait for it.
func TestActivityOfTheUsersExecutesOrdersOnce(t *testing.T) {
	r := newRig(t)
	s := newShop(r)
	n := r.up(r.config())
	r.Until(n.Board, ltp.Stable)
	running := s.open()
	ids := []string{"own-00"}
	r.Submit("own-00")
	s.executed(ids)
	assert.LessOrEqual(t, r.cost("own-00").events, int64(13), "the fence is one event more")

	end := r.Outage()
	r.Until(n.Board, ltp.Unstable)
	for i := 1; i <= 20; i++ {
		id := fmt.Sprintf("own-%02d", i)
		require.Equal(t, ltp.Deferred, r.Decided(r.Submit(id)).State)
		ids = append(ids, id)
	}
	assert.Len(t, s.rows(), 1, "nothing is executed while unfit")
	end()
	s.executed(ids)
	r.Until(n.Board, ltp.Stable)

	running.Interrupt()
	r.Submit("own-21")
	require.Eventually(t, func() bool {
		st, err := r.Start.Get(r.Ctx, "own-21")
		require.NoError(t, err)
		return st.Reason == ltp.ReasonExecuteUnavailable
	}, patience, 50*time.Millisecond, "nobody is there to take it")
	s.open()
	ids = append(ids, "own-21")
	s.executed(ids)
	r.Until(n.Board, ltp.Stable)

	a := r.audited(2, "--orders-db", r.Orders)
	for _, claim := range a.Claims {
		if claim.Name != audit.RowsAgree {
			assert.Equal(t, audit.Held, claim.Verdict, "%+v", claim)
		}
	}
	assert.Contains(t, a.Claim(audit.RowsAgree).Why, "activities of your own")
	file := filepath.Join(t.TempDir(), "incident.jsonl")
	for _, args := range [][]string{{"trace", "export", "--state-dir", r.Dir, "-o", file}, {"trace", "verify", "--state-dir", r.Dir, file}} {
		status, said := r.command(args...)
		require.Zero(t, status, said)
	}
}
