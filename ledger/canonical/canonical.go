// Package canonical writes JSON in one form only, so that the same value is the same
// bytes for whoever hashes it: what a JavaScript engine emits that parses, sorts keys
// and stringifies (ECMA-262, JSON.stringify), narrowed to where every reader agrees.
//
// Keys are sorted and there is no white space. In strings only ", \, and control
// characters are escaped, the latter as \b \f \n \r \t or \u00xx: not < > &, and not
// U+2028 and U+2029. Numbers are written as ECMAScript does, whole ones without a
// fraction. Refused are whole numbers beyond 2^53-1 either way, which JavaScript
// cannot tell apart; keys that are not ASCII or are numbers, which engines sort
// otherwise; and text that is not UTF-8.
package canonical

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// MaxInteger is the largest whole number that JSON readers agree on, 2^53-1.
const MaxInteger = 1<<53 - 1

// Error says what cannot be written, and where: "payload.reason: …".
type Error struct {
	Path string
	Err  error
}

func (e *Error) Error() string {
	if e.Path == "" {
		return e.Err.Error()
	}
	return e.Path + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// Append appends the canonical form of v to dst. It writes nil, bool, strings,
// integers, floats, [json.Number], slices, maps with string keys, pointers, and structs
// by their json tags (name, omitempty, omitzero and embedding), but knows no other
// [json.Marshaler]. What cannot be written is an *[Error].
func Append(dst []byte, v any) ([]byte, error) {
	dst, err := appendValue(dst, reflect.ValueOf(v))
	if err != nil {
		return nil, err
	}
	return dst, nil
}

// Marshal is the canonical form of v; see [Append].
func Marshal(v any) ([]byte, error) { return Append(nil, v) }

// Check reports how data differs from the canonical form of v; nil if it does not.
func Check(data []byte, v any) error {
	want, err := Marshal(v)
	if err != nil {
		return err
	}
	if bytes.Equal(want, data) {
		return nil
	}
	at := 0
	for at < min(len(want), len(data)) && want[at] == data[at] {
		at++
	}
	return fmt.Errorf("not in canonical form from byte %d on: %s", at, around(data, at))
}

// around quotes what stands at a place of data.
func around(data []byte, at int) string {
	return strconv.Quote(string(data[at:min(at+20, len(data))]))
}

func appendValue(dst []byte, v reflect.Value) ([]byte, error) {
	if !v.IsValid() {
		return append(dst, "null"...), nil
	}
	if n, ok := v.Interface().(json.Number); ok {
		return appendNumber(dst, string(n))
	}
	switch v.Kind() {
	case reflect.Interface, reflect.Pointer:
		if v.IsNil() {
			return append(dst, "null"...), nil
		}
		return appendValue(dst, v.Elem())
	case reflect.Bool:
		return strconv.AppendBool(dst, v.Bool()), nil
	case reflect.String:
		return appendString(dst, v.String())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return appendInteger(dst, v.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if v.Uint() > MaxInteger {
			return nil, tooBig(strconv.FormatUint(v.Uint(), 10))
		}
		return strconv.AppendUint(dst, v.Uint(), 10), nil
	case reflect.Float32, reflect.Float64:
		return appendFloat(dst, v.Float())
	case reflect.Slice, reflect.Array:
		return appendList(dst, v)
	case reflect.Map:
		return appendMap(dst, v)
	case reflect.Struct:
		return appendStruct(dst, v)
	}
	return nil, &Error{Err: fmt.Errorf("a %s has no canonical form", v.Type())}
}

func tooBig(n string) error {
	return &Error{Err: fmt.Errorf("%s is beyond 2^53-1: write it as a string", n)}
}

func appendInteger(dst []byte, n int64) ([]byte, error) {
	if n > MaxInteger || n < -MaxInteger {
		return nil, tooBig(strconv.FormatInt(n, 10))
	}
	return strconv.AppendInt(dst, n, 10), nil
}

func appendNumber(dst []byte, s string) ([]byte, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return appendInteger(dst, n)
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return nil, &Error{Err: fmt.Errorf("%q is not a number that can be held", s)}
	}
	return appendFloat(dst, f)
}

// appendFloat writes as Number::toString of ECMA-262 does.
func appendFloat(dst []byte, f float64) ([]byte, error) {
	abs := math.Abs(f)
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return nil, &Error{Err: errors.New("JSON has neither NaN nor infinity")}
	case f == 0: // also -0
		return append(dst, '0'), nil
	case f == math.Trunc(f) && abs > MaxInteger:
		return nil, tooBig(strconv.FormatFloat(f, 'g', -1, 64))
	case abs >= 1e-6:
		return strconv.AppendFloat(dst, f, 'f', -1, 64), nil
	}
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	if n := len(dst); n >= 4 && dst[n-3] == '-' && dst[n-2] == '0' { // e-07 is e-7
		dst[n-2], dst = dst[n-1], dst[:n-1]
	}
	return dst, nil
}

const hex = "0123456789abcdef"

var escapes = map[byte]string{'"': `\"`, '\\': `\\`, '\b': `\b`, '\f': `\f`, '\n': `\n`, '\r': `\r`, '\t': `\t`}

func appendString(dst []byte, s string) ([]byte, error) {
	if !utf8.ValidString(s) {
		return nil, &Error{Err: fmt.Errorf("%q is not UTF-8", s)}
	}
	dst = append(dst, '"')
	from := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[from:i]...)
		from = i + 1
		if short, ok := escapes[c]; ok {
			dst = append(dst, short...)
		} else {
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(append(dst, s[from:]...), '"'), nil
}

func appendList(dst []byte, v reflect.Value) (_ []byte, err error) {
	dst = append(dst, '[')
	for i := range v.Len() {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = appendValue(dst, v.Index(i)); err != nil {
			return nil, within(strconv.Itoa(i), err)
		}
	}
	return append(dst, ']'), nil
}

func appendMap(dst []byte, v reflect.Value) (_ []byte, err error) {
	if v.Type().Key().Kind() != reflect.String {
		return nil, &Error{Err: fmt.Errorf("a %s has no canonical form", v.Type())}
	}
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	dst = append(dst, '{')
	for i, k := range keys {
		name := k.String()
		if err := validKey(name); err != nil {
			return nil, err
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = appendString(dst, name); err != nil {
			return nil, err
		}
		if dst, err = appendValue(append(dst, ':'), v.MapIndex(k)); err != nil {
			return nil, within(name, err)
		}
	}
	return append(dst, '}'), nil
}

// validKey refuses the keys that engines sort, or set, in ways of their own.
func validKey(k string) error {
	digits := k != ""
	for i := range len(k) {
		if k[i] > '~' {
			return &Error{Err: fmt.Errorf("the key %q is not ASCII", k)}
		}
		digits = digits && '0' <= k[i] && k[i] <= '9'
	}
	if digits || k == "__proto__" {
		return &Error{Err: fmt.Errorf("the key %q is one that JavaScript treats in a way of its own", k)}
	}
	return nil
}

func appendStruct(dst []byte, v reflect.Value) (_ []byte, err error) {
	dst = append(dst, '{')
	first := true
	for _, f := range fieldsOf(v.Type()) {
		value, err := v.FieldByIndexErr(f.index)
		if err != nil || (f.omitEmpty && empty(value)) || (f.omitZero && value.IsZero()) {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		if dst, err = appendString(dst, f.name); err != nil {
			return nil, err
		}
		if dst, err = appendValue(append(dst, ':'), value); err != nil {
			return nil, within(f.name, err)
		}
	}
	return append(dst, '}'), nil
}

func empty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map, reflect.Array, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}

func within(name string, err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	if e.Path != "" {
		name += "." + e.Path
	}
	return &Error{Path: name, Err: e.Err}
}

// field is a field of a struct that is written.
type field struct {
	name                string
	index               []int
	omitEmpty, omitZero bool
}

var known sync.Map // of reflect.Type to []field

// fieldsOf are the fields of a struct in the order of their names.
func fieldsOf(t reflect.Type) []field {
	if cached, ok := known.Load(t); ok {
		return cached.([]field)
	}
	var all []field
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || name == "-" || (f.Anonymous && name == "") {
			continue
		}
		if name == "" {
			name = f.Name
		}
		said := strings.Split(options, ",")
		all = append(all, field{name, f.Index, slices.Contains(said, "omitempty"), slices.Contains(said, "omitzero")})
	}
	slices.SortFunc(all, func(a, b field) int { return strings.Compare(a.name, b.name) })
	known.Store(t, all)
	return all
}
