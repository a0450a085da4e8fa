package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/orderdb"
	"github.com/ltp-node/ltp/orderdb/pgtest"
	"github.com/ltp-node/ltp/tests/child"
)

// TestTheOutboxIsRelayed by the program of examples/relay, with the privileges that it
// names: each order comes out once, those of a key in their order, and what was handed to
// nobody comes again.
func TestTheOutboxIsRelayed(t *testing.T) {
	url := pgtest.Start(t).Database(t)
	db, err := orderdb.Open(t.Context(), url)
	require.NoError(t, err)
	defer db.Close()
	require.NoError(t, db.Migrate(t.Context()))
	app := asRole(t, url, "relay")
	pgtest.Exec(t, url, "GRANT USAGE ON SCHEMA ltp TO relay; GRANT SELECT, DELETE, UPDATE (id) ON ltp.order_outbox TO relay")
	binary := filepath.Join(t.TempDir(), "relay")
	said, err := exec.Command("go", "build", "-o", binary, "github.com/ltp-node/ltp/examples/relay").CombinedOutput()
	require.NoErrorf(t, err, "%s", said)
	relay := func() (lines []string) {
		p := launch(t, child.Environment(t, "DB="+app), binary, "--once")
		require.Zero(t, p.Wait(), p.Stderr.String())
		return slices.DeleteFunc(strings.Split(p.Stdout.String(), "\n"), func(line string) bool { return line == "" })
	}
	left := func() (n int) {
		require.NoError(t, pgtest.Connect(t, url).QueryRow(t.Context(), "SELECT count(*) FROM ltp.order_outbox").Scan(&n))
		return n
	}
	// Each key has its orders one after the other, as a sequence does; keys write at once.
	const keys, each = 5, 50
	write := func(round int) {
		var writing sync.WaitGroup
		for k := range keys {
			writing.Go(func() {
				for i := range each {
					o := ordertest.New(fmt.Sprintf("R%d-%d-%03d", round, k, i), ordertest.OrderingKey(fmt.Sprint("key-", k)))
					_, err := db.Put(t.Context(), o, nil)
					assert.NoError(t, err)
				}
			})
		}
		writing.Wait()
	}
	// seen are the orders of some lines by their key.
	seen := func(lines []string) map[string][]string {
		by := map[string][]string{}
		for _, line := range lines {
			var e struct {
				N       int64     `json:"n"`
				OrderID string    `json:"order_id"`
				Order   ltp.Order `json:"order"`
			}
			require.NoError(t, json.Unmarshal([]byte(line), &e), line)
			assert.Positive(t, e.N)
			assert.Equal(t, e.OrderID, e.Order.ID)
			by[e.Order.OrderingKey] = append(by[e.Order.OrderingKey], e.OrderID)
		}
		return by
	}
	all := func(round int) map[string][]string {
		by := map[string][]string{}
		for k := range keys {
			for i := range each {
				key := fmt.Sprint("key-", k)
				by[key] = append(by[key], fmt.Sprintf("R%d-%d-%03d", round, k, i))
			}
		}
		return by
	}

	write(1)
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	require.NoError(t, reader.Close())
	unheard := exec.CommandContext(t.Context(), binary, "--once", "--orders-db", app)
	unheard.Stdout = writer
	require.Error(t, unheard.Run(), "nobody reads its lines")
	assert.Equal(t, keys*each, left(), "and so it has handed on none")
	assert.Equal(t, all(1), seen(relay()))
	assert.Zero(t, left())
	assert.Empty(t, relay())

	write(2)
	var both [2][]string
	var relaying sync.WaitGroup
	for i := range both {
		relaying.Go(func() { both[i] = relay() })
	}
	relaying.Wait()
	var lines []string
	for _, half := range both {
		lines = append(lines, half...)
	}
	for key, orders := range seen(lines) {
		assert.ElementsMatch(t, all(2)[key], orders, "each once")
	}
	assert.Len(t, lines, keys*each)
	assert.Zero(t, left())
}
