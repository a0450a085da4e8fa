// Package schema checks orders by a JSON Schema of the user's own, draft 2020-12: what
// attributes there must be, of which form, and whatever else an order has to hold.
//
// A schema stands in one file: it refers to nothing outside of it. As that draft has it,
// "format" is a remark and checks nothing; "pattern" does. Patterns are those of Go's
// regexp, which takes time in proportion to the text whatever the pattern is.
package schema

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/words"
)

// draft is the meta-schema of JSON Schema 2020-12.
const draft = "https://json-schema.org/draft/2020-12/schema"

// Schema is a compiled schema. It is safe for concurrent use.
type Schema struct{ of *jsonschema.Schema }

// Compile compiles a schema of orders. Its errors are sentences.
func Compile(data []byte) (*Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("it is not JSON: %w", err)
	}
	if object, ok := doc.(map[string]any); !ok {
		return nil, errors.New("it is not a JSON Schema: that is a JSON object")
	} else if said, ok := object["$schema"].(string); ok && strings.TrimSuffix(said, "#") != draft {
		return nil, fmt.Errorf("its $schema is %q: use JSON Schema 2020-12, %q", said, draft)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseLoader(nothing{})
	const here = "order:///schema.json"
	if err := c.AddResource(here, doc); err != nil {
		return nil, plainly(err, here)
	}
	of, err := c.Compile(here)
	if err != nil {
		return nil, plainly(err, here)
	}
	s := &Schema{of}
	if f := s.first(map[string]any{}); f != nil {
		if _, cycle := f.kind.(*kind.RefCycle); cycle {
			return nil, errors.New("it refers to itself without end: have its $ref lead somewhere")
		}
	}
	return s, nil
}

// nothing loads nothing: what a schema refers to could change, or be away.
type nothing struct{}

func (nothing) Load(string) (any, error) { return nil, errors.New("outside") }

// plainly is an error of the compiler as a sentence.
func plainly(err error, here string) error {
	var load *jsonschema.LoadURLError
	var against *jsonschema.SchemaValidationError
	var found *jsonschema.ValidationError
	switch {
	case errors.As(err, &load):
		return fmt.Errorf("it refers to %s: put what it refers to under $defs, nothing is loaded from elsewhere", strings.TrimPrefix(load.URL, "order:///"))
	case errors.As(err, &against) && errors.As(against.Err, &found):
		f := firstOf(found)
		return fmt.Errorf("it is not a JSON Schema: %s: %s", cmp.Or(f.pointer(), "the whole"), f.sentence())
	}
	return fmt.Errorf("it is not a JSON Schema: %s", strings.ReplaceAll(err.Error(), here, ""))
}

// Check returns an *[ltp.InvalidError] for an order that the schema does not allow, as the
// client has written it; where several things are wrong, for the first. The order must be
// one that orderjson.Read has taken.
func (s *Schema) Check(order []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(order))
	if err != nil {
		return &ltp.InvalidError{Hint: fmt.Sprintf("the order is not JSON: %v", err)}
	}
	if f := s.first(v); f != nil {
		return &ltp.InvalidError{Field: f.pointer(), Hint: f.sentence()}
	}
	return nil
}

// fault is one thing that is wrong with a value, and where.
type fault struct {
	at   []string
	kind jsonschema.ErrorKind
}

func (s *Schema) first(v any) *fault {
	var found *jsonschema.ValidationError
	if !errors.As(s.of.Validate(v), &found) {
		return nil
	}
	f := firstOf(found)
	if k, ok := f.kind.(*kind.PropertyNames); ok {
		f.at = only(v, k.Property)
	}
	return f
}

// only is where in v the name stands, and nil where it stands in several places. The
// validator gives no place of a name: what it gives is overwritten by what it looks at
// next.
func only(v any, name string) (at []string) {
	found := 0
	var walk func(v any, path []string)
	walk = func(v any, path []string) {
		switch v := v.(type) {
		case map[string]any:
			for n, inner := range v {
				below := append(slices.Clip(path), n)
				if n == name {
					at, found = below, found+1
				}
				walk(inner, below)
			}
		case []any:
			for i, inner := range v {
				walk(inner, append(slices.Clip(path), strconv.Itoa(i)))
			}
		}
	}
	walk(v, nil)
	if found != 1 {
		return nil
	}
	return at
}

// firstOf is the first fault, in the order of the pointers: the validator finds them in
// the order of a map.
func firstOf(e *jsonschema.ValidationError) *fault {
	var first *fault
	var walk func(*jsonschema.ValidationError)
	walk = func(e *jsonschema.ValidationError) {
		if descends(e) {
			for _, cause := range e.Causes {
				walk(cause)
			}
			return
		}
		if f := faultOf(e); first == nil || f.compare(first) < 0 {
			first = f
		}
	}
	walk(e)
	return first
}

// descends reports whether it is the causes that say what is wrong. Those of a choice say
// only why each of the forms does not fit.
func descends(e *jsonschema.ValidationError) bool {
	switch e.ErrorKind.(type) {
	case *kind.AnyOf, *kind.OneOf, *kind.Not, *kind.Contains, *kind.MinContains, *kind.MaxContains, *kind.PropertyNames:
		return false
	}
	return len(e.Causes) > 0
}

// faultOf points at the field that is missing or too much, and not at the object that
// should, or should not, have it.
func faultOf(e *jsonschema.ValidationError) *fault {
	at := slices.Clone(e.InstanceLocation)
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		at = append(at, slices.Min(k.Missing))
	case *kind.DependentRequired:
		at = append(at, slices.Min(k.Missing))
	case *kind.Dependency:
		at = append(at, slices.Min(k.Missing))
	case *kind.AdditionalProperties:
		at = append(at, slices.Min(k.Properties))
	case *kind.PropertyNames:
		at = nil // see only
	}
	return &fault{at, e.ErrorKind}
}

func (f *fault) compare(g *fault) int {
	return cmp.Or(
		slices.CompareFunc(f.at, g.at, func(a, b string) int {
			n, errN := strconv.Atoi(a)
			m, errM := strconv.Atoi(b)
			if errN == nil && errM == nil {
				return cmp.Compare(n, m)
			}
			return strings.Compare(a, b)
		}),
		strings.Compare(f.sentence(), g.sentence()),
	)
}

func (f *fault) pointer() (p string) {
	for _, name := range f.at {
		p = ltp.Pointer(p, name)
	}
	return p
}

var english = message.NewPrinter(language.English)

// sentence say what to do. Of what the client sent they hold a name at most.
func (f *fault) sentence() string {
	switch k := f.kind.(type) {
	case *kind.Required:
		return "the schema of orders requires this field"
	case *kind.DependentRequired:
		return fmt.Sprintf("the schema of orders requires this field where there is %q", k.Prop)
	case *kind.Dependency:
		return fmt.Sprintf("the schema of orders requires this field where there is %q", k.Prop)
	case *kind.AdditionalProperties, *kind.FalseSchema:
		return "the schema of orders does not allow this: leave it out"
	case *kind.PropertyNames:
		return fmt.Sprintf("the schema of orders does not allow the name %.100q", k.Property)
	case *kind.Type:
		return fmt.Sprintf("the schema of orders asks for %s, and this is %s", strings.Join(article(k.Want), " or "), article([]string{k.Got})[0])
	case *kind.AnyOf, *kind.OneOf:
		return "this must have one of the forms that the schema of orders allows, and has none, or several"
	case *kind.Not:
		return "this has a form that the schema of orders does not allow"
	case *kind.Pattern:
		return fmt.Sprintf("the text must match %s", k.Want)
	case *kind.MinLength:
		return fmt.Sprintf("use at least %s, and not %d", words.Plural(k.Want, "character"), k.Got)
	case *kind.MaxLength:
		return fmt.Sprintf("use at most %s, and not %d", words.Plural(k.Want, "character"), k.Got)
	case *kind.MinItems:
		return fmt.Sprintf("give at least %s, and not %d", words.Plural(k.Want, "element"), k.Got)
	case *kind.MaxItems:
		return fmt.Sprintf("give at most %s, and not %d", words.Plural(k.Want, "element"), k.Got)
	case *kind.MinProperties:
		return fmt.Sprintf("give at least %s, and not %d", words.Plural(k.Want, "field"), k.Got)
	case *kind.MaxProperties:
		return fmt.Sprintf("give at most %s, and not %d", words.Plural(k.Want, "field"), k.Got)
	case *kind.UniqueItems:
		return fmt.Sprintf("give each element once: %d and %d are the same", k.Duplicates[0], k.Duplicates[1])
	case *kind.Minimum:
		return "use a number of at least " + number(k.Want)
	case *kind.Maximum:
		return "use a number of at most " + number(k.Want)
	case *kind.ExclusiveMinimum:
		return "use a number above " + number(k.Want)
	case *kind.ExclusiveMaximum:
		return "use a number below " + number(k.Want)
	case *kind.MultipleOf:
		return "use a multiple of " + number(k.Want)
	case *kind.Contains, *kind.MinContains, *kind.MaxContains:
		return "the elements are not those that the schema of orders asks for"
	case *kind.RefCycle:
		return "the schema of orders refers to itself without end: tell whoever runs the order node"
	}
	return f.kind.LocalizedString(english)
}

func article(kinds []string) []string {
	said := make([]string, len(kinds))
	for i, k := range kinds {
		switch k {
		case "null":
			said[i] = k
		case "array", "object", "integer":
			said[i] = "an " + k
		default:
			said[i] = "a " + k
		}
	}
	return said
}

// number is what a schema says of a number, with all its digits.
func number(r *big.Rat) string {
	if r.IsInt() {
		return r.RatString()
	}
	places, _ := r.FloatPrec()
	return r.FloatString(places)
}
