package payload_test

import (
	"encoding/base64"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/proto"

	"github.com/ltp-node/ltp/payload"
)

// keysOf makes keys of lines.
func keysOf(t testing.TB, lines ...string) *payload.Keys {
	t.Helper()
	k, err := payload.ParseKeys([]byte(strings.Join(lines, "\n")))
	require.NoError(t, err)
	return k
}

func newKey(t testing.TB, id string) string {
	t.Helper()
	line, err := payload.NewKey(id)
	require.NoError(t, err)
	return line
}

func payloadOf(t testing.TB, value any) *commonpb.Payload {
	t.Helper()
	p, err := payload.Converter().ToPayload(value)
	require.NoError(t, err)
	return p
}

func encrypt(t testing.TB, k *payload.Keys, p *commonpb.Payload) *commonpb.Payload {
	t.Helper()
	all, err := k.Encode([]*commonpb.Payload{p})
	require.NoError(t, err)
	require.Len(t, all, 1)
	return all[0]
}

// TestPayloadsOfARotatedKeyAreStillRead: what was encrypted with a key is read for as long as the key is in the
// file, and what is new is encrypted with the first.
func TestPayloadsOfARotatedKeyAreStillRead(t *testing.T) {
	older, newer := newKey(t, "older"), newKey(t, "newer")
	secret := payloadOf(t, "c-17")
	first := encrypt(t, keysOf(t, older), secret)

	rotated := keysOf(t, newer, older)
	second := encrypt(t, rotated, secret)
	assert.Equal(t, "older", string(first.GetMetadata()[payload.KeyID]))
	assert.Equal(t, "newer", string(second.GetMetadata()[payload.KeyID]))
	all, err := rotated.Decode([]*commonpb.Payload{first, second, secret})
	require.NoError(t, err)
	for _, p := range all {
		assert.True(t, proto.Equal(secret, p))
	}

	_, err = keysOf(t, newer).Decode([]*commonpb.Payload{second, first})
	var missing *payload.KeyError
	require.ErrorAs(t, err, &missing)
	assert.Equal(t, "older", missing.ID)
	assert.ErrorContains(t, err, `"older"`)
	assert.ErrorContains(t, err, "holds only newer:")

	var none *payload.Keys
	_, err = none.Decode([]*commonpb.Payload{first})
	assert.ErrorContains(t, err, `"older", and no key is given`)
	var text string
	assert.ErrorContains(t, payload.Converter().FromPayload(first, &text), `"older"`, "a client that does not decrypt says so, too")
}

// TestEncryptedPayloadRevealsNothingAndCannotBeChanged: the same text is encrypted differently
// each time, and the key that a payload names cannot be changed.
func TestEncryptedPayloadRevealsNothingAndCannotBeChanged(t *testing.T) {
	id, secret, _ := strings.Cut(newKey(t, "one"), " ")
	k := keysOf(t, id+" "+secret, "same "+secret)
	plain := payloadOf(t, map[string]string{"customer": "c-17"})
	p := encrypt(t, k, plain)
	assert.NotContains(t, p.String(), "c-17")
	assert.NotContains(t, p.String(), "json")
	assert.NotEqual(t, p.GetData(), encrypt(t, k, plain).GetData(), "a nonce is used once")
	assert.Equal(t, len(p.GetData()), 12+proto.Size(plain)+16)

	for name, damage := range map[string]func(*commonpb.Payload){
		"another key of the same bytes": func(p *commonpb.Payload) { p.Metadata[payload.KeyID] = []byte("same") },
		"a byte of the text":            func(p *commonpb.Payload) { p.Data[20] ^= 1 },
		"a byte of the nonce":           func(p *commonpb.Payload) { p.Data[0] ^= 1 },
		"cut off":                       func(p *commonpb.Payload) { p.Data = p.Data[:len(p.Data)-1] },
		"nothing left":                  func(p *commonpb.Payload) { p.Data = nil },
	} {
		t.Run(name, func(t *testing.T) {
			p := proto.Clone(p).(*commonpb.Payload)
			damage(p)
			_, err := k.Decode([]*commonpb.Payload{p})
			var damaged *payload.KeyError
			require.ErrorAs(t, err, &damaged)
			assert.True(t, damaged.Damaged)
		})
	}
	_, err := k.Decode([]*commonpb.Payload{p})
	require.NoError(t, err, "what was not changed")
}

func TestKeyFilesThatAreDamagedAreRefused(t *testing.T) {
	const id = "2026-11"
	secret := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32)))
	hexed := hex.EncodeToString([]byte(strings.Repeat("k", 32)))
	k, err := payload.ParseKeys([]byte("# the keys\r\n\r\n  " + id + "\t" + secret + "\r\n" + newKey(t, "")))
	require.NoError(t, err)
	require.Len(t, k.IDs(), 2)
	assert.Equal(t, id, k.IDs()[0], "the first encrypts")

	for name, c := range map[string]struct{ text, want string }{
		"nothing":           {"# none\n", "no key in it"},
		"no id":             {secret, "line 1: write the id"},
		"an id of spaces":   {"a b " + secret, "line 1: write the id"},
		"an id of no use":   {"ä " + secret, "line 1: write the id"},
		"too short":         {"\n" + id + " " + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 31))), "line 2: after the id stand no 32 bytes"},
		"no base64":         {id + " " + strings.Repeat("?", 44), "after the id stand no 32 bytes in base64"},
		"key and id":        {hexed + " " + id, "line 1: after the id"},
		"the same id twice": {id + " " + secret + "\n" + id + " " + secret, "line 2: this key has the id of one above"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := payload.ParseKeys([]byte(c.text))
			require.ErrorContains(t, err, c.want)
			assert.NotContains(t, err.Error(), secret, "an error shows no key")
			assert.NotContains(t, err.Error(), hexed)
		})
	}
	_, err = payload.NewKey("no id")
	assert.ErrorContains(t, err, "no id of a key")
}

// TestKeyFilesThatOthersCanReadAreRefused: files that others can change are refused, too.
func TestKeyFilesThatOthersCanReadAreRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "payload.keys")
	require.NoError(t, os.WriteFile(path, []byte(newKey(t, "one")), 0o600))
	rooted := os.Geteuid() == 0 // and so the owner of the file
	for mode, taken := range map[os.FileMode]bool{
		0o600: true, 0o400: true, 0o440: rooted, 0o640: rooted,
		0o644: false, 0o604: false, 0o660: false, 0o666: false, 0o620: false, 0o610: false, 0o601: false,
	} {
		require.NoError(t, os.Chmod(path, mode))
		k, err := payload.ReadKeys(path)
		if taken {
			require.NoErrorf(t, err, "%04o", mode)
			assert.Equal(t, []string{"one"}, k.IDs())
		} else {
			assert.ErrorContainsf(t, err, "chmod 600", "%04o", mode)
		}
	}
	_, err := payload.ReadKeys(filepath.Join(t.TempDir(), "none"))
	assert.ErrorIs(t, err, os.ErrNotExist)
	_, err = payload.ReadKeys(t.TempDir())
	assert.ErrorContains(t, err, "is a directory")
}
