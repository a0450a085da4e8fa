package orderdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/assert"
)

// pgError is an error as the server sends it.
func pgError(severity, code string) error {
	return fmt.Errorf("wrapped: %w", &pgconn.PgError{Severity: "FEHLER", SeverityUnlocalized: severity, Code: code, Message: "as the server says"})
}

func refusedTo(address string) error {
	return fmt.Errorf("%s: %w", address, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)})
}

// TestWhatAnErrorOfPostgresMeans: for an order whose write it ended, and for the
// observer whose probe it ended.
func TestWhatAnErrorOfPostgresMeans(t *testing.T) {
	for name, c := range map[string]struct {
		err      error
		class    Class
		reason   string
		definite bool
	}{
		"switchover: asked to go":            {pgError("FATAL", "57P01"), Unknown, "DB Shut Down", true},
		"leader killed: a crash is reported": {pgError("FATAL", "57P02"), Unknown, "DB Crashed", true},
		"starting or stopping":               {pgError("FATAL", "57P03"), Unknown, "DB Starting or Stopping", true},
		"demoted: read-only":                 {pgError("ERROR", "25006"), Unavailable, "DB Is Read-Only", true},
		"the connection failed, says it":     {pgError("FATAL", "08006"), Unknown, "DB Connection Lost", true},
		"the connection failed, says a pool": {pgError("ERROR", "08006"), Unknown, "DB Connection Lost", true},
		"the outcome is unknown, says it":    {pgError("ERROR", "40003"), Unknown, "DB Write Failed (40003)", false},
		"a statement was cancelled":          {pgError("ERROR", "57014"), Unavailable, "DB Write Failed (57014)", false},
		"a deadlock":                         {pgError("ERROR", "40P01"), Unavailable, "DB Write Failed (40P01)", false},
		"a serialization failure":            {pgError("ERROR", "40001"), Unavailable, "DB Write Failed (40001)", false},
		"no lock was to be had":              {pgError("ERROR", "55P03"), Unavailable, "DB Write Failed (55P03)", false},
		"too many connections":               {pgError("FATAL", "53300"), Unknown, "DB Write Failed (53300)", false},
		"the disk is full":                   {pgError("ERROR", "53100"), Unavailable, "DB Write Failed (53100)", false},
		"the disk fails":                     {pgError("ERROR", "58030"), Unknown, "DB Write Failed (58030)", false},
		"a page is corrupt":                  {pgError("ERROR", "XX001"), Unknown, "DB Write Failed (XX001)", false},
		"a panic":                            {pgError("PANIC", "53100"), Unknown, "DB Write Failed (53100)", false},
		"no table":                           {pgError("ERROR", "42P01"), Unavailable, "DB Write Failed (42P01)", false},
		"a constraint":                       {pgError("ERROR", "23514"), Rejected, "DB Write Failed (23514)", false},
		"a value it cannot hold":             {pgError("ERROR", "22P05"), Rejected, "DB Write Failed (22P05)", false},
		"a trigger":                          {pgError("ERROR", "P0001"), Rejected, "DB Write Failed (P0001)", false},

		"the connection was cut":   {fmt.Errorf("read: %w", io.ErrUnexpectedEOF), Unknown, "DB Connection Lost", false},
		"the connection was reset": {fmt.Errorf("read: %w", syscall.ECONNRESET), Unknown, "DB Connection Lost", false},
		"the pipe is broken":       {fmt.Errorf("write: %w", syscall.EPIPE), Unknown, "DB Connection Lost", false},
		"the leader is frozen":     {fmt.Errorf("timeout: %w", context.DeadlineExceeded), Unknown, "DB Connection Timeout", false},
		"refused":                  {refusedTo("db1"), Unknown, "DB Connection Refused", true},
		"no standby confirmed it":  {errors.New("not confirmed by the standby: canceling wait"), Unknown, "DB Write Failed", false},

		"a former leader":                       {fmt.Errorf("db1: %w", &deposedError{1, 2}), Unknown, "DB Has No Leader", true},
		"standbys only":                         {errors.Join(pgconn.ErrReadOnlyConnection, pgconn.ErrReadOnlyConnection), Unknown, "DB Has No Leader", true},
		"a standby, and a server that is down":  {errors.Join(pgconn.ErrReadOnlyConnection, refusedTo("db2")), Unknown, "DB Connection Refused", true},
		"a standby, and a server that is stuck": {errors.Join(context.DeadlineExceeded, pgconn.ErrReadOnlyConnection), Unknown, "DB Connection Timeout", false},
	} {
		t.Run(name, func(t *testing.T) {
			class, ok := ClassOf(postgresError(c.err))
			assert.True(t, ok)
			assert.Equal(t, c.class, class, "for an order")
			f := fault(c.err)
			assert.Equal(t, c.reason, f.Reason())
			assert.Equal(t, c.definite, f.Definite())
			assert.ErrorIs(t, f, c.err)
		})
	}
}

// TestTheWarningThatNoStandbyConfirmed: it is recognised by its routine, in every language,
// and not mixed up with a warning of a trigger.
func TestTheWarningThatNoStandbyConfirmed(t *testing.T) {
	for name, c := range map[string]struct {
		notice pgconn.Notice
		want   bool
	}{
		"the wait was cancelled":         {pgconn.Notice{Code: "01000", Routine: "SyncRepWaitForLSN"}, true},
		"the server goes while it waits": {pgconn.Notice{Code: "57P01", Routine: "SyncRepWaitForLSN"}, true},
		"it says so elsewhere":           {pgconn.Notice{Code: "57P01", Routine: "Another"}, true},
		"a trigger raises a warning":     {pgconn.Notice{Code: "01000", Routine: "exec_stmt_raise"}, false},
		"a name was truncated":           {pgconn.Notice{Code: "42622", Routine: "truncate_identifier"}, false},
	} {
		assert.Equal(t, c.want, doubtful(&c.notice), name)
	}
}
