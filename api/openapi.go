package api

import (
	_ "embed"
	"net/http"
)

// The contracts of what customers and what operators are served, in OpenAPI 3.1. They are
// written by hand, and the tests hold them against the routes, the problems, the bounds of
// orders and every answer.
var (
	//go:embed openapi.json
	openAPI []byte
	//go:embed openapi-admin.json
	adminOpenAPI []byte
)

// OpenAPI is the document that GET /openapi.json serves customers, as JSON. It must not be
// changed.
func OpenAPI() []byte { return openAPI }

// AdminOpenAPI is the document that GET /openapi.json serves operators, as JSON. It must not
// be changed.
func AdminOpenAPI() []byte { return adminOpenAPI }

// document serves the contract: GET /openapi.json.
func (s *surface) document(w http.ResponseWriter, _ *http.Request) *problem {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(s.contract)
	return nil
}
