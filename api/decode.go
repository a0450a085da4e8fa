package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ltp-node/ltp"
)

// readOrder reads the order of a request.
func readOrder(w http.ResponseWriter, r *http.Request) (ltp.Order, *problem) {
	if p := declaredJSON(w, r.Header); p != nil {
		return ltp.Order{}, p
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	switch {
	case errors.As(err, new(*http.MaxBytesError)):
		return ltp.Order{}, bodyTooLarge.because(fmt.Sprintf("Send at most %d bytes: split the order into several.", MaxBody))
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ltp.Order{}, requestTimeout.because("Send the order again, all of it at once.")
	case err != nil:
		return ltp.Order{}, invalidJSON.because("The body ended early. Send the order again.")
	}
	return decodeOrder(data)
}

func declaredJSON(w http.ResponseWriter, h http.Header) *problem {
	media, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	coding := h.Get("Content-Encoding")
	if err == nil && media == "application/json" && (coding == "" || strings.EqualFold(coding, "identity")) {
		return nil
	}
	w.Header().Set("Accept-Post", "application/json")
	return unsupportedMediaType.because("Send the order as JSON with Content-Type: application/json, and not compressed.")
}

// decodeOrder reads one order, and nothing else, out of data. It is stricter than
// encoding/json, which lets the last of two equal fields win, ignores how fields
// are capitalised, and replaces damaged text; and its problems name the field.
func decodeOrder(data []byte) (ltp.Order, *problem) {
	if p := checkJSON(data); p != nil {
		return ltp.Order{}, p
	}
	d := decoder{json.NewDecoder(bytes.NewReader(data))}
	d.UseNumber()
	var o ltp.Order
	p := d.object("", func(name, field string) *problem {
		switch name {
		case "id":
			return d.id(field, &o.ID)
		case "customer":
			return d.text(field, &o.Customer)
		case "currency":
			return d.text(field, &o.Currency)
		case "lines":
			return d.array(field, func(field string) *problem {
				o.Lines = append(o.Lines, ltp.Line{})
				return d.line(field, &o.Lines[len(o.Lines)-1])
			})
		case "risk":
			return d.text(field, (*string)(&o.Risk))
		case "depends_on":
			return d.array(field, func(field string) *problem {
				o.DependsOn = append(o.DependsOn, "")
				return d.text(field, &o.DependsOn[len(o.DependsOn)-1])
			})
		case "deadline":
			return d.time(field, &o.Deadline)
		case "priority":
			return d.priority(field, &o.Priority)
		case "ordering_key":
			return d.key(field, &o.OrderingKey)
		}
		return unknownField(field, "id, customer, currency, lines, risk, depends_on, deadline, priority and ordering_key")
	})
	return o, p
}

// checkJSON returns the problem of a body that is not one JSON object, and nil
// otherwise. What follows may rely on well-formed JSON.
func checkJSON(data []byte) *problem {
	var syntax *json.SyntaxError
	switch trimmed := bytes.TrimSpace(data); {
	case len(trimmed) == 0:
		return invalidJSON.because("The body is empty. Send the order as a JSON object.")
	case !utf8.Valid(data):
		return invalidJSON.because("The body is not UTF-8. Encode it as UTF-8.")
	case errors.As(json.Unmarshal(data, new(json.RawMessage)), &syntax):
		return invalidJSON.because(fmt.Sprintf("Not JSON at byte %d: %s. Send one JSON object and nothing after it.", syntax.Offset, syntax))
	case trimmed[0] != '{':
		return invalidJSON.because("Send the order as a JSON object: {\"customer\": …}.")
	}
	return nil
}

func unknownField(field, known string) *problem {
	return invalidOrder.in(field, "there is no such field; there are "+known)
}

// decoder reads well-formed JSON token by token. A value that is null leaves what it
// would set as it is.
type decoder struct{ *json.Decoder }

// next returns the next token. It panics on malformed JSON, which checkJSON has
// ruled out.
func (d decoder) next() json.Token {
	t, err := d.Token()
	if err != nil {
		panic(err)
	}
	return t
}

// object reads an object, and calls each for every field: it must read the value.
func (d decoder) object(at string, each func(name, field string) *problem) *problem {
	switch d.next() {
	case nil:
		return nil
	case json.Delim('{'):
	default:
		return invalidOrder.in(at, "use a JSON object")
	}
	seen := map[string]bool{}
	for d.More() {
		name := d.next().(string)
		field := strings.TrimPrefix(at+"."+name, ".")
		if seen[name] {
			return invalidOrder.in(field, "give each field once")
		}
		seen[name] = true
		if p := each(name, field); p != nil {
			return p
		}
	}
	d.next()
	return nil
}

// array reads an array, and calls each for every element: it must read the value.
func (d decoder) array(at string, each func(field string) *problem) *problem {
	switch d.next() {
	case nil:
		return nil
	case json.Delim('['):
	default:
		return invalidOrder.in(at, "use a JSON array")
	}
	for i := 0; d.More(); i++ {
		if p := each(fmt.Sprintf("%s[%d]", at, i)); p != nil {
			return p
		}
	}
	d.next()
	return nil
}

func (d decoder) line(at string, l *ltp.Line) *problem {
	return d.object(at, func(name, field string) *problem {
		switch name {
		case "sku":
			return d.text(field, &l.SKU)
		case "quantity":
			return d.whole(field, &l.Quantity)
		case "unit_amount_minor":
			return d.whole(field, &l.UnitAmountMinor)
		}
		return unknownField(field, "sku, quantity and unit_amount_minor")
	})
}

func (d decoder) text(at string, into *string) *problem {
	switch t := d.next().(type) {
	case nil:
	case string:
		if strings.ContainsRune(t, utf8.RuneError) {
			return invalidOrder.in(at, "the text holds U+FFFD or half a surrogate pair, the marks of damaged text: send it as it was")
		}
		*into = t
	default:
		return invalidOrder.in(at, "use a JSON string")
	}
	return nil
}

// id reads the order's id. An empty one is a mistake of the client's that would make
// its repeats unsafe if it counted as left out.
func (d decoder) id(at string, into *string) *problem {
	return d.name(at, "give the order an id, or leave the field out", into)
}

// key reads the order's ordering key. An empty one is a mistake, too: the order would
// overtake others.
func (d decoder) key(at string, into *string) *problem {
	return d.name(at, "say behind which orders this one goes, such as those of the same customer, or leave the field out", into)
}

// name reads text that must not be empty if it is given; empty says what to do.
func (d decoder) name(at, empty string, into *string) *problem {
	given := true
	switch t := d.next().(type) {
	case nil:
		given = false
	case string:
		*into = t
	default:
		return invalidOrder.in(at, "use a JSON string")
	}
	if given && *into == "" {
		return invalidOrder.in(at, empty)
	}
	return nil
}

func (d decoder) whole(at string, into *int64) *problem {
	switch t := d.next().(type) {
	case nil:
		return nil
	case json.Number:
		if n, err := strconv.ParseInt(t.String(), 10, 64); err == nil {
			*into = n
			return nil
		}
	}
	return invalidOrder.in(at, fmt.Sprintf("use a whole number of at most %d, without quotes, fraction or exponent", int64(ltp.MaxAmountMinor)))
}

// priority reads a class. 0 counts as left out inside, and is a mistake here: it is not
// before 1.
func (d decoder) priority(at string, into *int) *problem {
	switch t := d.next().(type) {
	case nil:
		return nil
	case json.Number:
		if n, err := strconv.Atoi(t.String()); err == nil && 1 <= n && n <= ltp.LastPriority {
			*into = n
			return nil
		}
	}
	return invalidOrder.in(at, fmt.Sprintf("use a whole number from 1, which is released first, to %d, or leave the field out", ltp.LastPriority))
}

func (d decoder) time(at string, into *time.Time) *problem {
	switch t := d.next().(type) {
	case nil:
		return nil
	case string:
		var read time.Time
		if err := read.UnmarshalText([]byte(t)); err != nil {
			break
		}
		// In UTC, because an offset can carry a time out of the years that JSON can
		// write.
		if read = read.UTC(); read.Year() < 1 || read.Year() > 9999 {
			return invalidOrder.in(at, "use a time in the years 1 to 9999")
		}
		*into = read
		return nil
	}
	return invalidOrder.in(at, `use a time as in RFC 3339, such as "2030-01-31T12:00:00Z"`)
}
