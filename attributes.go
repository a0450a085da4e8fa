package ltp

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Bounds of attributes.
const (
	// MaxAttributes is the most bytes of one object of attributes, and MaxAllAttributes of
	// all those of an order and its lines, in the form that Attributes.String gives.
	MaxAttributes    = 32 << 10
	MaxAllAttributes = 64 << 10
	// MaxAttributesDepth is how many levels of objects and arrays there may be, the object
	// itself being the first.
	MaxAttributesDepth = 32
	// MaxAttributesDigits is the most digits of a number before the point, and behind it:
	// every IEEE double has fewer.
	MaxAttributesDigits = 400
)

// Attributes are a JSON object of the user's own, which an order and each of its lines
// may carry; the zero value is none. The order node keeps what they mean, looks into none
// of them, and gives them to whoever executes the order.
//
// They are held in one form, so that two that mean the same are the same (==), and count
// as the same in [Order.ContentHash]. Names are sorted by their bytes in UTF-8. There is
// no white space. Strings escape only what must be. A number has the digits of its value
// and no exponent: 1.10, 1.1 and 11e-1 are one number, and 12345678901234567890 is not
// rounded. The text "1.10" is not that number; what needs its last zero is to be sent as
// text.
type Attributes struct{ text string }

// ParseAttributes reads a JSON object; null is none. Anything else, and what no order
// database could keep, is an *[InvalidError] whose Field is a JSON pointer (RFC 6901) into
// the object, and empty for the object itself: a name that is there twice; text that is
// not UTF-8, has half of a surrogate pair or the character U+0000; a number of more than
// [MaxAttributesDigits] digits on one side of its point; what is nested deeper than
// [MaxAttributesDepth], or is larger than [MaxAttributes].
func ParseAttributes(data []byte) (Attributes, error) {
	var raw json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return Attributes{}, &InvalidError{"", fmt.Sprintf("the attributes are not JSON: %v", err)}
	}
	c := canonicalizer{data: data}
	switch c.peek() {
	case 'n':
		return Attributes{}, nil
	case '{':
	default:
		return Attributes{}, &InvalidError{"", "use a JSON object"}
	}
	text, err := c.value(make([]byte, 0, len(data)), 0)
	if err != nil {
		return Attributes{}, err
	}
	if len(text) > MaxAttributes {
		return Attributes{}, &InvalidError{"", fmt.Sprintf("the attributes have %d bytes without white space: send at most %d", len(text), MaxAttributes)}
	}
	return Attributes{string(text)}, nil
}

// AttributesOf are the attributes that v is as JSON: a struct, a map, or anything else of
// which [json.Marshal] makes an object; nil is none. Its errors are those of
// [ParseAttributes], and those of json.Marshal as an *[InvalidError].
func AttributesOf(v any) (Attributes, error) {
	data, err := json.Marshal(v)
	var invalid *InvalidError
	switch {
	case errors.As(err, &invalid):
		return Attributes{}, invalid
	case err != nil:
		return Attributes{}, &InvalidError{"", fmt.Sprintf("the attributes cannot be written as JSON: %v", err)}
	}
	return ParseAttributes(data)
}

// Into reads the attributes into v, a pointer, as [json.Unmarshal] does. None leave v as
// it is.
func (a Attributes) Into(v any) error {
	if a.IsZero() {
		return nil
	}
	return json.Unmarshal([]byte(a.text), v)
}

// IsZero reports whether there are none. An empty object is not none.
func (a Attributes) IsZero() bool { return a.text == "" }

// String is the attributes' one form as JSON, and empty for none.
func (a Attributes) String() string { return a.text }

// MarshalJSON writes the object, or null for none.
func (a Attributes) MarshalJSON() ([]byte, error) {
	if a.IsZero() {
		return []byte("null"), nil
	}
	return []byte(a.text), nil
}

// UnmarshalJSON reads as [ParseAttributes] does.
func (a *Attributes) UnmarshalJSON(data []byte) (err error) {
	*a, err = ParseAttributes(data)
	return err
}

// within returns err with the field that an *InvalidError names put below at.
func within(at string, err error) error {
	var invalid *InvalidError
	if errors.As(err, &invalid) {
		return &InvalidError{at + invalid.Field, invalid.Hint}
	}
	return err
}

// Pointer is the JSON pointer (RFC 6901) of the member name of the object at.
func Pointer(at, name string) string { return at + "/" + pointerEscape.Replace(name) }

var pointerEscape = strings.NewReplacer("~", "~0", "/", "~1")

// canonicalizer reads JSON whose syntax has been checked, and writes the one form of it.
// It relies on nothing of encoding/json, which rounds numbers, lets the last of two equal
// names win, and replaces damaged text.
type canonicalizer struct {
	data []byte
	at   int
}

// peek is the first byte of what comes next.
func (c *canonicalizer) peek() byte {
	for strings.IndexByte(" \t\r\n", c.data[c.at]) >= 0 {
		c.at++
	}
	return c.data[c.at]
}

// skip goes past what comes next if it is b.
func (c *canonicalizer) skip(b byte) bool {
	if c.peek() != b {
		return false
	}
	c.at++
	return true
}

// value appends the value that comes next, which is on the given level.
func (c *canonicalizer) value(dst []byte, level int) ([]byte, error) {
	switch first := c.peek(); first {
	case '{', '[':
		if level++; level > MaxAttributesDepth {
			return nil, &InvalidError{"", fmt.Sprintf("use at most %d levels of objects and arrays", MaxAttributesDepth)}
		}
		if first == '{' {
			return c.object(dst, level)
		}
		return c.array(dst, level)
	case '"':
		s, err := c.text()
		if err != nil {
			return nil, err
		}
		return appendText(dst, s), nil
	case 't', 'n':
		c.at += 4
		return append(dst, c.data[c.at-4:c.at]...), nil
	case 'f':
		c.at += 5
		return append(dst, "false"...), nil
	}
	from := c.at
	for c.at < len(c.data) && strings.IndexByte("+-.0123456789Ee", c.data[c.at]) >= 0 {
		c.at++
	}
	return appendNumber(dst, string(c.data[from:c.at]))
}

func (c *canonicalizer) object(dst []byte, level int) ([]byte, error) {
	type member struct {
		name  string
		value []byte
	}
	var members []member
	seen := map[string]bool{}
	c.skip('{')
	for !c.skip('}') {
		c.peek()
		name, err := c.text()
		if err != nil {
			return nil, err
		}
		at := Pointer("", name)
		if seen[name] {
			return nil, &InvalidError{at, "give each field once"}
		}
		seen[name] = true
		c.skip(':')
		value, err := c.value(nil, level)
		if err != nil {
			return nil, within(at, err)
		}
		members = append(members, member{name, value})
		c.skip(',')
	}
	slices.SortFunc(members, func(a, b member) int { return strings.Compare(a.name, b.name) })
	dst = append(dst, '{')
	for i, m := range members {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(appendText(dst, m.name), ':'), m.value...)
	}
	return append(dst, '}'), nil
}

func (c *canonicalizer) array(dst []byte, level int) (_ []byte, err error) {
	c.skip('[')
	dst = append(dst, '[')
	for i := 0; !c.skip(']'); i++ {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = c.value(dst, level); err != nil {
			return nil, within(Pointer("", strconv.Itoa(i)), err)
		}
		c.skip(',')
	}
	return append(dst, ']'), nil
}

// text reads a string.
func (c *canonicalizer) text() (string, error) {
	var s []byte
	c.at++
	for c.data[c.at] != '"' {
		if c.data[c.at] != '\\' {
			r, n := utf8.DecodeRune(c.data[c.at:])
			if r == utf8.RuneError && n == 1 {
				return "", &InvalidError{"", "the text is not UTF-8: encode it as UTF-8"}
			}
			s = append(s, c.data[c.at:c.at+n]...)
			c.at += n
			continue
		}
		r := c.escape()
		switch {
		case r == 0:
			return "", &InvalidError{"", `the text has the character U+0000, "\u0000", which no database can keep: leave it out`}
		case utf16.IsSurrogate(r):
			return "", &InvalidError{"", "the text has half of a surrogate pair, the mark of text that was cut or damaged: send it as it was"}
		}
		s = utf8.AppendRune(s, r)
	}
	c.at++
	return string(s), nil
}

// escape reads what a backslash begins: a character, or half of a surrogate pair that
// the other half does not follow.
func (c *canonicalizer) escape() rune {
	kind := c.data[c.at+1]
	c.at += 2
	switch kind {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'u':
		unit := c.unit()
		if !utf16.IsSurrogate(unit) || c.data[c.at] != '\\' || c.data[c.at+1] != 'u' {
			return unit
		}
		c.at += 2
		before := c.at
		if pair := utf16.DecodeRune(unit, c.unit()); pair != utf8.RuneError {
			return pair
		}
		c.at = before - 2
		return unit
	}
	return rune(kind) // " \ /
}

// unit reads the four digits of \uXXXX.
func (c *canonicalizer) unit() rune {
	n, err := strconv.ParseUint(string(c.data[c.at:c.at+4]), 16, 16)
	if err != nil {
		panic(err) // the syntax has been checked
	}
	c.at += 4
	return rune(n)
}

func appendText(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for i := range len(s) {
		switch b := s[i]; {
		case b == '"' || b == '\\':
			dst = append(dst, '\\', b)
		case b >= ' ':
			dst = append(dst, b)
		case strings.IndexByte("\b\f\n\r\t", b) >= 0:
			dst = append(dst, '\\', "btn_fr"[b-'\b'])
		default:
			dst = append(dst, `\u00`...)
			dst = append(dst, hex[b>>4], hex[b&15])
		}
	}
	return append(dst, '"')
}

// appendNumber appends the number that literal stands for, with the digits that its
// value has and no exponent.
func appendNumber(dst []byte, literal string) ([]byte, error) {
	mantissa, exponent, _ := strings.Cut(strings.ToLower(literal), "e")
	mantissa, negative := strings.CutPrefix(mantissa, "-")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	if digits == "" {
		return append(dst, '0'), nil
	}
	// The value is 0.digits times ten to the power of point.
	point := len(digits) - len(fraction)
	digits = strings.TrimRight(digits, "0")
	if exponent != "" {
		shift, err := strconv.ParseInt(exponent, 10, 32)
		if err != nil {
			return nil, tooManyDigits()
		}
		point += int(shift)
	}
	if point > MaxAttributesDigits || len(digits)-point > MaxAttributesDigits {
		return nil, tooManyDigits()
	}
	if negative {
		dst = append(dst, '-')
	}
	if point <= 0 {
		dst = append(append(dst, "0."...), strings.Repeat("0", -point)...)
		return append(dst, digits...), nil
	}
	if point >= len(digits) {
		return append(append(dst, digits...), strings.Repeat("0", point-len(digits))...), nil
	}
	return append(append(append(dst, digits[:point]...), '.'), digits[point:]...), nil
}

func tooManyDigits() error {
	return &InvalidError{"", fmt.Sprintf("the number has more than %d digits before or behind its point, which not every database can keep: send it as text", MaxAttributesDigits)}
}
