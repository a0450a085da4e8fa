// Package payload decides what Temporal stores of orders: JSON that is no longer than it
// must be and, where a key is given, nothing that can be read without it.
//
// Whoever dials Temporal calls [Connect] on the options of its client. From then on what
// is read of Temporal is plain, and readers of histories and memos need no key.
//
// Payloads are encrypted at the connection and not in the data converter, for the sake of
// a worker that lacks a key. A data converter that cannot decode the input of a workflow
// makes the SDK fail the workflow: the worker would end every order that it is given. At
// the connection it is the poll that fails: no order is touched, and a worker that has the
// key takes it over.
//
// An encrypted payload has the metadata encoding, "binary/encrypted", and
// encryption-key-id, the id of its key. Its data are a nonce of 12 bytes, and the payload
// that it was, as Temporal's protobuf message, encrypted with AES-256-GCM; the id of the
// key is the additional data. The message and the stack trace of a failure go into its
// encoded_attributes, as JSON, before they are encrypted. Search attributes are queried,
// and stay as they are: whoever writes a name into one writes its [Keys.Index].
package payload

import (
	"bytes"
	"fmt"
	"strings"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"google.golang.org/grpc"
)

// Connect has a client that is dialled with the options write and read payloads as this
// package says. Without keys it encrypts nothing, and refuses to read what is encrypted.
func Connect(o *client.Options, k *Keys) {
	o.DataConverter = Converter()
	o.ConnectionOptions.DialOptions = append(o.ConnectionOptions.DialOptions, grpc.WithChainUnaryInterceptor(k.intercept))
}

// Converter is the data converter of all clients, workers and readers. It is the SDK's,
// but for its JSON: that has no escapes where JSON needs none. What is written as <, > and
// & takes one byte in place of six.
func Converter() converter.DataConverter { return plain }

var plain = converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), unescaped{})

// unescaped writes JSON without escapes for HTML and JavaScript.
type unescaped struct{}

func (unescaped) Encode(all []*commonpb.Payload) ([]*commonpb.Payload, error) {
	out := make([]*commonpb.Payload, len(all))
	for i, p := range all {
		out[i] = p
		if encoding(p) == converter.MetadataEncodingJSON {
			out[i] = &commonpb.Payload{Metadata: p.GetMetadata(), Data: unescape(p.GetData())}
		}
	}
	return out, nil
}

// Decode refuses what a client without Connect has read.
func (unescaped) Decode(all []*commonpb.Payload) ([]*commonpb.Payload, error) {
	for _, p := range all {
		if encoding(p) == Encoding {
			return nil, &KeyError{ID: string(p.GetMetadata()[KeyID])}
		}
	}
	return all, nil
}

// rawEscapes are the escapes that encoding/json writes for the sake of HTML and JavaScript.
var rawEscapes = map[string]string{"003c": "<", "003e": ">", "0026": "&", "2028": "\u2028", "2029": "\u2029"}

// unescape returns JSON that means the same, with the characters of rawEscapes as they are.
func unescape(data []byte) []byte {
	if !bytes.Contains(data, []byte(`\u`)) {
		return data
	}
	out := make([]byte, 0, len(data))
	for {
		at := bytes.IndexByte(data, '\\') // in JSON there is none outside of strings
		if at < 0 || at+1 >= len(data) {
			return append(out, data...)
		}
		out, data = append(out, data[:at]...), data[at:]
		n := 2 // of an escape such as \n, or \\
		if data[1] == 'u' && len(data) >= 6 {
			n = 6
			if raw, ok := rawEscapes[string(bytes.ToLower(data[2:6]))]; ok {
				out, data = append(out, raw...), data[6:]
				continue
			}
		}
		out, data = append(out, data[:n]...), data[n:]
	}
}

func encoding(p *commonpb.Payload) string { return string(p.GetMetadata()[converter.MetadataEncoding]) }

// KeyError is a payload that cannot be read with the keys that are given.
type KeyError struct {
	ID      string // of the key that the payload was encrypted with
	Given   []string
	Damaged bool // the key is there, and does not fit
}

func (e *KeyError) Error() string {
	switch {
	case e.Damaged:
		return fmt.Sprintf("a payload in Temporal cannot be decrypted with payload key %q: it was changed, or that id names another key", e.ID)
	case len(e.Given) == 0:
		return fmt.Sprintf("payloads in Temporal are encrypted with payload key %q, and no key is given: name the file that holds it (--payload-key or %s)", e.ID, FileVariable)
	}
	return fmt.Sprintf("payloads in Temporal are encrypted with payload key %q, and the key file holds only %s: add that key to it", e.ID, strings.Join(e.Given, ", "))
}
