package ledger

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/ltp-node/ltp"
)

// SortIn makes exports sort in so many bytes of memory, until the test ends.
func SortIn(t testing.TB, bytes int) {
	before := memory
	memory = bytes
	t.Cleanup(func() { memory = before })
}

func TestTheEdgeOfATreeHasItsHead(t *testing.T) {
	var e edge
	var all hashes
	for n := range int64(70) {
		entry := []byte(fmt.Sprint("entry ", n))
		e.add(entry)
		if err := all.add(n, entry); err != nil {
			t.Fatal(err)
		}
		want, err := tlog.TreeHash(n+1, &all)
		if got := e.head(); err != nil || got.N != n+1 || got.Hash != want {
			t.Fatalf("%d entries: %v, %v, want %v", n+1, got, err, want)
		}
	}
}

// Whatever happens to a component, it goes from state to state as a file may tell.
func TestTransitionsAreThoseOfTheStateMachine(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	policy, begin := ltp.DefaultPolicy(), time.Unix(1_700_000_000, 0)
	at := func(i int) (t ltp.Input) {
		switch random.IntN(5) {
		case 0:
			t.Lost = "gone"
		case 1:
			t.Held = &ltp.Hold{By: "ann", Why: "test"}
		case 2:
			t.Released = &ltp.Release{By: "ann", Why: "test"}
		case 3:
			t.Drained = int64(i)
		default:
			t.Observed = &ltp.Observation{Verdict: []ltp.Verdict{ltp.Healthy, ltp.Slow, ltp.Unhealthy}[random.IntN(3)]}
		}
		return t
	}
	seen := map[[2]ltp.State]bool{}
	c := ltp.NewCondition("orders-db", 0, begin)
	for i := range 20000 {
		in := at(i)
		if in.Drained > 0 {
			in.Drained = c.Orientation.Epoch
		}
		next, _ := c.Next(in, policy, begin.Add(time.Duration(i)*time.Hour))
		if from, to := c.Orientation.State, next.Orientation.State; from != to {
			seen[[2]ltp.State{from, to}] = true
			if !allowed(from, to) {
				t.Fatalf("%s became %s", from, to)
			}
		}
		c = next
	}
	all := []ltp.State{ltp.Unknown, ltp.Stable, ltp.Degraded, ltp.Unstable, ltp.Recovering}
	for _, from := range all {
		for _, to := range all {
			if allowed(from, to) && !seen[[2]ltp.State{from, to}] {
				t.Errorf("%s never becomes %s, and a file may say so", from, to)
			}
		}
	}
}
