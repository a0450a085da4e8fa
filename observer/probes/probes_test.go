package probes_test

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp/observer"
	"github.com/ltp-node/ltp/observer/health"
	"github.com/ltp-node/ltp/observer/probes"
	"github.com/ltp-node/ltp/orderdb"
	"github.com/ltp-node/ltp/orderdb/pgtest"
)

func TestTheURLNamesTheProbe(t *testing.T) {
	for url, want := range map[string]any{
		"postgres://app@db1,db2/orders":         &orderdb.Probe{},
		"postgresql://app@db1/orders":           &orderdb.Probe{},
		filepath.Join(t.TempDir(), "orders.db"): &orderdb.Probe{},
		"sqlite:///tmp/orders.db":               &orderdb.Probe{},
		"http://payments:8080/healthz":          &health.Probe{},
		"https://payments/healthz":              &health.Probe{},
	} {
		p, err := probes.Open(url, "payments", nil)
		require.NoError(t, err, url)
		assert.IsType(t, want, p, url)
		require.NoError(t, p.Close())
	}
}

func TestPatroniIsEvidenceBesideTheProbe(t *testing.T) {
	db := filepath.Join(t.TempDir(), "orders.db")
	store, err := orderdb.Open(t.Context(), db)
	require.NoError(t, err)
	require.NoError(t, store.Migrate(t.Context()))
	require.NoError(t, store.Close())
	asked := make(chan struct{}, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"members":[{"name":"pg1","role":"leader","state":"running","timeline":2}]}`))
		asked <- struct{}{}
	}))
	defer server.Close()
	p, err := probes.Open(db, "orders-db", []string{server.URL})
	require.NoError(t, err)
	facts, err := p.Probe(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "sqlite", facts["database"])
	<-asked
	require.NoError(t, p.Close())

	_, err = probes.Open(db, "orders-db", []string{"pg1:8008"})
	require.ErrorContains(t, err, "http://host:8008")
}

// TestPatroniEndsTheWaitForAFrozenLeader: it is known to be gone while the write to it
// still hangs, and only a write says that it is back.
func TestPatroniEndsTheWaitForAFrozenLeader(t *testing.T) {
	server := pgtest.Start(t)
	url := server.Database(t)
	store, err := orderdb.Open(t.Context(), url)
	require.NoError(t, err)
	require.NoError(t, store.Migrate(t.Context()))
	require.NoError(t, store.Close())
	keeper := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"members":[{"name":"pg1","role":"replica","state":"stopped"},{"name":"pg2","role":"replica","state":"running"}]}`))
	}))
	defer keeper.Close()
	p, err := probes.Open(url, "orders-db", []string{keeper.URL})
	require.NoError(t, err)
	defer p.Close()
	_, err = p.Probe(t.Context())
	require.NoError(t, err, "a write that succeeds says more than Patroni")

	server.Freeze(t)
	facts, err := p.Probe(t.Context())
	var f observer.Fault
	require.ErrorAs(t, err, &f)
	assert.True(t, f.Definite())
	assert.Equal(t, "No leader (Patroni)", f.Reason())
	assert.Equal(t, "pg1 replica stopped, pg2 replica running", facts["patroni_members"])

	server.Thaw()
	for err != nil { // until what was condemned has let go of its turn
		_, err = p.Probe(t.Context())
	}
}

func TestWhatIsNotUnderstoodIsSaidWithoutPasswords(t *testing.T) {
	for _, url := range []string{"", "ftp://u:s3cret@host/x", "mysql://u:s3cret@host/x", "postgres://u:s3cret@ho st/x", "app:s3cret@db1/orders", "http://u:s3cret@/healthz"} {
		_, err := probes.Open(url, "payments", nil)
		require.ErrorContains(t, err, "give ", url)
		assert.NotContains(t, err.Error(), "s3cret")
	}
}
