package orderdb

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	goosedb "github.com/pressly/goose/v3/database"
)

//go:embed migrations
var migrations embed.FS

// build is what a build knows of the tables: its migrations, in a folder for each kind of
// database.
type build struct{ files fs.FS }

var thisBuild = build{func() fs.FS {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // only for a name that is not valid
	}
	return files
}()}

// migration is one step.
type migration struct {
	version int64
	up      string
}

// steps are the migrations of a folder in their order.
func (b build) steps(folder, schema string) ([]migration, error) {
	files, err := fs.ReadDir(b.files, folder)
	if err != nil {
		return nil, err
	}
	var all []migration
	for _, f := range files { // sorted by name
		number, _, _ := strings.Cut(f.Name(), "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("migration %s: %w", f.Name(), err)
		}
		text, err := fs.ReadFile(schemaFS{b.files, schema}, folder+"/"+f.Name())
		if err != nil {
			return nil, err
		}
		up, _, _ := strings.Cut(string(text), "-- +goose Down")
		all = append(all, migration{version, strings.TrimSpace(strings.TrimPrefix(up, "-- +goose Up\n"))})
	}
	return all, nil
}

// latest is the version that a database has after all migrations.
func (b build) latest(folder string) (int64, error) {
	all, err := b.steps(folder, "")
	if err != nil || len(all) == 0 {
		return 0, err
	}
	return all[len(all)-1].version, nil
}

// schemaFS is files in which {schema} is the name of one, quoted.
type schemaFS struct {
	fs.FS
	schema string
}

// Open opens a file with the schema put in.
func (s schemaFS) Open(name string) (fs.File, error) {
	f, err := s.FS.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil || info.IsDir() {
		return f, err
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return schemaFile{f, strings.NewReader(strings.ReplaceAll(string(text), "{schema}", quoted(s.schema)))}, nil
}

type schemaFile struct {
	fs.File
	text io.Reader
}

func (f schemaFile) Read(p []byte) (int, error) { return f.text.Read(p) }

// migrate waits for the migrations of other processes. It uses two connections, and one of
// the pool.
func (p *postgresDB) migrate(ctx context.Context, db *sql.DB) error {
	store, err := goosedb.NewStore(goose.DialectPostgres, p.tables.versions)
	if err != nil {
		return err
	}
	steps, err := provider(goose.DialectCustom, p.build, "postgres", p.schema, db, goose.WithStore(versionsIn{store, p.schema}))
	if err != nil {
		return err
	}
	lock, err := lockMigrations(ctx, db)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Rollback() }() // and with it goes the lock
	found := p.Check(ctx)
	if !mayMigrate(found) {
		return found
	}
	// IF NOT EXISTS would ask for the privilege to create one that is there.
	var there bool
	if err := db.QueryRowContext(ctx, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", p.schema).Scan(&there); err != nil {
		return err
	}
	if !there {
		if _, err := db.ExecContext(ctx, "CREATE SCHEMA "+quoted(p.schema)); err != nil {
			return err
		}
	}
	_, err = steps.Up(ctx)
	return err
}

// versionsIn looks for the table of versions in a schema of any name.
type versionsIn struct {
	goosedb.Store
	schema string
}

// TableExists is asked by goose.
func (v versionsIn) TableExists(ctx context.Context, db goosedb.DBTxConn) (there bool, err error) {
	err = db.QueryRowContext(ctx, "SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = $1 AND tablename = $2)", v.schema, versions).Scan(&there)
	return there, err
}

// lockMigrations returns the transaction that holds the lock: one of the session would be
// another session's behind a pooler. Whoever waits holds none, of which a pooler has few.
func lockMigrations(ctx context.Context, db *sql.DB) (*sql.Tx, error) {
	const pause = 100 * time.Millisecond
	for {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return nil, err
		}
		var held bool
		err = tx.QueryRowContext(ctx, "SELECT pg_try_advisory_xact_lock($1)", migrationLock).Scan(&held)
		if held && err == nil {
			return tx, nil
		}
		if err = errors.Join(err, tx.Rollback()); err != nil {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for the migrations of another process: %w", context.Cause(ctx))
		case <-time.After(pause):
		}
	}
}

// migrationLock is the advisory lock of whoever migrates; it spells "ltp".
const migrationLock int64 = 0x6c7470

// migrateSQLite has no lock that outlasts a transaction. Of two processes that run
// the same migration, the one that comes second fails and rolls back; it then finds
// the version further on, and looks again at what is left to do.
func migrateSQLite(ctx context.Context, db *sql.DB, b build) error {
	p, err := provider(goose.DialectSQLite3, b, "sqlite", "", db, goose.WithTableName(versions))
	if err != nil {
		return err
	}
	for {
		before, err := p.GetDBVersion(ctx)
		if err != nil {
			return err
		}
		if _, err = p.Up(ctx); err == nil {
			return nil
		}
		if after, lost := p.GetDBVersion(ctx); lost != nil || after == before {
			return err
		}
	}
}

func provider(dialect goose.Dialect, b build, folder, schema string, db *sql.DB, opts ...goose.ProviderOption) (*goose.Provider, error) {
	files, err := fs.Sub(schemaFS{b.files, schema}, folder)
	if err != nil {
		return nil, fmt.Errorf("migrations of %s: %w", folder, err)
	}
	return goose.NewProvider(dialect, db, files, append(opts, goose.WithDisableGlobalRegistry(true))...)
}
