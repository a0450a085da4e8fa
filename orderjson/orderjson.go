// Package orderjson reads orders that are written as JSON. It is the one reader of the
// HTTP API, of the command line, and of files, and so the one contract of all three.
//
// An order is one JSON object in UTF-8, with the fields of [ltp.Order]. The reader is
// stricter than encoding/json, which lets the last of two equal names win, ignores how
// names are capitalised, and replaces damaged text. A field that is null counts as left
// out. What it refuses it names by JSON pointer (RFC 6901).
package orderjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ltp-node/ltp"
)

// MaxBytes is the most bytes of an order as JSON.
const MaxBytes = 64 << 10

// ErrTooLarge: there are more than MaxBytes.
var ErrTooLarge = fmt.Errorf("the order is larger than %d bytes: split it into several", MaxBytes)

// MalformedError is of what is not one JSON object. Hint is a sentence that says so and
// what to do.
type MalformedError struct{ Hint string }

func (e *MalformedError) Error() string { return e.Hint }

// ReadAll returns what r holds, for [Read]: ErrTooLarge where that is more than MaxBytes.
func ReadAll(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxBytes+1))
	if err == nil && len(data) > MaxBytes {
		err = ErrTooLarge
	}
	return data, err
}

// Read reads one order, and nothing else, out of data. It returns a *[MalformedError] for
// what is no JSON object, and an *[ltp.InvalidError] for one that is no order. What it
// returns may still be an order that Validate refuses.
func Read(data []byte) (ltp.Order, error) {
	if err := check(data); err != nil {
		return ltp.Order{}, err
	}
	r := reader{json.NewDecoder(bytes.NewReader(data))}
	r.UseNumber()
	var o ltp.Order
	err := r.object("", func(name, at string) error {
		switch name {
		case "id":
			return r.name(at, "give the order an id, or leave the field out", &o.ID)
		case "customer":
			return r.text(at, &o.Customer)
		case "currency":
			return r.text(at, &o.Currency)
		case "lines":
			return r.array(at, func(at string) error {
				o.Lines = append(o.Lines, ltp.Line{})
				return r.line(at, &o.Lines[len(o.Lines)-1])
			})
		case "risk":
			return r.text(at, (*string)(&o.Risk))
		case "depends_on":
			return r.array(at, func(at string) error {
				o.DependsOn = append(o.DependsOn, "")
				return r.text(at, &o.DependsOn[len(o.DependsOn)-1])
			})
		case "deadline":
			return r.time(at, &o.Deadline)
		case "priority":
			return r.priority(at, &o.Priority)
		case "ordering_key":
			return r.name(at, "say behind which orders this one goes, such as those of the same customer, or leave the field out", &o.OrderingKey)
		case "attributes":
			return r.attributes(at, &o.Attributes)
		}
		return unknownField(at, "id, customer, currency, lines, risk, depends_on, deadline, priority, ordering_key and attributes")
	})
	if err != nil {
		return ltp.Order{}, err
	}
	return o, nil
}

// check returns the error of what is not one JSON object. What follows may rely on
// well-formed JSON.
func check(data []byte) error {
	var syntax *json.SyntaxError
	switch trimmed := bytes.TrimSpace(data); {
	case len(trimmed) == 0:
		return &MalformedError{"The order is empty. Send it as a JSON object."}
	case !utf8.Valid(data):
		return &MalformedError{"The order is not UTF-8. Encode it as UTF-8."}
	case errors.As(json.Unmarshal(data, new(json.RawMessage)), &syntax):
		return &MalformedError{fmt.Sprintf("Not JSON at byte %d: %s. Send one JSON object and nothing after it.", syntax.Offset, syntax)}
	case trimmed[0] != '{':
		return &MalformedError{"Send the order as a JSON object: {\"customer\": …}."}
	}
	return nil
}

func invalid(at, hint string) error { return &ltp.InvalidError{Field: at, Hint: hint} }

func unknownField(at, known string) error {
	return invalid(at, "there is no such field; there are "+known)
}

// reader reads well-formed JSON token by token. A value that is null leaves what it
// would set as it is.
type reader struct{ *json.Decoder }

// next returns the next token. It panics on malformed JSON, which check has ruled out.
func (r reader) next() json.Token {
	t, err := r.Token()
	if err != nil {
		panic(err)
	}
	return t
}

// raw returns the next value as it is written.
func (r reader) raw() json.RawMessage {
	var value json.RawMessage
	if err := r.Decode(&value); err != nil {
		panic(err)
	}
	return value
}

// object reads an object, and calls each for every field: it must read the value.
func (r reader) object(at string, each func(name, at string) error) error {
	switch r.next() {
	case nil:
		return nil
	case json.Delim('{'):
	default:
		return invalid(at, "use a JSON object")
	}
	seen := map[string]bool{}
	for r.More() {
		name := r.next().(string)
		field := ltp.Pointer(at, name)
		if seen[name] {
			return invalid(field, "give each field once")
		}
		seen[name] = true
		if err := each(name, field); err != nil {
			return err
		}
	}
	r.next()
	return nil
}

// array reads an array, and calls each for every element: it must read the value.
func (r reader) array(at string, each func(at string) error) error {
	switch r.next() {
	case nil:
		return nil
	case json.Delim('['):
	default:
		return invalid(at, "use a JSON array")
	}
	for i := 0; r.More(); i++ {
		if err := each(ltp.Pointer(at, strconv.Itoa(i))); err != nil {
			return err
		}
	}
	r.next()
	return nil
}

func (r reader) line(at string, l *ltp.Line) error {
	return r.object(at, func(name, at string) error {
		switch name {
		case "sku":
			return r.text(at, &l.SKU)
		case "name":
			return r.text(at, &l.Name)
		case "quantity":
			return r.whole(at, &l.Quantity)
		case "unit_amount_minor":
			return r.whole(at, &l.UnitAmountMinor)
		case "attributes":
			return r.attributes(at, &l.Attributes)
		}
		return unknownField(at, "sku, name, quantity, unit_amount_minor and attributes")
	})
}

func (r reader) attributes(at string, into *ltp.Attributes) (err error) {
	*into, err = ltp.ParseAttributes(r.raw())
	var refused *ltp.InvalidError
	if errors.As(err, &refused) {
		return invalid(at+refused.Field, refused.Hint)
	}
	return err
}

func (r reader) text(at string, into *string) error {
	switch t := r.next().(type) {
	case nil:
	case string:
		if strings.ContainsRune(t, utf8.RuneError) {
			return invalid(at, "the text holds U+FFFD or half a surrogate pair, the marks of damaged text: send it as it was")
		}
		*into = t
	default:
		return invalid(at, "use a JSON string")
	}
	return nil
}

// name reads an id or an ordering key. An empty one is a mistake of the client's: left
// out, it would make repeats unsafe, or have the order overtake others. empty says what
// to do.
func (r reader) name(at, empty string, into *string) error {
	switch t := r.next().(type) {
	case nil:
	case string:
		if t == "" {
			return invalid(at, empty)
		}
		*into = t
	default:
		return invalid(at, "use a JSON string")
	}
	return nil
}

func (r reader) whole(at string, into *int64) error {
	switch t := r.next().(type) {
	case nil:
		return nil
	case json.Number:
		if n, err := strconv.ParseInt(t.String(), 10, 64); err == nil {
			*into = n
			return nil
		}
	}
	return invalid(at, fmt.Sprintf("use a whole number of at most %d, without quotes, fraction or exponent", int64(ltp.MaxAmountMinor)))
}

// priority reads a class. 0 counts as left out inside, and is a mistake here: it is not
// before 1.
func (r reader) priority(at string, into *int) error {
	switch t := r.next().(type) {
	case nil:
		return nil
	case json.Number:
		if n, err := strconv.Atoi(t.String()); err == nil && 1 <= n && n <= ltp.LastPriority {
			*into = n
			return nil
		}
	}
	return invalid(at, fmt.Sprintf("use a whole number from 1, which is released first, to %d, or leave the field out", ltp.LastPriority))
}

// rfc3339 is stricter than time.Time, which also takes a comma before the fraction and
// offsets of a day.
var rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

func (r reader) time(at string, into *time.Time) error {
	switch t := r.next().(type) {
	case nil:
		return nil
	case string:
		read, err := Time(t)
		if err != nil {
			return invalid(at, err.Error())
		}
		*into = read
		return nil
	}
	return invalid(at, notATime)
}

const notATime = "use a time as in RFC 3339, such as 2030-01-31T12:00:00Z"

// Time reads a time as orders and listings name it. Its error says what to write.
func Time(s string) (time.Time, error) {
	var read time.Time
	if err := read.UnmarshalText([]byte(s)); err != nil || !rfc3339.MatchString(s) {
		return time.Time{}, errors.New(notATime)
	}
	// In UTC, because an offset can carry a time out of the years that JSON can write.
	if read = read.UTC(); read.Year() < 1970 || read.Year() > 9999 {
		return time.Time{}, errors.New("use a time in the years 1970 to 9999, or leave it out")
	}
	return read, nil
}
