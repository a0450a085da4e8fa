package sqlitefile_test

import (
	"database/sql"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp/internal/sqlitefile"
)

// written makes a file of some megabytes whose name has every character that a URL minds.
func written(t testing.TB, megabytes int) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "a@b:c=d?e#f %41.db")
	db, err := sql.Open("sqlite", sqlitefile.DSN(path, url.Values{"mode": {"rwc"}, "_pragma": {"journal_mode(WAL)", "synchronous(OFF)"}}))
	require.NoError(t, err)
	defer db.Close()
	for _, statement := range []string{
		"CREATE TABLE events (id INTEGER PRIMARY KEY, run TEXT, body BLOB)", "CREATE INDEX runs ON events (run)",
		`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ` + strconv.Itoa(1500*megabytes) + `)
			INSERT INTO events SELECT i, 'order-' || i, randomblob(600) FROM n`,
	} {
		_, err := db.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	return path
}

// TestADamagedFileIsFound, by any one of its pages.
func TestADamagedFileIsFound(t *testing.T) {
	path := written(t, 1)
	require.FileExists(t, path)
	require.NoError(t, sqlitefile.Check(t.Context(), path))
	sound, err := os.ReadFile(path)
	require.NoError(t, err)
	const page = 4096
	pages := len(sound) / page
	for _, at := range []int{0, 1, 2, pages / 3, pages / 2, pages - 1} {
		bad := append([]byte(nil), sound...)
		for i := range page {
			bad[at*page+i] = byte(i*7 + 13)
		}
		require.NoError(t, os.WriteFile(path, bad, 0o600))
		var damaged *sqlitefile.DamagedError
		err := sqlitefile.Check(t.Context(), path)
		require.True(t, errors.As(err, &damaged), "page %d of %d: %v", at, pages, err)
		assert.Equal(t, path, damaged.Path)
		assert.NotContains(t, err.Error(), "\n")
	}
	require.NoError(t, os.WriteFile(path, sound[:len(sound)-3*page], 0o600))
	assert.Error(t, sqlitefile.Check(t.Context(), path), "its end is missing")
}

// TestWhatIsNotThereOrInUseIsNotDamaged.
func TestWhatIsNotThereOrInUseIsNotDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "orders.db")
	require.NoError(t, sqlitefile.Check(t.Context(), path))
	assert.NoFileExists(t, path)
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.NoError(t, sqlitefile.Check(t.Context(), path))

	path = written(t, 1)
	db, err := sql.Open("sqlite", sqlitefile.DSN(path, url.Values{"_pragma": {"locking_mode(EXCLUSIVE)"}}))
	require.NoError(t, err)
	defer db.Close()
	_, err = db.ExecContext(t.Context(), "INSERT INTO events (run) VALUES ('one')")
	require.NoError(t, err)
	require.NoError(t, sqlitefile.Check(t.Context(), path))
}

// BenchmarkCheck looks at a file of half a gigabyte that the system has in memory.
func BenchmarkCheck(b *testing.B) {
	path := written(b, 500)
	info, err := os.Stat(path)
	require.NoError(b, err)
	b.SetBytes(info.Size())
	for b.Loop() {
		require.NoError(b, sqlitefile.Check(b.Context(), path))
	}
}
