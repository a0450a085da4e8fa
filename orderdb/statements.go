package orderdb

import (
	"errors"
	"net/url"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// statements decides how statements are sent: prepared, which saves the server their
// planning, unless there is a pooler before it that lends each transaction another session.
type statements struct {
	configured pgx.QueryExecMode
	// fixed says that the URL names the mode.
	fixed bool
	// unnamed is set for good at the first statement that a session did not know as ours.
	unnamed atomic.Bool
}

func newStatements(config *pgx.ConnConfig) *statements {
	u, err := url.Parse(config.ConnString())
	return &statements{
		configured: config.DefaultQueryExecMode,
		fixed:      err == nil && u.Query().Has("default_query_exec_mode"),
	}
}

// mode is that of connections that are made from now on.
func (s *statements) mode() pgx.QueryExecMode {
	if s.unnamed.Load() {
		return pgx.QueryExecModeExec
	}
	return s.configured
}

// lostPrepared reports whether an error is of a prepared statement that the session has not, or
// has from somebody else. Nothing was written, and connections made from then on
// prepare none.
func (s *statements) lostPrepared(err error) bool {
	var e *pgconn.PgError
	if s.fixed || !errors.As(err, &e) || e.Code != "26000" && e.Code != "42P05" {
		return false
	}
	s.unnamed.Store(true)
	return true
}

// retryPrepared does something again at once where a prepared statement ended it. A connection
// that was being made meanwhile may be the next to fail: it is tried three times.
func (s *statements) retryPrepared(do func() error) (err error) {
	for range 3 {
		if err = do(); !s.lostPrepared(err) {
			return err
		}
	}
	return err
}
