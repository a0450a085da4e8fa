package orderdb_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/orderdb"
	"github.com/ltp-node/ltp/orderdb/pgtest"
)

func writesInFlight(t *testing.T, db orderdb.DB) int {
	t.Helper()
	n, err := db.InFlight(t.Context())
	require.NoError(t, err)
	return n
}

// TestAWriteIsInFlightUntilItHasEnded, and one that waits for a lock is so, too; reading is
// no write.
func TestAWriteIsInFlightUntilItHasEnded(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		db := open(t, url)
		assert.Zero(t, writesInFlight(t, db))
		_, err := db.Tally(t.Context(), "")
		require.NoError(t, err)
		assert.Zero(t, writesInFlight(t, db))

		release, writer, done := b.hold(t, url), open(t, url), make(chan error, 1)
		go func() {
			_, err := writer.Put(t.Context(), ordertest.New("flight-1"), nil)
			done <- err
		}()
		require.Eventually(t, func() bool { return writesInFlight(t, db) == 1 }, time.Minute, 5*time.Millisecond)
		release()
		require.NoError(t, <-done)
		require.Eventually(t, func() bool { return writesInFlight(t, db) == 0 }, time.Minute, 5*time.Millisecond)
	})
}

// TestEveryTransactionThatWritesIsInFlight: one that is open, and one that was prepared and
// belongs to no session any more.
func TestEveryTransactionThatWritesIsInFlight(t *testing.T) {
	server := pgtest.Start(t)
	server.Set(t, "max_prepared_transactions", "5")
	server.Shutdown()
	require.NoError(t, server.Start())
	url := server.Database(t)
	db := open(t, url)
	require.NoError(t, db.Migrate(t.Context()))
	_, err := db.Put(t.Context(), ordertest.New("flight-1"), nil)
	require.NoError(t, err)
	var open []*pgx.Conn
	for range 3 {
		conn := pgtest.Connect(t, url)
		_, err := conn.Exec(t.Context(), "BEGIN; UPDATE ltp.order_keys SET id = id WHERE false; UPDATE ltp.orders SET id = id WHERE false")
		require.NoError(t, err)
		open = append(open, conn)
		assert.Equal(t, len(open), writesInFlight(t, db), "a transaction counts once")
	}
	for i, conn := range open {
		_, err := conn.Exec(t.Context(), []string{"COMMIT", "ROLLBACK", "COMMIT"}[i])
		require.NoError(t, err)
		assert.Equal(t, len(open)-1-i, writesInFlight(t, db))
	}
	_, err = open[0].Exec(t.Context(), "BEGIN; UPDATE ltp.orders SET id = id WHERE false; PREPARE TRANSACTION 'theirs'")
	require.NoError(t, err)
	require.NoError(t, open[0].Close(t.Context()))
	assert.Equal(t, 1, writesInFlight(t, db))
	_, err = open[1].Exec(t.Context(), "ROLLBACK PREPARED 'theirs'")
	require.NoError(t, err)
	assert.Zero(t, writesInFlight(t, db))
}

// TestNothingIsSaidOfADatabaseThatHasNoOrders: no table is no write in flight only as far
// as anybody knows.
func TestNothingIsSaidOfADatabaseThatHasNoOrders(t *testing.T) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			_, err := open(t, b.fresh(t)).InFlight(t.Context())
			assert.ErrorContains(t, err, "counting the writes in flight")
			_, err = open(t, b.nowhere(t)).InFlight(t.Context())
			assert.ErrorContains(t, err, "counting the writes in flight")
		})
	}
}

// TestAWriterOfSQLiteIsSeenAndLeftAlone: asking takes nothing from it.
func TestAWriterOfSQLiteIsSeenAndLeftAlone(t *testing.T) {
	url := backends[0].fresh(t)
	db := open(t, url)
	require.NoError(t, db.Migrate(t.Context()))
	conn := sqliteConn(t, url)
	exec := func(statement string) {
		t.Helper()
		_, err := conn.ExecContext(context.Background(), statement)
		require.NoError(t, err)
	}
	exec("BEGIN IMMEDIATE")
	for range 3 {
		assert.Equal(t, 1, writesInFlight(t, db))
	}
	exec("UPDATE ltp_probe SET n = n")
	exec("COMMIT")
	for range 3 {
		assert.Zero(t, writesInFlight(t, db))
		exec("BEGIN IMMEDIATE; ROLLBACK") // and it keeps no lock
	}
}
