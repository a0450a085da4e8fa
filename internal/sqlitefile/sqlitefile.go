// Package sqlitefile finds damaged SQLite files.
package sqlitefile

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	modernc "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// DamagedError says that a file is not what SQLite wrote.
type DamagedError struct {
	Path string
	// Words are what SQLite found first.
	Words string
}

// Error is one sentence with what to do.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("the file %s is damaged (%s): put a copy of it back, or move it away to begin with an empty one", e.Path, e.Words)
}

// within bounds Check. Half a gigabyte that the system has in memory takes a second, see
// BenchmarkCheck.
const within = 10 * time.Second

// Check returns a [*DamagedError] where the file is damaged. It reads every page, for ten
// seconds at most: of a file that takes longer it has looked at the beginning. A file
// that is not there, is empty, or that somebody keeps locked is not said to be damaged.
//
// A writer that was killed left what it had committed beside the file: it is taken over.
func Check(ctx context.Context, path string) error {
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	db, err := sql.Open("sqlite", DSN(path, url.Values{"mode": {"rw"}}))
	if err != nil {
		return err
	}
	defer db.Close()
	var said string
	err = db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&said)
	if err == nil && said != "ok" {
		said = strings.TrimPrefix(said, "*** in database main ***\n")
		return &DamagedError{path, "SQLite: " + strings.ReplaceAll(said, "\n", "; ")}
	}
	var e *modernc.Error
	if errors.As(err, &e) {
		switch e.Code() & 0xff {
		case sqlite3.SQLITE_CORRUPT:
			return &DamagedError{path, "SQLite: the database disk image is malformed"}
		case sqlite3.SQLITE_NOTADB:
			return &DamagedError{path, "SQLite: it is not a database"}
		}
	}
	return nil // whatever else it is shows when the file is used
}

// DSN names a file to the driver, whatever characters its path has.
func DSN(path string, query url.Values) string {
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + query.Encode()
}
