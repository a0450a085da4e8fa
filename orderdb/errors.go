package orderdb

import (
	"errors"
	"fmt"
)

// Class is what an error of the order database means for the order.
type Class string

// The classes of errors. There are no others.
const (
	// Rejected: a rule of the order database refuses the order: a constraint, or a
	// trigger that raises an error (in Postgres with the SQLSTATE P0001 of RAISE, or
	// one of the classes 22 and 23). No state of the system makes it right. Nothing
	// was written.
	Rejected Class = "rejected"
	// Unavailable: nothing was written, and trying later may succeed.
	Unavailable Class = "unavailable"
	// Unknown: the order, or its tombstone, may or may not be written. Only repeating the
	// write shows it.
	Unknown Class = "outcome unknown"
)

// Error is every error that Put and Withdraw return.
type Error struct {
	Class Class
	// Message says in the words of the database why an order is Rejected; empty
	// otherwise.
	Message string
	// Err is the cause; its text may hold internals.
	Err error
}

// Error returns a sentence for users when the order is Rejected, and one for
// operators otherwise.
func (e *Error) Error() string {
	if e.Class == Rejected {
		return e.Message
	}
	return fmt.Sprintf("%s: %v", e.Class, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// ErrConflict says that the ID of the order is taken by another order.
var ErrConflict = errors.New("another order with this id is in the order database")

// errSilent is a trigger that drops a row without raising an error.
var errSilent = errors.New("the order database dropped the order without giving a reason")

// ClassOf returns the class of an error that Put or Withdraw returned, and false for any
// other error.
func ClassOf(err error) (Class, bool) {
	var e *Error
	if !errors.As(err, &e) {
		return "", false
	}
	return e.Class, true
}

func rejected(err error, message string) error {
	return &Error{Class: Rejected, Message: message, Err: err}
}

func unavailable(err error) error { return &Error{Class: Unavailable, Err: err} }

func unknown(err error) error { return &Error{Class: Unknown, Err: err} }
