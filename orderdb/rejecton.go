package orderdb

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	modernc "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Rules name errors of the order database that refuse an order for what it is. The zero
// value names none. See [WithRejectOn].
type Rules struct {
	constraints, states []string
}

const howToReject = "write constraint:NAME or sqlstate:CODE, several with commas between, as in constraint:orders_stock_check,sqlstate:LT001"

var sqlstate = regexp.MustCompile(`^[0-9A-Z]{5}$`)

// ofTheDatabase are classes of SQLSTATEs that tell of the database, never of one order.
var ofTheDatabase = []string{"00", "08", "0A", "25", "26", "28", "40", "42", "53", "55", "57", "58", "XX"}

// ofItsState are those of them that no order brings about by what it is. A conflict or a
// session that ends may be of one order alone.
var ofItsState = []string{"42", "53", "58", "XX"}

// OfItsState reports whether a SQLSTATE is about the state of the database, whichever order
// met it: no privilege, no such column, no room, a page that cannot be read.
func OfItsState(code string) bool {
	return len(code) == 5 && slices.Contains(ofItsState, code[:2])
}

// ParseRejectOn reads rules such as
//
//	constraint:orders_stock_check,sqlstate:LT001
//
// A constraint is named as the database names it. In SQLite only CHECK constraints have
// names, and there are no SQLSTATEs. "" is no rule. The error says what to write.
func ParseRejectOn(s string) (Rules, error) {
	var r Rules
	if strings.TrimSpace(s) == "" {
		return r, nil
	}
	for item := range strings.SplitSeq(s, ",") {
		what, name, _ := strings.Cut(strings.TrimSpace(item), ":")
		switch {
		case what == "constraint" && name != "":
			r.constraints = append(r.constraints, name)
		case what == "sqlstate" && !sqlstate.MatchString(name):
			return Rules{}, fmt.Errorf("%q is no SQLSTATE, which has five digits or capital letters: %s", name, howToReject)
		case what == "sqlstate" && slices.Contains(ofTheDatabase, name[:2]):
			return Rules{}, fmt.Errorf("SQLSTATE %s is about the database, not about one order, and must reject none: raise one of your own, such as LT001", name)
		case what == "sqlstate":
			r.states = append(r.states, name)
		default:
			return Rules{}, fmt.Errorf("%q names nothing to reject orders on: %s", item, howToReject)
		}
	}
	return r, nil
}

// postgres reports whether an error of a statement that was rolled back refuses the order.
func (r Rules) postgres(e *pgconn.PgError) bool {
	return e.Code == "P0001" || slices.Contains(r.states, e.Code) ||
		e.ConstraintName != "" && slices.Contains(r.constraints, e.ConstraintName)
}

// sqlite does the same for SQLite, which has the name in its message.
func (r Rules) sqlite(err error) bool {
	var e *modernc.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code() {
	case sqlite3.SQLITE_CONSTRAINT_TRIGGER:
		return true
	case sqlite3.SQLITE_CONSTRAINT_CHECK:
		name, found := strings.CutPrefix(bareMessage(e), "CHECK constraint failed: ")
		return found && slices.Contains(r.constraints, name)
	}
	return false
}
