package orderdb

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations
var migrations embed.FS

// versions is the table that keeps which migrations were applied. Its name is our
// own, so that orders may live beside the tables of another user of goose.
const versions = "ltp_migrations"

func migratePostgres(ctx context.Context, db *sql.DB) error {
	// Ask for the lock every second, for two minutes: the migrations of another
	// process take no longer.
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 120))
	if err != nil {
		return err
	}
	p, err := provider(goose.DialectPostgres, "postgres", db, goose.WithSessionLocker(locker))
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

// migrateSQLite has no lock that outlasts a transaction. Of two processes that run
// the same migration, the one that comes second fails and rolls back; it then finds
// the version further on, and looks again at what is left to do.
func migrateSQLite(ctx context.Context, db *sql.DB) error {
	p, err := provider(goose.DialectSQLite3, "sqlite", db)
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

func provider(dialect goose.Dialect, folder string, db *sql.DB, opts ...goose.ProviderOption) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations/"+folder)
	if err != nil {
		return nil, fmt.Errorf("migrations of %s: %w", folder, err)
	}
	return goose.NewProvider(dialect, db, files, append(opts, goose.WithTableName(versions), goose.WithDisableGlobalRegistry(true))...)
}
