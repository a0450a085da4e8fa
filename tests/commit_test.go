package tests

import (
	"bytes"
	"net/url"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/link"
	"github.com/ltp-node/ltp/orderdb/pgtest"
)

// TestConnectionCutAroundTheCommitWritesTheOrderOnce: the connection ends before the order reaches the
// order database, or after it was committed and before the answer came. Nobody can
// tell the two apart, and both orders are there once.
func TestConnectionCutAroundTheCommitWritesTheOrderOnce(t *testing.T) {
	pair := pgtest.StartPair(t)
	scissors := &scissors{before: "cut-before", after: "cut-after", cut: map[string]bool{}, waits: map[int64]bool{}}
	cable, err := link.NewWatched(pair.Leader().Host(), scissors.watch)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, cable.Close()) })
	u, err := url.Parse(pair.Leader().URL("postgres"))
	require.NoError(t, err)
	u.Host = cable.Address()

	r := newRigOn(t, u.String())
	n := r.up(r.config())
	r.Until(n.Board, ltp.Stable)
	ids := []string{"cut-before", "cut-after"}
	for _, id := range ids {
		r.Submit(id)
	}
	r.executedOnce("cut-", ids)
	assert.Len(t, scissors.cut, 2, "both were cut")
	for id, repeated := range map[string]bool{"cut-before": false, "cut-after": true} {
		story, err := r.Reader().Order(r.Ctx, id)
		require.NoError(t, err)
		first := story.Executions[0]
		assert.Equal(t, ltp.ResultUnknown, first.Result, id)
		assert.Equal(t, repeated, story.Outcome.Receipt.Repeated, id)
	}
}

// scissors cut the connection that carries an order, each order's once.
type scissors struct {
	before, after string // order IDs

	mu    sync.Mutex
	cut   map[string]bool
	waits map[int64]bool // connections whose next answer is that of a commit
}

func (s *scissors) watch(conn int64, toTarget bool, data []byte) link.Verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	carries := func(id string) bool { return toTarget && !s.cut[id] && bytes.Contains(data, []byte(id)) }
	switch {
	case carries(s.before):
		s.cut[s.before] = true
		return link.CutBefore
	case carries(s.after):
		s.waits[conn] = true
	case !toTarget && s.waits[conn]:
		delete(s.waits, conn)
		s.cut[s.after] = true
		return link.CutBefore
	}
	return link.Pass
}
