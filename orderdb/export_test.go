package orderdb

import (
	"context"
	"io/fs"
	"testing"
	"time"
)

// Taken reports whether a transaction is under way with all that had been queued.
func Taken(db DB) bool {
	g := db.(*sqliteDB).writes
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.idle) == 0 && len(g.queue) == 0
}

// Queued is how many writes wait for an SQLite database to be free.
func Queued(db DB) int {
	g := db.(*sqliteDB).writes
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.queue)
}

// GroupSize is the most writes that are committed in one transaction.
const GroupSize = groupSize

// Migrations are those of this build.
func Migrations() fs.FS { return thisBuild.files }

// WithMigrations makes it another build.
func WithMigrations(files fs.FS) Option { return func(o *options) { o.build = build{files} } }

// AgeIdleConnections makes the idle connections of a Postgres database older than a
// connection is trusted without a ping.
func AgeIdleConnections(t *testing.T, db DB) {
	t.Helper()
	idle := db.(*postgresDB).pool.AcquireAllIdle(t.Context())
	if len(idle) == 0 {
		t.Fatal("no connection is idle")
	}
	for _, conn := range idle {
		conn.Conn().PgConn().CustomData()[usedKey] = time.Now().Add(-idleBeforePing)
		conn.Release()
	}
}

// LookUpBy has databases that are opened from now on ask another name server, until it is
// undone.
func LookUpBy(resolve func(ctx context.Context, host string) ([]string, error)) (undo func()) {
	was := lookupHost
	lookupHost = resolve
	return func() { lookupHost = was }
}
