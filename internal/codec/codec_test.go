package codec_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"

	"github.com/ltp-node/ltp/internal/codec"
	"github.com/ltp-node/ltp/payload"
)

const (
	token  = "0123456789abcdef0123456789abcdef"
	origin = "http://127.0.0.1:8233"
)

// serve serves a codec with a key of the test's.
func serve(t *testing.T) (url string, k *payload.Keys) {
	t.Helper()
	line, err := payload.NewKey("one")
	require.NoError(t, err)
	k, err = payload.ParseKeys([]byte(line))
	require.NoError(t, err)
	s := httptest.NewServer(codec.New(k, token, []string{origin}))
	t.Cleanup(s.Close)
	return s.URL, k
}

// TestTheSDKsRemoteCodecEncodesAndDecodes: Temporal's own client of the protocol encodes and decodes with it, by
// the header and by the path.
func TestTheSDKsRemoteCodecEncodesAndDecodes(t *testing.T) {
	url, k := serve(t)
	plain, err := payload.Converter().ToPayload("<c-17>")
	require.NoError(t, err)
	for name, o := range map[string]converter.RemotePayloadCodecOptions{
		"header": {Endpoint: url, ModifyRequest: func(r *http.Request) error { r.Header.Set("Authorization", "Bearer "+token); return nil }},
		"path":   {Endpoint: url + "/" + token},
	} {
		t.Run(name, func(t *testing.T) {
			remote := converter.NewRemotePayloadCodec(o)
			encrypted, err := remote.Encode([]*commonpb.Payload{plain, plain})
			require.NoError(t, err)
			require.Len(t, encrypted, 2)
			here, err := k.Decode(encrypted)
			require.NoError(t, err)
			assert.Equal(t, plain.GetData(), here[1].GetData())
			there, err := remote.Decode(append(encrypted, plain))
			require.NoError(t, err)
			require.Len(t, there, 3)
			for _, p := range there {
				assert.Equal(t, `"<c-17>"`, string(p.GetData()))
				assert.Equal(t, "json/plain", string(p.GetMetadata()["encoding"]))
			}
		})
	}
}

// ask sends a request as a browser does.
func ask(t *testing.T, method, url string, body io.Reader, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	require.NoError(t, err)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	said, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response, string(said)
}

// TestABrowserOnTemporalUIDecodesPayloads: it sends a preflight request first.
func TestABrowserOnTemporalUIDecodesPayloads(t *testing.T) {
	url, k := serve(t)
	url += "/" + token + "/decode"
	r, said := ask(t, "OPTIONS", url, nil, "Origin", origin, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,content-type,x-namespace")
	assert.Equal(t, http.StatusNoContent, r.StatusCode, said)
	assert.Equal(t, origin, r.Header.Get("Access-Control-Allow-Origin"))
	assert.Equal(t, "POST", r.Header.Get("Access-Control-Allow-Methods"))
	for _, h := range []string{"authorization", "content-type", "x-namespace"} {
		assert.Contains(t, strings.ToLower(r.Header.Get("Access-Control-Allow-Headers")), h)
	}

	p, err := payload.Converter().ToPayload("c-17")
	require.NoError(t, err)
	all, err := k.Encode([]*commonpb.Payload{p})
	require.NoError(t, err)
	type wire struct {
		Metadata map[string][]byte `json:"metadata"`
		Data     []byte            `json:"data"`
	}
	type body struct {
		Payloads []wire `json:"payloads"`
	}
	sent, err := json.Marshal(body{[]wire{{all[0].GetMetadata(), all[0].GetData()}}})
	require.NoError(t, err)
	r, said = ask(t, "POST", url, bytes.NewReader(sent), "Origin", origin, "Content-Type", "application/json", "X-Namespace", "default")
	require.Equal(t, http.StatusOK, r.StatusCode, said)
	assert.Equal(t, origin, r.Header.Get("Access-Control-Allow-Origin"))
	assert.Equal(t, "no-store", r.Header.Get("Cache-Control"))
	assert.Contains(t, r.Header.Values("Vary"), "Origin")
	var got body
	require.NoError(t, json.Unmarshal([]byte(said), &got), said)
	assert.Equal(t, `"c-17"`, string(got.Payloads[0].Data))
	assert.Equal(t, "json/plain", string(got.Payloads[0].Metadata["encoding"]))
}

// TestRequestsWithoutTokenOrFromAnotherPageAreRefused: whoever has no token, comes from another page, or sends what is none of it.
func TestRequestsWithoutTokenOrFromAnotherPageAreRefused(t *testing.T) {
	url, _ := serve(t)
	bearer := []string{"Authorization", "Bearer " + token}
	empty := `{"payloads":[]}`
	for name, c := range map[string]struct {
		method, path, body string
		header             []string
		want               int
	}{
		"good":                      {"POST", "/decode", empty, bearer, 200},
		"no token":                  {"POST", "/decode", empty, nil, 401},
		"another token":             {"POST", "/decode", empty, []string{"Authorization", "Bearer " + token[1:] + "x"}, 401},
		"part of it":                {"POST", "/decode", empty, []string{"Authorization", "Bearer " + token[:31]}, 401},
		"an empty one":              {"POST", "/decode", empty, []string{"Authorization", "Bearer "}, 401},
		"another scheme":            {"POST", "/decode", empty, []string{"Authorization", "Basic " + token}, 401},
		"no scheme":                 {"POST", "/decode", empty, []string{"Authorization", token}, 401},
		"another token in the path": {"POST", "/" + token[1:] + "x/decode", empty, nil, 401},
		"no token for encode":       {"POST", "/encode", empty, nil, 401},
		"another page":              {"POST", "/decode", empty, append([]string{"Origin", "http://127.0.0.1:8234"}, bearer...), 403},
		"another page asks first":   {"OPTIONS", "/decode", "", []string{"Origin", "https://evil.example"}, 403},
		"a page of a file":          {"POST", "/decode", empty, append([]string{"Origin", "null"}, bearer...), 403},
		"a GET":                     {"GET", "/decode", "", bearer, 405},
		"another path":              {"POST", "/", empty, bearer, 404},
		"a path that ends so":       {"POST", "/a/b/decode", empty, bearer, 404},
		"no JSON":                   {"POST", "/decode", "tea", bearer, 400},
		"a key that is not here":    {"POST", "/decode", `{"payloads":[{"metadata":{"encoding":"YmluYXJ5L2VuY3J5cHRlZA==","encryption-key-id":"dHdv"},"data":""}]}`, bearer, 400},
		"too much":                  {"POST", "/decode", strings.Repeat(" ", 16<<20+1), bearer, 413},
		"too much, and no token":    {"POST", "/decode", strings.Repeat(" ", 16<<20+1), nil, 401},
	} {
		t.Run(name, func(t *testing.T) {
			r, said := ask(t, c.method, url+c.path, strings.NewReader(c.body), c.header...)
			assert.Equal(t, c.want, r.StatusCode, said)
			assert.NotContains(t, said, token)
			if c.want == 403 {
				assert.Empty(t, r.Header.Get("Access-Control-Allow-Origin"))
			}
			if name == "a key that is not here" {
				assert.Contains(t, said, `payload key "two"`)
			}
		})
	}
}
