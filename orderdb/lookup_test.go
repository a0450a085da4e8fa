package orderdb_test

import (
	"context"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/orderdb"
	"github.com/ltp-node/ltp/orderdb/pgtest"
)

// TestANameServerThatIsSilentAboutALostHostKeepsNobodyFromTheOthers: Docker's is, of a
// container that was killed.
func TestANameServerThatIsSilentAboutALostHostKeepsNobodyFromTheOthers(t *testing.T) {
	server := pgtest.Shared(t)
	u, err := url.Parse(server.Database(t))
	require.NoError(t, err)
	require.NoError(t, open(t, u.String()).Migrate(t.Context()))
	u.Host = "lost.example:5432," + server.Host()

	var asked atomic.Bool
	over := make(chan struct{})
	defer close(over)
	defer orderdb.LookUpBy(func(_ context.Context, host string) ([]string, error) {
		if host == "lost.example" {
			asked.Store(true)
			<-over // whatever the context says
		}
		return []string{host}, nil
	})()
	assert.False(t, mustPut(t, open(t, u.String()), ordertest.New("A1")))
	assert.True(t, asked.Load())

	p, err := orderdb.OpenProbe(u.String(), "orders-db")
	require.NoError(t, err)
	defer p.Close()
	_, err = p.Probe(t.Context())
	assert.NoError(t, err)
}
