package keyservice_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp/internal/keyservice"
	"github.com/ltp-node/ltp/payload"
)

const (
	one   = "base64key://smGbjm71Nxd1Ig5FS0wj9SlbzAIrnolCz9bQQ6uAhl4="
	other = "base64key://AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
)

func open(t *testing.T, url string) *keyservice.Service {
	t.Helper()
	s, err := keyservice.Open(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

func file(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "payload.keys")
	require.NoError(t, os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
	return path
}

func line(t *testing.T, id string) string {
	t.Helper()
	l, err := payload.NewKey(id)
	require.NoError(t, err)
	return l
}

// TestWrappedKeysAreThoseThatWereWrapped: what the plain ones have encrypted, they decrypt;
// the file shows none of them.
func TestWrappedKeysAreThoseThatWereWrapped(t *testing.T) {
	for _, url := range services(t) {
		s := open(t, url)
		plain := []string{line(t, "new"), line(t, "old")}
		before, err := payload.ParseKeys([]byte(strings.Join(plain, "\n")))
		require.NoError(t, err)
		wrapped := []string{"# ours"}
		for _, l := range plain {
			w, err := s.Wrap(t.Context(), l)
			require.NoError(t, err)
			assert.NotContains(t, w, strings.Fields(l)[1])
			wrapped = append(wrapped, w)
		}
		path := file(t, wrapped...)
		after, err := s.ReadKeys(t.Context(), path)
		require.NoError(t, err)
		assert.Equal(t, []string{"new", "old"}, after.IDs())
		encrypted, err := before.Encode([]*commonpb.Payload{{Data: []byte("secret")}})
		require.NoError(t, err)
		decrypted, err := after.Decode(encrypted)
		require.NoError(t, err)
		assert.Equal(t, "secret", string(decrypted[0].GetData()))

		// Whoever does not name the service gets an error that says so.
		_, err = payload.ReadKeys(path)
		assert.ErrorContains(t, err, "--payload-key-kms")
	}
}

// services are those at hand: a key in the URL and, where LTP_TEST_VAULT_KEY names a key of the
// transit engine at VAULT_ADDR, Vault.
func services(t *testing.T) []string {
	if key := os.Getenv("LTP_TEST_VAULT_KEY"); key != "" {
		return []string{one, "hashivault://" + key}
	}
	t.Log("without Vault: set LTP_TEST_VAULT_KEY, VAULT_ADDR and VAULT_TOKEN")
	return []string{one}
}

// TestWrappingKeyIsReplaced: a file goes over from plain to one service and to another, and
// holds the same keys.
func TestWrappingKeyIsReplaced(t *testing.T) {
	plain := "  # ours\n#\n# wrapped:AAAA\n#old wrapped:???\n" + line(t, "a") + "\n\n" + line(t, "b") + "\n"
	var none *keyservice.Service
	first, err := none.Rewrap(t.Context(), []byte(plain), open(t, one))
	require.NoError(t, err)
	second, err := open(t, one).Rewrap(t.Context(), []byte(first), open(t, other))
	require.NoError(t, err)
	assert.Contains(t, second, "  # ours\n#\n# wrapped:AAAA\n#old wrapped:???\n")
	back, err := open(t, other).Unwrap(t.Context(), []byte(second))
	require.NoError(t, err)
	assert.Equal(t, plain, string(back))
	_, err = none.Rewrap(t.Context(), []byte(first), open(t, other))
	assert.ErrorContains(t, err, "--payload-key-kms", "what unwraps it was not named")
}

// TestCommentWithAPlainKeyIsRefused: the file would hold a secret all the same.
func TestCommentWithAPlainKeyIsRefused(t *testing.T) {
	s := open(t, one)
	secret := line(t, "old")
	good, err := s.Wrap(t.Context(), line(t, "new"))
	require.NoError(t, err)
	for _, comment := range []string{"# " + secret, "#" + secret, "  # was: " + secret + " until May", "#" + strings.Fields(secret)[1]} {
		_, err := s.ReadKeys(t.Context(), file(t, good, comment))
		if assert.ErrorContains(t, err, "line 2: this comment holds 32 bytes in base64", comment) {
			assert.NotContains(t, err.Error(), strings.Fields(secret)[1])
		}
		_, err = s.Rewrap(t.Context(), []byte(good+"\n"+comment+"\n"), open(t, other))
		assert.ErrorContains(t, err, "line 2: this comment", comment)
	}
	_, err = s.ReadKeys(t.Context(), file(t, good, "# "+good, "# wrapped by the key of May, see https://wiki.example.com/keys"))
	assert.NoError(t, err, "what is wrapped is no secret")
}

// TestKeysThatTheServiceDidNotWrapAreRefused with the line, and without a key.
func TestKeysThatTheServiceDidNotWrapAreRefused(t *testing.T) {
	s := open(t, one)
	plain := line(t, "a")
	good, err := s.Wrap(t.Context(), plain)
	require.NoError(t, err)
	for says, lines := range map[string][]string{
		"line 2 is not wrapped":                         {good, line(t, "b")},
		`did not unwrap payload key "a"`:                {good[:len(good)-8] + "AAAAAAA="},
		`another key than "b"`:                          {"b" + good[1:]},
		"stands no base64":                              {"a wrapped:???"},
		"there is no key in it":                         {"# none"},
		"line 2: this key has the id of one above":      {good, good},
		"line 1 is not wrapped":                         {"a wrapped: " + good},
		`line 1: the key service base64key did not unw`: {"a wrapped:AAAA"},
	} {
		_, err := s.ReadKeys(t.Context(), file(t, lines...))
		if assert.ErrorContains(t, err, says) {
			assert.NotContains(t, err.Error(), strings.Fields(plain)[1])
			assert.NotContains(t, err.Error(), "smGbjm71")
		}
	}
	_, err = open(t, other).ReadKeys(t.Context(), file(t, good))
	assert.ErrorContains(t, err, "check that it is the one that wrapped the key")
	for _, url := range []string{"", "ltp", "https://kms.example", "base64key://", "base64key://AAAA", "vault://x", "awskms://%zz"} {
		_, err := keyservice.Open(t.Context(), url)
		if assert.Error(t, err, url) {
			assert.NotContains(t, err.Error(), "AAAA")
		}
	}
	for path, ok := range map[string]bool{"/keys/k": false, "/keys/k/": false, "": false, "/keys/k/v/x": false, "/keys/k/v": true} {
		_, err := keyservice.Open(t.Context(), "azurekeyvault://v.vault.azure.net"+path)
		assert.Equal(t, !ok, err != nil && strings.Contains(err.Error(), "/keys/KEY/VERSION"), "%s: %v", path, err)
	}
	loose := file(t, good)
	require.NoError(t, os.Chmod(loose, 0o644))
	_, err = s.ReadKeys(t.Context(), loose)
	assert.ErrorContains(t, err, "chmod 600", "the file is kept as one of plain keys is")
}

// deaf listens, and whoever connects is never answered. There is one, and it stays: the client
// of Vault keeps the address that it has once read.
var deaf = sync.OnceValues(func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") })

// TestServiceThatHangsIsGivenUp when the time that it was given has passed.
func TestServiceThatHangsIsGivenUp(t *testing.T) {
	if os.Getenv("LTP_TEST_VAULT_KEY") != "" {
		t.Skip("the Vault of the environment answers")
	}
	ln, err := deaf()
	require.NoError(t, err)
	t.Setenv("VAULT_ADDR", "http://"+ln.Addr().String())
	t.Setenv("VAULT_TOKEN", "token")
	s := open(t, "hashivault://ltp")
	late := errors.New("it took too long")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, late)
	defer cancel()
	_, err = s.ReadKeys(ctx, file(t, "a wrapped:AAAA"))
	assert.ErrorIs(t, err, late)
	assert.ErrorContains(t, err, `the key service hashivault://ltp did not unwrap payload key "a"`)
}
