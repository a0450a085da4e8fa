package orderdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/assert"
	sqlite3 "modernc.org/sqlite/lib"
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
		"the outcome is unknown, says it":    {pgError("ERROR", "40003"), Unknown, "as the server says (40003)", false},
		"a statement was cancelled":          {pgError("ERROR", "57014"), Unavailable, "as the server says (57014)", false},
		"a deadlock":                         {pgError("ERROR", "40P01"), Unavailable, "as the server says (40P01)", false},
		"a serialization failure":            {pgError("ERROR", "40001"), Unavailable, "as the server says (40001)", false},
		"no lock was to be had":              {pgError("ERROR", "55P03"), Unavailable, "as the server says (55P03)", false},
		"too many connections":               {pgError("FATAL", "53300"), Unknown, "as the server says (53300)", false},
		"the disk is full":                   {pgError("ERROR", "53100"), Unavailable, "as the server says (53100)", false},
		"the disk fails":                     {pgError("ERROR", "58030"), Unknown, "as the server says (58030)", false},
		"a page is corrupt":                  {pgError("ERROR", "XX001"), Unknown, "as the server says (XX001)", false},
		"a panic":                            {pgError("PANIC", "53100"), Unknown, "as the server says (53100)", false},
		"no table":                           {pgError("ERROR", "42P01"), Unavailable, "as the server says (42P01)", false},
		"a constraint":                       {pgError("ERROR", "23514"), Unavailable, "as the server says (23514)", false},
		"a value it cannot hold":             {pgError("ERROR", "22P05"), Unavailable, "as the server says (22P05)", false},
		"a missing privilege":                {pgError("ERROR", "42501"), Unavailable, "as the server says (42501)", false},
		"a sequence that is exhausted":       {pgError("ERROR", "2200H"), Unavailable, "as the server says (2200H)", false},
		"a trigger that ends the session":    {pgError("FATAL", "P0001"), Unknown, "as the server says (P0001)", false},
		"a row that was dropped":             {pgError("ERROR", "22P02"), Unavailable, "as the server says (22P02)", false},
		"a trigger":                          {pgError("ERROR", "P0001"), Rejected, "as the server says (P0001)", false},

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
			class, ok := ClassOf(postgresError(c.err, Rules{}))
			assert.True(t, ok)
			assert.Equal(t, c.class, class, "for an order")
			f := fault(c.err)
			assert.Equal(t, c.reason, f.Reason())
			assert.Equal(t, c.definite, f.Definite())
			assert.ErrorIs(t, f, c.err)
		})
	}
}

// TestAnErrorHasTheWordsOfTheDatabaseAndItsCode, and no more of the path on which it came.
func TestAnErrorHasTheWordsOfTheDatabaseAndItsCode(t *testing.T) {
	for want, err := range map[string]error{
		"unavailable: as the server says (42501)":                                   postgresError(pgError("ERROR", "42501"), Rules{}),
		"outcome unknown: as the server says (57P01)":                               postgresError(pgError("FATAL", "57P01"), Rules{}),
		"outcome unknown: read: unexpected EOF":                                     postgresError(fmt.Errorf("read: %w", io.ErrUnexpectedEOF), Rules{}),
		"as the server says":                                                        postgresError(pgError("ERROR", "P0001"), Rules{}),
		"another order with this id is in the order database":                       rejected(ErrConflict, ErrConflict.Error()),
		"unavailable: the order database dropped the order without giving a reason": postgresError(errSilent, Rules{}),
	} {
		assert.EqualError(t, err, want)
		_, code := messageAndCode(err)
		assert.Equal(t, code, err.(*Error).Code)
	}
	assert.Equal(t, "42501", postgresError(pgError("ERROR", "42501"), Rules{}).(*Error).Code)
	assert.Equal(t, "P0001", postgresError(pgError("ERROR", "P0001"), Rules{}).(*Error).Code)
	assert.Empty(t, unknown(io.EOF).(*Error).Code)
	long := fault(&pgconn.PgError{Code: "53100", Message: strings.Repeat("ü", 1000)})
	assert.Equal(t, strings.Repeat("ü", 99)+"… (53100)", long.Reason())
}

// TestWhatTheOperatorNamesRejects, where the statement was rolled back for certain.
func TestWhatTheOperatorNamesRejects(t *testing.T) {
	rules, err := ParseRejectOn(" constraint:orders_stock_check, sqlstate:LT001,sqlstate:22003 ")
	assert.NoError(t, err)
	for name, c := range map[string]struct {
		err  pgconn.PgError
		want Class
	}{
		"a constraint":                     {pgconn.PgError{SeverityUnlocalized: "ERROR", Code: "23514", ConstraintName: "orders_stock_check"}, Rejected},
		"another constraint":               {pgconn.PgError{SeverityUnlocalized: "ERROR", Code: "23514", ConstraintName: "orders_stock_check1"}, Unavailable},
		"no constraint":                    {pgconn.PgError{SeverityUnlocalized: "ERROR", Code: "23514"}, Unavailable},
		"a state of their own":             {pgconn.PgError{SeverityUnlocalized: "ERROR", Code: "LT001"}, Rejected},
		"another state":                    {pgconn.PgError{SeverityUnlocalized: "ERROR", Code: "LT002"}, Unavailable},
		"a standard state":                 {pgconn.PgError{SeverityUnlocalized: "ERROR", Code: "22003"}, Rejected},
		"a state of a session that ended":  {pgconn.PgError{SeverityUnlocalized: "FATAL", Code: "LT001"}, Unknown},
		"a damage that names a constraint": {pgconn.PgError{SeverityUnlocalized: "ERROR", Code: "XX000", ConstraintName: "orders_stock_check"}, Unknown},
	} {
		got, _ := ClassOf(postgresError(&c.err, rules))
		assert.Equal(t, c.want, got, name)
	}
	none, err := ParseRejectOn("")
	assert.NoError(t, err)
	assert.Equal(t, Rules{}, none)
}

func TestRulesThatCannotBeReadSayWhatToWrite(t *testing.T) {
	for s, want := range map[string]string{
		"orders_stock_check":       "write constraint:NAME or sqlstate:CODE",
		"constraint:":              "write constraint:NAME or sqlstate:CODE",
		"constraint:a,,sqlstate:b": "write constraint:NAME or sqlstate:CODE",
		"sqlstate:lt001":           "five digits or capital letters",
		"sqlstate:":                "five digits or capital letters",
		"sqlstate:42501":           "is about the database",
		"sqlstate:08006":           "is about the database",
	} {
		_, err := ParseRejectOn(s)
		assert.ErrorContains(t, err, want, s)
	}
}

// TestEveryCodeOfSQLiteHasItsName, the detailed ones that of the code which they detail.
func TestEveryCodeOfSQLiteHasItsName(t *testing.T) {
	for code, want := range map[int]string{
		sqlite3.SQLITE_FULL: "SQLITE_FULL", sqlite3.SQLITE_IOERR_FSYNC: "SQLITE_IOERR", sqlite3.SQLITE_CONSTRAINT_TRIGGER: "SQLITE_CONSTRAINT",
		sqlite3.SQLITE_ERROR: "SQLITE_ERROR", sqlite3.SQLITE_BUSY_SNAPSHOT: "SQLITE_BUSY", 0: "", 250: "SQLITE_250",
	} {
		assert.Equal(t, want, sqliteName(code))
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
