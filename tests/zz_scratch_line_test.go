package tests

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/sequence"
)

func TestZZScratchTenThousand(t *testing.T) {
	r := newRig(t)
	n := r.up(r.config())
	r.until(n, ltp.Stable)
	require.NoError(t, operator(r, ltp.HoldUpdate, ltp.Hold{By: "ann", Why: "migration"}))
	r.until(n, ltp.Unstable)
	r.decided(r.submit(of("c-17", "head")))
	began := time.Now()
	var wg sync.WaitGroup
	next := make(chan int)
	for range 16 {
		wg.Go(func() {
			for i := range next {
				if err := sequence.Join(r.ctx, r.client, "c-17", fmt.Sprintf("%0*d", 100, i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range 10000 {
		next <- i
	}
	close(next)
	wg.Wait()
	t.Log("joined", time.Since(began))
	require.Eventually(t, func() bool {
		s, err := sequence.Look(r.ctx, r.client, "c-17")
		return err == nil && s.Waiting > 9000
	}, time.Minute, 100*time.Millisecond)
	s, err := sequence.Look(r.ctx, r.client, "c-17")
	t.Log(s, err, s.Full())
	r.submit(of("c-17", "last"))
	began = time.Now()
	require.NoError(t, operator(r, ltp.ReleaseUpdate, ltp.Release{By: "bob", Why: "done"}))
	r.ended("head")
	t.Log("head", time.Since(began))
	require.Eventually(t, func() bool {
		st, _ := r.start.Get(r.ctx, "last")
		return st.State.Final()
	}, 4*time.Minute, 100*time.Millisecond)
	t.Log("last", time.Since(began))
	h := r.run(ltp.SequenceWorkflowID("c-17"), "")
	t.Log("events of the last run", len(h.Events))
}
