// Package contract is contract testing: it holds what the HTTP API is asked and answers against its OpenAPI
// document. Tests alone import it: the validator is no part of the product.
package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	problems "github.com/pb33f/libopenapi-validator/errors"
	"github.com/pb33f/libopenapi-validator/responses"
	"github.com/pb33f/libopenapi-validator/schema_validation"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"
	"github.com/pb33f/libopenapi/orderedmap"
)

// Contract is an OpenAPI document that exchanges are held against. It is safe for
// concurrent use.
type Contract struct {
	mu    sync.Mutex // what the validator caches
	model *v3.Document
	// mux matches requests with the paths of the document as the server does.
	mux      *http.ServeMux
	requests validator.Validator
	answers  responses.ResponseBodyValidator
	open     responses.ResponseBodyValidator // for what is any JSON
	// elsewhere answers what no path of the document serves.
	elsewhere *v3.PathItem
}

// New reads a document. It returns an error when the document is not one of OpenAPI 3.1,
// or lacks the answers NotFound and MethodNotAllowed.
func New(document []byte) (*Contract, error) {
	read, err := libopenapi.NewDocument(document)
	if err != nil {
		return nil, fmt.Errorf("the document is not OpenAPI: %w", err)
	}
	built, err := read.BuildV3Model()
	if err != nil {
		return nil, fmt.Errorf("the document is not whole: %w", err)
	}
	requests, errs := validator.NewValidator(read, config.WithFormatAssertions())
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if ok, wrong := requests.ValidateDocument(); !ok {
		return nil, fmt.Errorf("the document breaks OpenAPI 3.1: %w", joined(wrong))
	}
	c := &Contract{model: &built.Model, mux: http.NewServeMux(), requests: requests}
	// An answer may gain members, and the document says so by leaving them open. Those that
	// the API answers today are all described, and so are its headers.
	c.answers = responses.NewResponseBodyValidator(c.model, config.WithFormatAssertions(), config.WithStrictMode(),
		config.WithStrictIgnoredHeadersExtra("X-Content-Type-Options"),
		config.WithStrictIgnorePaths("$.body.receipt.result.**", "$.body.orders[*].receipt.result.**", // the user's own
			"$.body.evidence.facts.**", "$.body.components[*].evidence.facts.**")) // the probe's
	c.open = responses.NewResponseBodyValidator(c.model, config.WithFormatAssertions())
	for path, item := range c.model.Paths.PathItems.FromOldest() {
		for method := range item.GetOperations().FromOldest() {
			c.mux.Handle(strings.ToUpper(method)+" "+path, http.NotFoundHandler())
		}
	}
	codes := orderedmap.New[string, *v3.Response]()
	for code, name := range map[string]string{"404": "NotFound", "405": "MethodNotAllowed"} {
		response, ok := c.model.Components.Responses.Get(name)
		if !ok {
			return nil, fmt.Errorf("the document has no answer components/responses/%s", name)
		}
		codes.Set(code, response)
	}
	c.elsewhere = &v3.PathItem{Get: &v3.Operation{Responses: &v3.Responses{Codes: codes}}}
	return c, nil
}

// Routes are the operations of the document, as patterns of http.ServeMux.
func (c *Contract) Routes() []string {
	var all []string
	for path, item := range c.model.Paths.PathItems.FromOldest() {
		for method := range item.GetOperations().FromOldest() {
			all = append(all, strings.ToUpper(method)+" "+path)
		}
	}
	return all
}

// Accepts reports whether the document accepts a request of an operation that it has.
func (c *Contract) Accepts(request *http.Request, sent []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, pattern := c.mux.Handler(request)
	_, path, found := strings.Cut(pattern, " ")
	item, _ := c.model.Paths.PathItems.Get(path)
	accepted, _ := c.accepts(request, sent, item, path)
	return found && accepted
}

func (c *Contract) accepts(request *http.Request, sent []byte, item *v3.PathItem, path string) (bool, []*problems.ValidationError) {
	asked := request.Clone(request.Context())
	asked.Body, asked.ContentLength = io.NopCloser(bytes.NewReader(sent)), int64(len(sent))
	return c.requests.ValidateHttpRequestSyncWithPathItem(asked, item, path)
}

// problem is what counts here of a problem document.
type problem struct {
	Type   string `json:"type"`
	Detail string `json:"detail"`
}

// Check returns an error when an exchange is not as the document has it: an answer that it
// does not describe, a request that it refuses and the API accepts, or one that it accepts
// and the API calls invalid, unless the reason is in [Beyond]. sent and answered are the
// bodies.
func (c *Contract) Check(request *http.Request, sent []byte, response *http.Response, answered []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, pattern := c.mux.Handler(request)
	method, path, found := strings.Cut(pattern, " ")
	item := c.elsewhere
	if found {
		item, _ = c.model.Paths.PathItems.Get(path)
	} else {
		method = http.MethodGet // the only one elsewhere has
	}

	said := *response
	said.Body = io.NopCloser(bytes.NewReader(answered))
	as := request.Clone(request.Context())
	as.Method = method
	answers := c.answers
	if path == "/openapi.json" { // OpenAPI describes it: see New
		answers = c.open
	}
	if ok, wrong := answers.ValidateResponseBodyWithPathItem(as, &said, item, path); !ok {
		return fmt.Errorf("%s %s: the document does not describe the answer: %w\n%d %v\n%s", request.Method, request.URL, joined(wrong), response.StatusCode, response.Header, answered)
	}
	var p problem
	if response.StatusCode >= 400 {
		if err := json.Unmarshal(answered, &p); err != nil {
			return fmt.Errorf("%s %s: not a problem document: %w", request.Method, request.URL, err)
		}
		if !listed(item, method, response.StatusCode, p.Type) {
			return fmt.Errorf("%s %s: the document does not list %s among the answers %d", request.Method, request.URL, p.Type, response.StatusCode)
		}
	}
	if !found {
		return nil
	}

	accepted, wrong := c.accepts(request, sent, item, path)
	switch {
	case !accepted && response.StatusCode < 300:
		return fmt.Errorf("%s %s: the document refuses what the API accepts: %w\n%s", request.Method, request.URL, joined(wrong), sent)
	case accepted && response.StatusCode == http.StatusBadRequest && invalid(p.Type) && Falls(p.Detail, request.URL.RawQuery, sent) == nil:
		return fmt.Errorf("%s %s: the document accepts what the API refuses: %s\n%s", request.Method, request.URL, p.Detail, sent)
	}
	return nil
}

// Message returns an error when a webhook is not as the document has it: header and body are
// those of the request that an endpoint received.
func (c *Contract) Message(header http.Header, body []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var sent struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(body, &sent); err != nil {
		return fmt.Errorf("a webhook is no JSON: %w", err)
	}
	item, ok := c.model.Webhooks.Get(sent.Type)
	if !ok {
		return fmt.Errorf("the document has no webhook %q", sent.Type)
	}
	schemas := schema_validation.NewSchemaValidator(config.WithFormatAssertions(), config.WithStrictMode())
	media := item.Post.RequestBody.Content.GetOrZero(header.Get("Content-Type"))
	if media == nil {
		return fmt.Errorf("the document has no webhook %s in %q", sent.Type, header.Get("Content-Type"))
	}
	if ok, wrong := schemas.ValidateSchemaBytes(media.Schema.Schema(), body); !ok {
		return fmt.Errorf("the document does not describe the webhook: %w\n%s", joined(wrong), body)
	}
	for _, p := range item.Post.Parameters {
		value, err := json.Marshal(header.Get(p.Name))
		if err != nil {
			return err
		}
		if ok, wrong := schemas.ValidateSchemaBytes(p.Schema.Schema(), value); !ok {
			return fmt.Errorf("the document does not describe the %s of the webhook: %w: %s", p.Name, joined(wrong), value)
		}
	}
	return nil
}

// listed reports whether an answer that the document has, has an example of the type of
// problem.
func listed(item *v3.PathItem, method string, status int, kind string) bool {
	operation := item.GetOperations().GetOrZero(strings.ToLower(method))
	media := operation.Responses.Codes.GetOrZero(strconv.Itoa(status)).Content.GetOrZero("application/problem+json")
	if media == nil || media.Examples == nil {
		return false
	}
	_, ok := media.Examples.Get(strings.TrimPrefix(kind, "/problems/"))
	return ok
}

// invalid reports whether a type of problem says that the request itself is wrong.
func invalid(kind string) bool {
	return kind == "/problems/invalid-json" || kind == "/problems/invalid-order" || kind == "/problems/invalid-request"
}

func joined(wrong []*problems.ValidationError) error {
	var all []error
	for _, w := range wrong {
		all = append(all, w)
	}
	return errors.Join(all...)
}

// Transport is an http.RoundTripper that checks what goes through next, and reports what
// is not as the document has it.
func (c *Contract) Transport(next http.RoundTripper, report func(error)) http.RoundTripper {
	return checked{c, next, report}
}

type checked struct {
	*Contract
	next   http.RoundTripper
	report func(error)
}

func (t checked) RoundTrip(request *http.Request) (*http.Response, error) {
	var sent bytes.Buffer
	if request.Body != nil {
		body := request.Body
		copied := request.Clone(request.Context())
		copied.Body = struct {
			io.Reader
			io.Closer
		}{io.TeeReader(body, &sent), body}
		request = copied
	}
	response, err := t.next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	answered, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil {
		return nil, err
	}
	response.Body = io.NopCloser(bytes.NewReader(answered))
	if err := t.Check(request, sent.Bytes(), response, answered); err != nil {
		t.report(err)
	}
	return response, nil
}
