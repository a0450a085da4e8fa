package orderdb_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/orderdb"
)

func TestAPasswordIsNeverShown(t *testing.T) {
	for url, want := range map[string]string{
		"orders.db":           "orders.db",
		"sqlite:///var/ltp/o": "sqlite:///var/ltp/o",
		"postgres://u@h/db":   "postgres://u@h/db",
		"postgres://u:hunter2@h1:5432,h2:5433/db?sslmode=require": "postgres://u:xxxxx@h1:5432,h2:5433/db?sslmode=require",
		"postgres://h/db?user=u&password=hunter2":                 "postgres://h/db?password=xxxxx&user=u",
		"postgres://h/db?sslpassword=hunter2":                     "postgres://h/db?sslpassword=xxxxx",
		"postgres://u:hunter2/x%zz@h/db":                          "postgres://(not shown)",
		"postgres://u:hun/ter2@h/db":                              "postgres://(not shown)",
		"postgres://u:hunt@er/2w#o@h/db":                          "postgres://(not shown)",
		"postgres://u:h@unter/2@h:6543/o1":                        "postgres://(not shown)",
		"postgres://u:12/hunter2@h/db":                            "postgres://(not shown)",
		"mysql://u:hunter2@h/db":                                  "mysql://u:xxxxx@h/db",
		"host=h user=u password=hunter2":                          "(not shown)",
		"u:hunter2@h/db":                                          "(not shown)",
		"/var/a@b:c=d?e/orders.db":                                "/var/a@b:c=d?e/orders.db",
	} {
		assert.Equal(t, want, orderdb.Redact(url))
	}
}

func TestAURLThatCannotBeUsedSaysWhatToGive(t *testing.T) {
	for url, want := range map[string]string{
		"":                                      "give sqlite:///path/orders.db",
		"mysql://u:hunter2@h/db":                "give sqlite:///path/orders.db",
		"sqlite://":                             "give sqlite:///path/orders.db",
		":memory:":                              "give sqlite:///path/orders.db",
		"host=h password=hunter2":               "give sqlite:///path/orders.db",
		"postgres://u:hunter2%zz@h/db":          "percent-encoded",
		"postgres://u:hun/ter2@h/db":            "percent-encoded",
		"postgres://u:hunter2@h:99999999/db":    "check its hosts",
		"postgres://u:hunter2@h/db?sslmode=zzz": "check its hosts",
	} {
		db, err := orderdb.Open(t.Context(), url)
		require.Error(t, err, url)
		assert.Nil(t, db)
		assert.ErrorContains(t, err, want)
		assert.NotContains(t, err.Error(), "hun")

		_, err = orderdb.OpenProbe(url, "orders-db")
		assert.ErrorContains(t, err, want)
	}
}

// TestAPathMayHaveAnyCharacters: one that is absolute, that begins with a dot, that is there
// already, or that a scheme marks as a path.
func TestAPathMayHaveAnyCharacters(t *testing.T) {
	t.Chdir(t.TempDir())
	here, err := os.Getwd()
	require.NoError(t, err)
	const odd = "a@b:c=d?e#f%41 g://h"
	require.NoError(t, os.MkdirAll(odd, 0o700))
	file := filepath.Join(here, odd, "orders.db")
	for _, url := range []string{
		file, "sqlite://" + file, "sqlite:///" + file, "./" + odd + "/orders.db", "../" + filepath.Base(here) + "/" + odd + "/orders.db",
		"sqlite://" + odd + "/orders.db",
	} {
		db := open(t, url)
		require.NoError(t, db.Migrate(t.Context()), url)
		require.NoError(t, db.Check(t.Context()), url)
		mustPut(t, db, ordertest.New("A1"))
		require.NoError(t, db.Close())
		require.FileExists(t, file, url)
		p := openProbe(t, odd+"/orders.db") // which is there
		_, err := probe(t, p)
		require.NoError(t, err)
		assert.Equal(t, url, orderdb.Redact(url))
		require.NoError(t, p.Close())
		require.NoError(t, os.Remove(file))
	}
	entries, err := os.ReadDir(".")
	require.NoError(t, err)
	assert.Len(t, entries, 1, "nothing was made elsewhere")
}

// TestAPasswordThatIsNotEncodedIsRefusedBeforeAnythingIsDialled, and no piece of it is shown.
func TestAPasswordThatIsNotEncodedIsRefusedBeforeAnythingIsDialled(t *testing.T) {
	for _, url := range []string{"postgres://u:hunt@er/2w#o@h.invalid/db", "postgres://u:a@b.invalid/hunter@h:6543/o1", "postgres://u:12/hunter@h:6543/o1", "postgres://u:hunter?2@h/db"} {
		_, err := orderdb.Open(t.Context(), url)
		require.ErrorContains(t, err, "percent-encoded", url)
		assert.NotContains(t, err.Error(), "hunt", url)
		assert.NotContains(t, err.Error(), "invalid", url)
	}
}
