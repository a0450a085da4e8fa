package ledger

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/ltp-node/ltp"
)

// latestMs is the end of the year 9999: a later time has no place in a file.
const latestMs = 253402300799999

// quoted are the fields that hold what somebody else said, which may be anything. Whoever
// shows them makes them safe to show.
var quoted = []string{"by", "error", "message", "reason", "text", "value", "what", "why"}

// valued checks each value of a payload by itself. A time is positive, and 0 only where it
// may be left out. A source names an event of a run. A name holds no control characters.
func valued(payload any) *fault { return valuedAs("", false, reflect.ValueOf(payload)) }

// valuedAs checks the value of the field with a name.
func valuedAs(name string, optional bool, v reflect.Value) *fault {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil
		}
		return valuedAs(name, optional, v.Elem())
	case reflect.Slice:
		for i := range v.Len() {
			if f := valuedAs(name, optional, v.Index(i)); f != nil {
				return f
			}
		}
	case reflect.Struct:
		if e, ok := v.Interface().(Event); ok && (e.EventID < 1 || e.RunID == "" && e.EventID > 1) {
			return broken(CheckForm, "its source is event %d of run %q, and there is no such event", e.EventID, e.RunID)
		}
		for field, is := range v.Fields() {
			if !field.IsExported() {
				continue
			}
			tag, options, _ := strings.Cut(field.Tag.Get("json"), ",")
			if f := valuedAs(tag, options == "omitempty", is); f != nil {
				return f
			}
		}
	case reflect.Int64:
		if at := v.Int(); strings.HasSuffix(name, "_ms") && (at < 0 || at == 0 && !optional || at > latestMs) {
			return broken(CheckTime, "its %s is %d, which is no time", name, at)
		}
	case reflect.String:
		if s := v.String(); !slices.Contains(quoted, name) && strings.ContainsFunc(s, unicode.IsControl) {
			return broken(CheckForm, "its %s is %q, with control characters", name, s)
		}
	}
	return nil
}

var contentHash = regexp.MustCompile(`^[0-9a-f]{64}$`)

// valid checks that the node can have accepted such an order.
func (o Order) valid() *fault {
	depends := o.DependsOn
	if written := o.written(); written != "" { // it stands there whether the order names it or not
		i := slices.Index(depends, written)
		if i < 0 {
			return broken(CheckForm, "order %s does not depend on %s, which it is written to", o.ID, written)
		}
		depends = slices.Delete(slices.Clone(depends), i, i+1)
		if slices.Contains(depends, written) {
			return broken(CheckForm, "order %s depends on %s twice", o.ID, written)
		}
	}
	as := ltp.Order{
		ID: o.ID, Customer: "-", Currency: o.Currency, Risk: o.Risk, DependsOn: depends,
		Lines: []ltp.Line{{SKU: "-", Quantity: 1, UnitAmountMinor: o.AmountMinor}},
	}
	if err := as.Validate(); err != nil {
		return broken(CheckForm, "no order %q is accepted: %v", o.ID, err)
	}
	switch {
	case len(o.DependsOn) == 0:
		return broken(CheckForm, "order %s depends on nothing", o.ID)
	case !contentHash.MatchString(o.Content):
		return broken(CheckForm, "the content_sha256 of order %s is %q, which is no hash", o.ID, o.Content)
	case o.StampEpoch < 0:
		return broken(CheckForm, "order %s was accepted in epoch %d, which there is not", o.ID, o.StampEpoch)
	}
	return nil
}

// sources are the places in history that the entries of a workflow were derived from.
type sources struct {
	runs []string
	last int64 // event of the latest run
}

// follow checks that an event follows on the one before: one of a run that has not been
// left. Entries of one event are allowed where same is set.
func (s *sources) follow(e Event, same bool) *fault {
	i := slices.Index(s.runs, e.RunID)
	switch {
	case i < 0:
		s.runs = append(s.runs, e.RunID)
	case i < len(s.runs)-1:
		return broken(CheckIdentity, "its source is of run %s, and run %s had begun", e.RunID, s.runs[len(s.runs)-1])
	case e.EventID < s.last, e.EventID == s.last && !same:
		return broken(CheckIdentity, "its source is event %d of run %s, and follows on event %d", e.EventID, e.RunID, s.last)
	}
	s.last = e.EventID
	return nil
}
