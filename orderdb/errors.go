package orderdb

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/jackc/pgx/v5/pgconn"
	modernc "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Class is what an error of the order database means for the order.
type Class string

// The classes of errors. There are no others.
const (
	// Rejected: the order is refused for what it is, and nothing was written. It is said by
	// a trigger (in Postgres with the SQLSTATE P0001 of RAISE, in SQLite with RAISE), by what
	// the operator has named ([WithRejectOn]), and of an ID that another order has
	// ([ErrConflict]). Nothing else is: a constraint, a missing privilege or a full disk
	// may be the fault of the database, and be mended.
	Rejected Class = "rejected"
	// Unavailable: nothing was written, and trying later may succeed.
	Unavailable Class = "unavailable"
	// Unknown: the order, or its tombstone, may or may not be written. Only repeating the
	// write shows it.
	Unknown Class = "outcome unknown"
)

// Error is every error that Put, Withdraw and TryWritePath return.
type Error struct {
	Class Class
	// Message says in the words of the database why an order is Rejected; empty
	// otherwise.
	Message string
	// Code is the SQLSTATE in Postgres, such as "42501", and the name of the primary result
	// code in SQLite, such as "SQLITE_FULL". It is empty where the database said nothing.
	Code string
	// Err is the cause; its text may hold internals.
	Err error
}

// Error returns a sentence for users when the order is Rejected. Otherwise it returns one
// for operators: the class, and what the database said, as in "unavailable: permission
// denied for table orders (42501)".
func (e *Error) Error() string {
	if e.Class == Rejected {
		return e.Message
	}
	return fmt.Sprintf("%s: %s", e.Class, e.Words())
}

// Words are what the database said, without the class; the text of the cause where it said
// nothing.
func (e *Error) Words() string {
	if words := messageOf(e.Err); words != "" {
		return words
	}
	return e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// ErrConflict says that the ID of the order is taken by another order.
var ErrConflict = errors.New("another order with this id is in the order database")

// errSilent is a trigger that drops a row without raising an error.
var errSilent = errors.New("the order database dropped the order without giving a reason")

// ClassOf returns the class of an error that Put, Withdraw or TryWritePath returned, and false
// for any other error.
func ClassOf(err error) (Class, bool) {
	var e *Error
	if !errors.As(err, &e) {
		return "", false
	}
	return e.Class, true
}

func rejected(err error, message string) error {
	_, code := messageAndCode(err)
	return &Error{Class: Rejected, Message: message, Code: code, Err: err}
}

func unavailable(err error) error {
	_, code := messageAndCode(err)
	return &Error{Class: Unavailable, Code: code, Err: err}
}

func unknown(err error) error {
	_, code := messageAndCode(err)
	return &Error{Class: Unknown, Code: code, Err: err}
}

// messageOf is what the database said in an error, with its code: "disk full (53100)". It is
// empty where the database said nothing.
func messageOf(err error) string {
	message, code := messageAndCode(err)
	if code == "" {
		return ""
	}
	return fmt.Sprintf("%s (%s)", message, code)
}

// messageAndCode are the message of the database in an error and its code, or empty.
func messageAndCode(err error) (message, code string) {
	var p *pgconn.PgError
	if errors.As(err, &p) {
		return p.Message, p.Code
	}
	var s *modernc.Error
	if errors.As(err, &s) {
		return bareMessage(s), sqliteName(s.Code())
	}
	return "", ""
}

// dressing is what the driver puts around the message of SQLite or of a trigger.
var dressing = regexp.MustCompile(`^(constraint failed|SQL logic error): | \(\d+\)( \(SQLITE_BUSY\))?$`)

func bareMessage(err *modernc.Error) string { return dressing.ReplaceAllString(err.Error(), "") }

var inBrackets = regexp.MustCompile(`\((SQLITE_\w+)\)`)

// sqliteName is the name of the primary code: the high bits detail the low ones.
func sqliteName(code int) string {
	if code == sqlite3.SQLITE_OK {
		return ""
	}
	if m := inBrackets.FindStringSubmatch(modernc.ErrorCodeString[code&0xff]); m != nil {
		return m[1]
	}
	return fmt.Sprint("SQLITE_", code&0xff)
}
