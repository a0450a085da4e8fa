package orderdb

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds of the statements of [WithSQL].
const (
	MaxSQL        = 64 << 10 // bytes
	maxStatements = 32
)

// shop is what the operator's shop adds to our writes of orders.
type shop struct {
	rules      Rules
	statements []ownStatement
}

// ownStatement is a statement of the shop's, which is run for every order that is new.
type ownStatement struct {
	sql string
	// line is that of its first word in what WithSQL was given, and from that where sql
	// begins.
	line, from int
	// params are the names of its parameters: of $1 and on in Postgres, in any order in
	// SQLite.
	params []string
}

// parameter is what a statement of the shop's may name.
type parameter struct {
	name, postgresType string
	value              func(*write) any
}

// parameters are all of them. A value that an order does not have is NULL. The types are
// named to Postgres in every statement, so that what they are does not depend on how it is
// sent.
var parameters = []parameter{
	{"id", "text", func(w *write) any { return w.order.ID }},
	{"customer", "text", func(w *write) any { return w.order.Customer }},
	{"currency", "text", func(w *write) any { return w.order.Currency }},
	{"total_minor", "bigint", func(w *write) any { return w.order.AmountMinor() }},
	{"lines", "jsonb", func(w *write) any { return asJSON(w.order.Lines) }},
	{"attributes", "jsonb", func(w *write) any { return textOrNull(w.order.Attributes.String()) }},
	{"priority", "bigint", func(w *write) any { return int64(w.order.Class()) }},
	{"risk", "text", func(w *write) any { return textOrNull(string(w.order.Risk)) }},
	{"ordering_key", "text", func(w *write) any { return textOrNull(w.order.OrderingKey) }},
	{"depends_on", "jsonb", func(w *write) any { return asJSON(w.order.Components()) }},
	{"deadline", "timestamptz", func(w *write) any { return timeOrNull(w.order.Deadline) }},
	{"order", "jsonb", func(w *write) any { return string(w.body) }},
}

func asJSON(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // it is of an order that was written as JSON already
	}
	return string(data)
}

func textOrNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func timeOrNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC()
}

func parameterOf(name string) (parameter, bool) {
	i := slices.IndexFunc(parameters, func(p parameter) bool { return p.name == name })
	if i < 0 {
		return parameter{}, false
	}
	return parameters[i], true
}

// mayRun are the first words of statements that may be run for an order.
var mayRun = map[kind][]string{
	postgres: {"INSERT", "UPDATE", "DELETE", "MERGE", "SELECT", "WITH", "CALL"},
	sqlite:   {"INSERT", "UPDATE", "DELETE", "REPLACE", "SELECT", "WITH"},
}

// ofTransactions are the first words of statements that begin or end one, or a part of one.
var ofTransactions = []string{"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE", "PREPARE"}

// parseSQL reads the statements of [WithSQL]. The error is a sentence that names the line
// and says what to do.
func parseSQL(text string, k kind) ([]ownStatement, error) {
	switch {
	case len(text) > MaxSQL:
		return nil, fmt.Errorf("--orders-sql has more than %d bytes: keep what every order runs short, and put the rest into functions of the database", MaxSQL)
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		return nil, errors.New("--orders-sql is not text in UTF-8: write it as such, without U+0000")
	}
	scanner := sqlScanner{text: strings.TrimPrefix(text, "\ufeff"), kind: k}
	all, err := scanner.statements()
	switch {
	case err != nil:
		return nil, fmt.Errorf("--orders-sql, %w", err)
	case len(all) == 0:
		return nil, errors.New("--orders-sql has no statement: write one, such as INSERT INTO shop.orders (id) VALUES (@id)")
	case len(all) > maxStatements:
		return nil, fmt.Errorf("--orders-sql has %d statements: use at most %d", len(all), maxStatements)
	}
	own := make([]ownStatement, len(all))
	for i, s := range all {
		if own[i], err = s.own(k); err != nil {
			return nil, fmt.Errorf("--orders-sql, %w", err)
		}
	}
	return own, nil
}

// own is the statement as the database takes it.
func (s sqlStatement) own(k kind) (ownStatement, error) {
	switch {
	case slices.Contains(ofTransactions, s.first):
		return ownStatement{}, fmt.Errorf("line %d: leave %s out: all statements run in the transaction that writes the order, which commits after the last of them", s.line, s.first)
	case !slices.Contains(mayRun[k], s.first):
		return ownStatement{}, fmt.Errorf("line %d: %s is not run for an order: use %s", s.line, shortened(s.first), strings.Join(mayRun[k], ", "))
	}
	own := ownStatement{line: s.line, from: s.parts[0].line}
	var b strings.Builder
	for _, part := range s.parts {
		if part.name == "" {
			b.WriteString(part.text)
			continue
		}
		p, known := parameterOf(part.name)
		if !known {
			return ownStatement{}, fmt.Errorf("line %d: there is no parameter @%s: use %s", part.line, shortened(part.name), parameterNames())
		}
		if !slices.Contains(own.params, p.name) {
			own.params = append(own.params, p.name)
		}
		if k == postgres {
			fmt.Fprintf(&b, "($%d::%s)", slices.Index(own.params, p.name)+1, p.postgresType)
		} else {
			b.WriteString("@" + p.name)
		}
	}
	own.sql = b.String()
	return own, nil
}

func parameterNames() string {
	names := make([]string, len(parameters))
	for i, p := range parameters {
		names[i] = "@" + p.name
	}
	return strings.Join(names, ", ")
}

// postgresArgs are the values of $1 and on.
func (s ownStatement) postgresArgs(w *write) []any {
	args := make([]any, len(s.params))
	for i, name := range s.params {
		p, _ := parameterOf(name)
		args[i] = p.value(w)
	}
	return args
}

// sqliteArgs are the values by their names. A time is text, as in our tables.
func (s ownStatement) sqliteArgs(w *write) []any {
	args := make([]any, len(s.params))
	for i, name := range s.params {
		p, _ := parameterOf(name)
		v := p.value(w)
		if t, ok := v.(time.Time); ok {
			v = sqliteMoment(t)
		}
		args[i] = sql.Named(name, v)
	}
	return args
}

// lineOf is the line of a character of sql, from 1; 0 is none that is known.
func (s ownStatement) lineOf(position int32) int {
	if position < 1 {
		return s.line
	}
	before := []rune(s.sql)
	before = before[:min(int(position)-1, len(before))]
	return s.from + strings.Count(string(before), "\n")
}

// refusedError is what [DB.Check] says of a statement that the database does not take.
func (s ownStatement) refusedError(line int, words string) error {
	return &SchemaError{SchemaStatement, fmt.Sprintf("--orders-sql, line %d: the order database does not take the statement: %s: correct it, or make there what it names", line, words)}
}

// ownError is an error that a statement of the shop's raised.
type ownError struct{ error }

func (e *ownError) Unwrap() error { return e.error }

// values are the codes of SQLite about the values of a statement, and the classes of
// SQLSTATEs about them: data, constraints, views with a check, PL/pgSQL.
var values = []string{"SQLITE_CONSTRAINT", "SQLITE_MISMATCH", "SQLITE_RANGE", "SQLITE_TOOBIG", "22", "23", "44", "P0"}

// ofValues reports whether a code is about the values of a statement, or one that the shop
// has made up: the standard leaves classes from 5 to 9 and from I to Z to others, of which
// Postgres has some.
func ofValues(code string) bool {
	if len(code) != 5 {
		return slices.Contains(values, code)
	}
	class := code[:2]
	madeUp := (class[0] >= '5' && class[0] <= '9' || class[0] >= 'I') && class != "54" && class != "72" && !slices.Contains(ofTheDatabase, class)
	return madeUp || slices.Contains(values, class)
}

// ofTheProbe is the error of a write path. What a statement of the shop's says of the values of
// the probe's order, such as that the shop has no such customer, is a rule that refuses
// this order, whatever it would be for one of a customer: it does not say that the
// database takes none.
func ofTheProbe(err error) error {
	var e *Error
	if !errors.As(err, &e) || e.Class != Unavailable || !errors.As(err, new(*ownError)) {
		return err
	}
	if ofValues(e.Code) {
		return rejected(e.Err, e.Words())
	}
	return err
}
