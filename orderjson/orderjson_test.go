package orderjson_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/orderjson"
)

const plain = `{"id":"A2","customer":"c","currency":"USD","lines":[{"sku":"a","quantity":1,"unit_amount_minor":1}]}`

// with is an order with one member more.
func with(member string) string { return strings.TrimSuffix(plain, "}") + "," + member + "}" }

func TestOrderIsReadAsItWasWritten(t *testing.T) {
	o, err := orderjson.Read([]byte(` {"id":"A2","customer":"Łódź \"7\"","currency":"PLN","risk":"high",
		"depends_on":["orders-db","stock"],"deadline":"2030-01-31T12:00:00.5+02:00","priority":5,"ordering_key":"c-17",
		"attributes":{"total":12345678901234567890,"b":{"x":1.10},"a":[null]},
		"lines":[{"unit_amount_minor":9007199254740991,"quantity":1,"sku":"\ud83c\udf75","name":"tea","attributes":{}},
			{"sku":"off","quantity":2,"unit_amount_minor":-1,"attributes":null}]} `))
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"id":"A2","customer":"Łódź \"7\"","currency":"PLN","lines":[` +
		`{"sku":"🍵","name":"tea","quantity":1,"unit_amount_minor":9007199254740991,"attributes":{}},` +
		`{"sku":"off","quantity":2,"unit_amount_minor":-1}],` +
		`"risk":"high","depends_on":["orders-db","stock"],"deadline":"2030-01-31T10:00:00.5Z","priority":5,"ordering_key":"c-17",` +
		`"attributes":{"a":[null],"b":{"x":1.1},"total":12345678901234567890}}`
	if string(data) != want {
		t.Errorf("read  %s\nwrote %s", data, want)
	}
}

func TestNullCountsAsLeftOut(t *testing.T) {
	bare, _ := orderjson.Read([]byte(plain))
	o, err := orderjson.Read([]byte(with(`"risk":null,"depends_on":null,"deadline":null,"priority":null,"ordering_key":null,"attributes":null`)))
	if err != nil || o.ContentHash() != bare.ContentHash() {
		t.Errorf("read %+v, %v", o, err)
	}
}

func TestWhatIsNoOrderIsRefusedByKind(t *testing.T) {
	for _, text := range []string{"", " ", "null", "[]", plain + "{}", "{\"id\":\"\xff\"}", `{"id":}`} {
		if _, err := orderjson.Read([]byte(text)); !errors.As(err, new(*orderjson.MalformedError)) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for text, field := range map[string]string{
		`{"id":"CL1","ID":"CL2"}`: "/ID", `{"id":"CL1","id":"CL2"}`: "/id", `{"a/b":1}`: "/a~1b",
		`{"customer":"\ud800"}`: "/customer", `{"lines":[{"price":1}]}`: "/lines/0/price",
		`{"lines":[{"attributes":{"x":{"\u0079":1,"y":2}}}]}`: "/lines/0/attributes/x/y",
	} {
		var invalid *ltp.InvalidError
		if _, err := orderjson.Read([]byte(text)); !errors.As(err, &invalid) || invalid.Field != field {
			t.Errorf("%s: %v, want %s", text, err, field)
		}
	}
}

func TestFilesHaveABound(t *testing.T) {
	if _, err := orderjson.ReadAll(strings.NewReader(strings.Repeat(" ", orderjson.MaxBytes))); err != nil {
		t.Error(err)
	}
	if _, err := orderjson.ReadAll(strings.NewReader(strings.Repeat(" ", orderjson.MaxBytes+1))); !errors.Is(err, orderjson.ErrTooLarge) {
		t.Error(err)
	}
}

// FuzzRead holds the reader against encoding/json: whatever it accepts reads the same
// there, and nothing makes it panic.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		plain, with(`"risk":"high","depends_on":["a","b"],"deadline":"2030-01-31T12:00:00Z"`), with(`"risk":null`),
		with(`"attributes":{"a":[1.10,{"b":"\ud83c\udf75"}]}`), with(`"attributes":{"a":1,"a":2}`), with(`"attributes":null`),
		`{"lines":[{}]}`, `{"lines":[null]}`, "{}", "null", "[]", `{"id":"A2","id":"A3"}`, `{"ID":"A2"}`,
		`{"lines":[[]]}`, `{"lines":[{"quantity":1e9,"attributes":{"n":1e400}}]}`, `{"customer":"\ud800"}`, `{"deadline":"9999-12-31T23:59:59-23:00"}`,
		"{\"id\":\"\xff\"}", "\ufeff{}", `{"id":"A2"}{}`, `{"id":"A2",}`, `{"quantity":` + "-0}", strings.Repeat("[", 99),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := orderjson.Read(data)
		if err != nil {
			if err.Error() == "" {
				t.Error("refused without a word")
			}
			return
		}
		var reference ltp.Order
		if err := json.Unmarshal(data, &reference); err != nil {
			t.Fatalf("accepts what encoding/json refuses: %v", err)
		}
		if o.Validate() == nil && o.ContentHash() != reference.ContentHash() {
			t.Errorf("reads %+v, encoding/json %+v", o, reference)
		}
	})
}
