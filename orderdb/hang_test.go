package orderdb_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/orderdb"
)

// TestWhatHangsAtAFormerLeaderIsAbandoned: nothing but a deadline far away would end it.
// The leader is frozen with writes on their way, another is promoted, and the former
// one thaws and has them wait for a standby that it will never see again.
func TestWhatHangsAtAFormerLeaderIsAbandoned(t *testing.T) {
	pair, url := ownPair(t)
	db := open(t, url)
	connections(t, db, "before-", 2)
	probe, err := orderdb.OpenProbe(url, ltp.DefaultComponent)
	require.NoError(t, err)
	defer probe.Close()
	_, err = probe.Probe(t.Context())
	require.NoError(t, err)

	former := pair.Leader()
	require.NoError(t, former.Freeze())
	put, withdrawn, probed := make(chan error, 1), make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := db.Put(context.Background(), ordertest.New("hangs"), nil)
		put <- err
	}()
	go func() {
		_, err := db.Withdraw(context.Background(), ordertest.New("withdrawn"), cancelled, nil)
		withdrawn <- err
	}()
	go func() {
		_, err := probe.Probe(context.Background())
		probed <- err
	}()
	require.NoError(t, pair.Promote(t.Context()))
	former.Thaw()

	assertClass(t, orderdb.Unknown, <-put)
	assertClass(t, orderdb.Unknown, <-withdrawn)
	var fault *orderdb.Fault
	require.ErrorAs(t, <-probed, &fault)
	assert.True(t, fault.Definite(), "%v", fault)
	assert.False(t, persist(t, db, ordertest.New("hangs")), "the leader never had it")
	facts, err := probe.Probe(t.Context())
	require.NoError(t, err)
	assert.Equal(t, pair.Leader().Host(), facts["leader"])
	assert.Equal(t, "2", facts["timeline"])
}
