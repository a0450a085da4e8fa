package main

import (
	"context"
	"database/sql"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.temporal.io/api/enums/v1"
)

// TestIndexesAreOfWhatIsListedBy: of Temporal's 58, those are kept that are worth their
// writes, and a search attribute that is added later gets its own.
func TestIndexesAreOfWhatIsListedBy(t *testing.T) {
	o := options{
		dbFilename: filepath.Join(t.TempDir(), "temporal.db"), namespaces: []string{"default"},
		pragmas: map[string]string{"locking_mode": "normal"}, // the plugin never closes the file
	}
	always := []string{"by_execution_time", "by_status", "by_workflow_id", "by_workflow_type", "default_idx"}
	for _, step := range []struct {
		attribute string
		kind      enums.IndexedValueType
		want      []string
	}{
		{"State", enums.INDEXED_VALUE_TYPE_KEYWORD, []string{"by_keyword_01"}},
		{"Epoch", enums.INDEXED_VALUE_TYPE_INT, []string{"by_int_01", "by_keyword_01"}},
		{"Note", enums.INDEXED_VALUE_TYPE_TEXT, []string{"by_int_01", "by_keyword_01"}},
	} {
		o.searchAttributes = map[string]enums.IndexedValueType{step.attribute: step.kind}
		_, err := openSQLite(o)
		must(t, err)
		want := append(slices.Clone(always), step.want...)
		slices.Sort(want)
		if got := indexes(t, o.dbFilename); !slices.Equal(got, want) {
			t.Errorf("with %s: indexes %v, want %v", step.attribute, got, want)
		}
	}
}

// indexes are those of the visibility table that its schema names.
func indexes(t *testing.T, path string) (names []string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	must(t, err)
	defer db.Close()
	rows, err := db.Query("SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'executions_visibility' AND sql IS NOT NULL ORDER BY name")
	must(t, err)
	defer rows.Close()
	for rows.Next() {
		var name string
		must(t, rows.Scan(&name))
		names = append(names, name)
	}
	must(t, rows.Err())
	return names
}

// TestIndexThatIsCreatedIsTemporals: the same statement as that of the schema, so that a
// database is the same whether its attribute came early or late.
func TestIndexThatIsCreatedIsTemporals(t *testing.T) {
	path := filepath.Join(t.TempDir(), "temporal.db")
	must(t, setupSchema(path))
	db, err := sql.Open("sqlite", "file:"+path)
	must(t, err)
	defer db.Close()
	statement := func() string {
		var text string
		must(t, db.QueryRow("SELECT sql FROM sqlite_master WHERE name = 'by_keyword_07'").Scan(&text))
		return strings.Join(strings.Fields(text), " ")
	}
	before := statement()
	_, err = db.Exec("DROP INDEX by_keyword_07")
	must(t, err)
	for _, s := range indexStatements(map[string]bool{"Keyword07": true}) {
		_, err := db.Exec(s)
		must(t, err)
	}
	if after := statement(); after != before {
		t.Errorf("%s, want %s", after, before)
	}
}

func TestProfilesAreServedWhereAsked(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	must(t, serveProfiles(ctx, ""))
	addr := "127.0.0.1:" + port(t)
	must(t, serveProfiles(ctx, addr))
	r, err := http.Get("http://" + addr + "/debug/pprof/")
	must(t, err)
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	must(t, err)
	if r.StatusCode != http.StatusOK || !strings.Contains(string(body), "goroutine") {
		t.Errorf("%s: %s", r.Status, body)
	}
	if err := serveProfiles(ctx, addr); err == nil || !strings.Contains(err.Error(), "--pprof") {
		t.Errorf("a port that is taken: %v", err)
	}
}
