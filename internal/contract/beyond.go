package contract

import "regexp"

// Exception is a reason to call a request invalid that JSON Schema cannot express.
type Exception struct {
	// Name says what is wrong with the request, Why what the schema cannot say.
	Name, Why string
	// detail is what the problem says, holds what query and body hold; nil is anything.
	detail, holds *regexp.Regexp
}

// Beyond are all such reasons. The API may call nothing else invalid that the document
// accepts.
var Beyond = []Exception{
	{"a body that breaks off", "what came may be an order",
		regexp.MustCompile(`The body ended early`), nil},
	{"a field twice", "a schema sees the object after it was read, when one of the two has won",
		regexp.MustCompile(`give each field once|\btwice\b`), nil},
	{"a whole number with a fraction or an exponent", "to JSON Schema 2.0 and 1e2 are integers",
		regexp.MustCompile(`whole number`), regexp.MustCompile(`\d\.0*[\s,}\]]|\d[eE][-+]?\d`)},
	{"text of more bytes than characters", "maxLength counts characters, and databases bound bytes",
		regexp.MustCompile(`256 bytes`), regexp.MustCompile(`[^\x00-\x7f]`)},
	{"a total out of bounds", "a schema does not add up",
		regexp.MustCompile(`total|a line exceeds`), nil},
	{"a deadline out of bounds", "a schema does not compare times",
		regexp.MustCompile(`years 1970 to 9999`), nil},
	{"attributes out of bounds", "a schema counts neither bytes nor levels nor digits",
		regexp.MustCompile(`(?i)attributes|levels|digits`), nil},
	{"a query that cannot be read", "parameters are described after they were read",
		regexp.MustCompile(`The query is malformed`), nil},
	{"a parameter twice", "of a parameter that is no array, OpenAPI sees one",
		regexp.MustCompile(`give each parameter once`), nil},
	{"an unknown parameter", "OpenAPI describes the parameters there are, and forbids no others",
		regexp.MustCompile(`there is no such parameter`), nil},
	{"an id that stands for an Idempotency-Key", "a schema has no pattern for what is left free",
		regexp.MustCompile(`ids of this form`), regexp.MustCompile(`key-[0-9a-f]{32}`)},
	{"a page token that is not of this listing", "a schema checks no checksum",
		regexp.MustCompile(`send the next_page_token of the page before`), nil},
	{"an empty header", "the validator takes it for one that was not sent",
		regexp.MustCompile(`or leave the header out`), nil},
	{"an order that the operator's schema does not allow", "that schema is the operator's own, and no part of the contract",
		regexp.MustCompile(`the schema of orders|the text must match|, and not \d|give each element once|use a number |use a multiple `), nil},
	{"a header twice", "of a header that is no array, OpenAPI sees one",
		regexp.MustCompile(`send the header once`), nil},
}

// Falls is the exception that a refusal falls under, by what the problem says and what query
// and body hold; nil where there is none.
func Falls(detail, query string, body []byte) *Exception {
	holds := append([]byte(query+"\n"), body...)
	for i, e := range Beyond {
		if e.detail.MatchString(detail) && (e.holds == nil || e.holds.Match(holds)) {
			return &Beyond[i]
		}
	}
	return nil
}
