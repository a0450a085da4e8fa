package orderdb_test

import (
	"context"
	"database/sql/driver"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"modernc.org/sqlite"

	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/orderdb"
)

// The SQL function stall hangs where no interrupt reaches, as a dead disk does.
var stalled, stall = make(chan struct{}), make(chan struct{})

func init() {
	sqlite.MustRegisterScalarFunction("stall", 0, func(*sqlite.FunctionContext, []driver.Value) (driver.Value, error) {
		stalled <- struct{}{}
		<-stall
		return nil, nil
	})
}

func TestAWriteThatHangsInTheDiskIsLeftBehindAndNoneBegunAfterIt(t *testing.T) {
	url := backends[0].fresh(t)
	db := open(t, url)
	require.NoError(t, db.Migrate(t.Context()))
	execSQLite(t, url, "CREATE TRIGGER hang BEFORE INSERT ON orders WHEN NEW.id = 'A1' BEGIN SELECT stall(); END")

	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := db.Put(ctx, ordertest.New("A1"), nil)
		first <- err
	}()
	<-stalled
	cancel()
	assertClass(t, orderdb.Unknown, <-first)

	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := db.Put(ctx, ordertest.New("A2"), neverAdmitted(t))
	assertClass(t, orderdb.Unavailable, err)

	stall <- struct{}{}
	assert.False(t, mustPut(t, db, ordertest.New("A2")))
}

func TestSQLiteWritesAheadLog(t *testing.T) {
	url := backends[0].fresh(t)
	db := open(t, url)
	require.NoError(t, db.Migrate(t.Context()))
	mustPut(t, db, ordertest.New("A1"))
	var mode string
	require.NoError(t, sqliteConn(t, url).QueryRowContext(t.Context(), "PRAGMA journal_mode").Scan(&mode))
	assert.Equal(t, "wal", mode)
}

func TestReadsGoOnWhileAWriteHangs(t *testing.T) {
	url := backends[0].fresh(t)
	db := open(t, url)
	require.NoError(t, db.Migrate(t.Context()))
	mustPut(t, db, ordertest.New("A1"))
	defer holdSQLite(t, url)()
	other := open(t, url) // also when it connects only now
	for _, db := range []orderdb.DB{db, other} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		_, err := db.Row(ctx, "A1")
		require.NoError(t, err)
		require.NoError(t, db.Ping(ctx))
		cancel()
	}
}

func TestATriggerThatEndsTheTransactionRejectsAndLeavesTheConnectionWell(t *testing.T) {
	url := backends[0].fresh(t)
	db := open(t, url)
	require.NoError(t, db.Migrate(t.Context()))
	execSQLite(t, url, "CREATE TRIGGER refuse BEFORE INSERT ON orders WHEN NEW.id = 'A1' BEGIN SELECT RAISE(ROLLBACK, 'not A1'); END")
	_, err := db.Put(t.Context(), ordertest.New("A1"), nil)
	assertClass(t, orderdb.Rejected, err)
	require.EqualError(t, err, "not A1")
	assert.False(t, mustPut(t, db, ordertest.New("A2")))
	assertTally(t, db, 1)
}
