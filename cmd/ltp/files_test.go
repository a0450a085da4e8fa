package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAFileIsWrittenWholeOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "report.md")
	require.NoError(t, writeFile(path, writeBytes([]byte("old"))))
	require.EqualError(t, writeFile(path, func(w io.Writer) error {
		_, err := w.Write([]byte("half"))
		return errors.Join(err, errors.New("the rest is not there"))
	}), "the rest is not there")
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "old", string(content))
	names, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, names, 1, "nothing is left beside it")

	require.EqualError(t, writeFile(dir, writeBytes(nil)), dir+" is a directory: name a file in it")
	gone := filepath.Join(dir, "gone", "report.md")
	require.EqualError(t, writeFile(gone, writeBytes(nil)), "there is no directory "+filepath.Dir(gone)+": make it, or name another file")
}

func TestWrongArgumentsAreAnsweredWithTheRightOnes(t *testing.T) {
	for said, args := range map[string][]string{
		"accepts 1 arg(s), received 0: it is called as ltp trace verify":                      {"trace", "verify", "--key", "x"},
		"a rate is not negative: give the most orders a second, or 0 for no limit":            {"replay", "rate", "-5", "--why", "x"},
		"TEMPORAL_ADDRESS is a URL of http: give host and port alone, such as localhost:7233": {"orders", "list"},
	} {
		t.Setenv("TEMPORAL_ADDRESS", "http://localhost:7233")
		cmd := root()
		cmd.SetArgs(append(args, "--state-dir", t.TempDir()))
		cmd.SetOut(io.Discard)
		require.ErrorContains(t, cmd.ExecuteContext(t.Context()), said)
	}
}

func TestTheVersionIsToldInAnyWayThatIsTried(t *testing.T) {
	for _, args := range [][]string{{"version"}, {"--version"}, {"version", "--format", "json"}} {
		cmd := root()
		var out writer
		cmd.SetOut(&out)
		cmd.SetArgs(args)
		require.NoError(t, cmd.Execute())
		assert.Contains(t, string(out), version().Go)
	}
}

type writer []byte

func (w *writer) Write(p []byte) (int, error) { *w = append(*w, p...); return len(p), nil }

// TestTheOrderDatabaseOfTheStateDirectoryIsComparedWithWhereAllOrdersWentThere, and where
// some went elsewhere the audit says so in place of finding them missing.
func TestTheOrderDatabaseOfTheStateDirectoryIsComparedWithWhereAllOrdersWentThere(t *testing.T) {
	a := &app{stateDir: t.TempDir()}
	url, missing := a.compared()
	assert.Empty(t, url)
	assert.Equal(t, giveOrders, missing)
	require.NoError(t, a.noteOrders(a.ownOrders()))
	require.NoError(t, a.noteOrders(a.ownOrders()))
	url, missing = (&app{stateDir: a.stateDir + "/../" + filepath.Base(a.stateDir)}).compared()
	assert.Equal(t, "sqlite://"+filepath.Join(a.stateDir, "orders.db"), url)
	assert.Empty(t, missing)
	require.NoError(t, a.noteOrders("postgres://app:secret@db1/orders"))
	url, missing = a.compared()
	assert.Empty(t, url)
	assert.Equal(t, giveOrders+"; orders were written to orders.db, postgres://app:xxxxx@db1/orders", missing)
}
