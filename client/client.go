// Package client is a client of the HTTP order API, generated from its contract,
// api/openapi.json. Use it where an order comes from another process than one that talks
// to Temporal; that one has package starter.
//
// [NewClientWithResponses] makes one. Every method returns an error only when no answer
// came. An answer is in the field of its status, such as JSON201 and JSON202 of
// [SubmitOrderResponse], and an error in one such as ApplicationProblemJSON422: its Type
// says what kind of problem it is, its Detail what to do. Of the fields all but one are
// nil. A submission without an answer, or answered 429, 500 or 503, may be sent again
// under the id of the order: an order never acts twice under one id.
//
// Where the API asks for a key, [WithRequestEditorFn] shows it with every request: see the
// example of it.
//
// The generator reads OpenAPI 3.1 as it is, types the answers of every status with their
// headers, and needs one small package at run time.
package client

//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 -config oapi-codegen.yaml -o client.gen.go ../api/openapi.json
