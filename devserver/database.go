package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/metrics"
	"go.temporal.io/server/common/persistence"
	"go.temporal.io/server/common/persistence/serialization"
	persistencesql "go.temporal.io/server/common/persistence/sql"
	"go.temporal.io/server/common/persistence/sql/sqlplugin"
	"go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/common/resolver"
	"go.temporal.io/server/common/searchattribute/sadefs"
	sqliteschema "go.temporal.io/server/schema/sqlite"
	"google.golang.org/protobuf/types/known/durationpb"
)

// retention is how long a closed workflow can still be read, and its ID still
// distinguishes a repeated start from a new one. Temporal's own dev server forgets after
// a day, which is too soon for a trace that is derived from history.
const retention = 30 * 24 * time.Hour

// fileAttributes are the pragmas of a database file (the plugin takes all but
// "mode" for pragmas). The plugin's default of one connection stands: SQLite has
// one writer, and more connections only wait for each other.
var fileAttributes = map[string]string{
	"mode": "rwc",
	// One write to the log for each commit, where a rollback journal takes several.
	"journal_mode": "wal",
	// A commit is on the disk before it is answered, so what was accepted survives
	// the loss of power. With "normal" it survives the end of the server, kill -9
	// included, but not that; a burst of 1,500 orders then takes 13 s in place of
	// 19 s (two cores, virtual disk). Data that may be lost can have it so:
	// --sqlite-pragma synchronous=normal.
	"synchronous": "full",
	// A second server on the same file is turned away when it opens it. Two would
	// take the one history shard from each other, over and over.
	"locking_mode": "exclusive",
}

// openDatabase prepares the database (schema, namespaces, search attributes) and
// says how the server is to open it, for its store and for visibility. All of it is safe to
// repeat on a database that has some of it already.
func openDatabase(o options) (store, visibility *config.SQL, err error) {
	if o.postgres != "" {
		return openPostgres(o)
	}
	cfg, err := openSQLite(o)
	return cfg, cfg, err
}

func openSQLite(o options) (*config.SQL, error) {
	cfg := &config.SQL{
		PluginName:        sqlite.PluginName,
		DatabaseName:      strconv.FormatUint(rand.Uint64(), 36),
		ConnectAttributes: map[string]string{"mode": "memory", "cache": "shared"},
	}
	if o.dbFilename != "" {
		path, err := filepath.Abs(o.dbFilename)
		if err != nil {
			return nil, err
		}
		cfg.DatabaseName = (&url.URL{Path: path}).EscapedPath() // it becomes part of a file: URI
		cfg.ConnectAttributes = maps.Clone(fileAttributes)
		maps.Copy(cfg.ConnectAttributes, o.pragmas)
		if err := setupSchema(cfg.DatabaseName); err != nil {
			return nil, advice(o.dbFilename, err)
		}
	}
	if err := setupNamespaces(cfg, o.namespaces, o.searchAttributes); err != nil {
		return nil, advice(o.database(), err)
	}
	return cfg, nil
}

// setupSchema creates the tables in an empty database, in one transaction: a
// process killed half way leaves an empty database, not a broken one.
func setupSchema(database string) error {
	db, err := sql.Open("sqlite", "file:"+database+"?mode=rwc&_pragma=journal_mode=wal")
	if err != nil {
		return err
	}
	defer db.Close()
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var tables int
	if err := tx.QueryRow("SELECT count(*) FROM sqlite_master").Scan(&tables); err != nil {
		return err
	}
	if tables > 0 {
		return nil
	}
	if err := sqliteschema.SetupSchemaOnDB(schemaTx{tx: tx}); err != nil {
		return err
	}
	return tx.Commit()
}

// schemaTx is the part of an AdminDB that creating the schema uses.
type schemaTx struct {
	sqlplugin.AdminDB
	tx *sql.Tx
}

func (s schemaTx) Exec(statement string, args ...any) error {
	_, err := s.tx.Exec(statement, args...)
	return err
}

// setupNamespaces writes to the database because the server is not up yet: whoever
// reaches the server finds the namespaces and search attributes in place.
func setupNamespaces(cfg *config.SQL, names []string, attributes map[string]enums.IndexedValueType) error {
	for _, name := range names {
		namespace, err := sqliteschema.NewNamespaceConfig(clusterName, name, false, nil)
		if err != nil {
			return err
		}
		namespace.Detail.Config.Retention = durationpb.New(retention)
		if err := sqliteschema.CreateNamespaces(cfg, namespace); err != nil {
			return err
		}
	}
	db, err := persistencesql.NewSQLDB(sqlplugin.DbKindUnknown, cfg,
		resolver.NewNoopResolver(), log.NewNoopLogger(), metrics.NoopMetricsHandler)
	if err != nil {
		return err
	}
	taken := map[string]bool{}
	for _, name := range names {
		if err := addSearchAttributes(db, name, attributes, taken); err != nil {
			return errors.Join(err, db.Close())
		}
	}
	if cfg.PluginName != sqlite.PluginName {
		return db.Close()
	}
	return errors.Join(db.Close(), thinIndexes(cfg, taken))
}

// addSearchAttributes gives each attribute that the namespace lacks one of the
// columns that the visibility table has for its type, and adds to taken the columns
// that any attribute of the namespace has.
func addSearchAttributes(db sqlplugin.DB, namespace string, attributes map[string]enums.IndexedValueType, taken map[string]bool) error {
	ctx := context.Background()
	rows, err := db.SelectFromNamespace(ctx, sqlplugin.NamespaceFilter{Name: &namespace})
	if err != nil {
		return err
	}
	row, serializer := rows[0], serialization.NewSerializer()
	detail, err := serializer.NamespaceDetailFromBlob(persistence.NewDataBlob(row.Data, row.DataEncoding))
	if err != nil {
		return err
	}

	columns := sadefs.GetDBIndexSearchAttributes(nil).CustomSearchAttributes
	if detail.Config.CustomSearchAttributeAliases == nil {
		detail.Config.CustomSearchAttributeAliases = map[string]string{}
	}
	names := detail.Config.CustomSearchAttributeAliases // by column
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		if !sadefs.IsMappable(name) {
			return fmt.Errorf("--search-attribute %s: Temporal keeps that name for itself", name)
		}
		var has, free string
		for _, column := range slices.Sorted(maps.Keys(columns)) {
			switch {
			case names[column] == name:
				has = column
			case names[column] == "" && columns[column] == attributes[name] && free == "":
				free = column
			}
		}
		switch {
		case has != "" && columns[has] != attributes[name]:
			return fmt.Errorf("--search-attribute %s=%s: namespace %q has it as %s already, and the type cannot change",
				name, attributes[name], namespace, columns[has])
		case has != "":
		case free == "":
			return fmt.Errorf("--search-attribute %s=%s: namespace %q has no room for another of that type",
				name, attributes[name], namespace)
		default:
			names[free] = name
		}
	}
	for column, name := range names {
		taken[column] = taken[column] || name != ""
	}

	blob, err := serializer.NamespaceDetailToBlob(detail)
	if err != nil {
		return err
	}
	row.Data, row.DataEncoding = blob.Data, blob.EncodingType.String()
	_, err = db.UpdateNamespace(ctx, &row)
	return err
}

// advice adds to an error of SQLite's what a person can do about it.
func advice(filename string, err error) error {
	var hint string
	switch text := err.Error(); {
	case strings.Contains(text, "(SQLITE_BUSY)"):
		hint = "another server uses it; stop that one or give another --db-filename"
	case strings.Contains(text, "unable to open"):
		hint = "its folder must exist and be writable"
	case strings.Contains(text, "not a database"):
		hint = "it is no SQLite database; give another --db-filename"
	default:
		return fmt.Errorf("database %s: %w", filename, err)
	}
	return fmt.Errorf("cannot open the database %s: %s (%w)", filename, hint, err)
}
