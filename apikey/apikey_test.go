package apikey_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/apikey"
)

// made makes a key in a file.
func made(t *testing.T, file string, k apikey.Key) (_ apikey.Key, secret string) {
	t.Helper()
	var key apikey.Key
	require.NoError(t, apikey.Change(file, func(f *apikey.File) (err error) {
		key, secret, err = f.Create(k, time.Now())
		return err
	}))
	return key, secret
}

// TestFileKnowsWhoShowsASecret, and holds no secret.
func TestFileKnowsWhoShowsASecret(t *testing.T) {
	file := filepath.Join(t.TempDir(), "api.keys")
	bounds := ltp.Bounds{FirstPriority: 1, DependsOn: []string{"payments"}}
	require.NoError(t, apikey.Change(file, func(f *apikey.File) error {
		f.Tenants = map[string]ltp.Bounds{"acme": bounds, "": {Risk: true}}
		return nil
	}))
	web, secret := made(t, file, apikey.Key{Tenant: "acme", Role: ltp.CustomerRole, Customer: "c-17", Name: "web"})
	ops, other := made(t, file, apikey.Key{Role: ltp.OperatorRole})
	assert.Regexp(t, `^ltp_`+web.ID+`_[A-Za-z0-9_-]{43}$`, secret)
	assert.NotEqual(t, secret[len(secret)-43:], other[len(other)-43:])
	info, err := os.Stat(file)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	for _, s := range []string{secret, other} {
		assert.NotContains(t, string(data), s[len(s)-43:])
		sum := sha256.Sum256([]byte(s))
		assert.Contains(t, string(data), hex.EncodeToString(sum[:]))
	}

	keys, err := apikey.Open(file, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	who, err := keys.Identify(t.Context(), secret)
	require.NoError(t, err)
	assert.Equal(t, ltp.Identity{Tenant: "acme", Role: ltp.CustomerRole, Customer: "c-17", Name: web.ID, Bounds: bounds}, who)
	who, err = keys.Identify(t.Context(), other)
	require.NoError(t, err)
	assert.Equal(t, ltp.Identity{Role: ltp.OperatorRole, Name: ops.ID, Bounds: ltp.Bounds{Risk: true}}, who)
	rapid.Check(t, func(t *rapid.T) { // one byte is another
		wrong := []byte(secret)
		at := rapid.IntRange(0, len(wrong)-1).Draw(t, "at")
		wrong[at] = rapid.Byte().Filter(func(b byte) bool { return b != wrong[at] }).Draw(t, "byte")
		if who, err := keys.Identify(t.Context(), string(wrong)); err == nil || who.Role != "" {
			t.Fatalf("%q is %+v", wrong, who)
		} else if strings.Contains(err.Error(), secret[15:]) {
			t.Fatal("the error quotes the secret")
		}
	})
	for _, wrong := range []string{"", "ltp_", secret[:len(secret)-1], secret + "A", " " + secret, strings.Replace(secret, web.ID, ops.ID, 1), strings.ToUpper(secret)} {
		_, err := keys.Identify(t.Context(), wrong)
		assert.ErrorIs(t, err, apikey.ErrUnknown, "%q", wrong)
	}
}

// TestKeyEndsWhenItExpiresOrIsRevoked: the key that follows it is good beside it.
func TestKeyEndsWhenItExpiresOrIsRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "api.keys")
		old, first := made(t, file, apikey.Key{Role: ltp.SupportRole, ExpiresAt: time.Now().Add(time.Hour)})
		keys, err := apikey.Open(file, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		good := func(secret, says string) {
			t.Helper()
			time.Sleep(time.Second) // until the file is looked at again
			_, err := keys.Identify(t.Context(), secret)
			if says == "" {
				assert.NoError(t, err)
			} else {
				assert.ErrorContains(t, err, says)
			}
		}
		next, second := made(t, file, apikey.Key{Role: ltp.SupportRole})
		good(first, "")
		good(second, "")
		time.Sleep(time.Hour)
		good(first, old.ID+" expired at "+old.ExpiresAt.Format(time.RFC3339))
		good(second, "")
		revoke := func(id string) error {
			return apikey.Change(file, func(f *apikey.File) error { _, err := f.Revoke(id, time.Now()); return err })
		}
		require.NoError(t, revoke(next.ID))
		good(second, next.ID+" was revoked")
		assert.ErrorContains(t, revoke(next.ID), "was revoked before")
		assert.ErrorContains(t, revoke("nobody"), "there is no key")
	})
}

// TestDamagedFileKeepsTheKeysOfBefore, and the log says so once; a file that can be read
// again counts.
func TestDamagedFileKeepsTheKeysOfBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "api.keys")
		_, secret := made(t, file, apikey.Key{Role: ltp.SupportRole})
		var said bytes.Buffer
		keys, err := apikey.Open(file, slog.New(slog.NewTextHandler(&said, nil)))
		require.NoError(t, err)
		good := func() bool {
			time.Sleep(time.Second)
			_, err := keys.Identify(t.Context(), secret)
			return err == nil
		}
		whole, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, damage := range []func() error{
			func() error { return os.WriteFile(file, whole[:len(whole)/2], 0o600) },
			func() error { return os.WriteFile(file, nil, 0o600) },
			func() error { return os.Remove(file) },
			func() error { return os.WriteFile(file, whole, 0o600) },
			func() error { return os.Chmod(file, 0o644) },
		} {
			said.Reset()
			require.NoError(t, damage())
			for range 2 {
				assert.True(t, good())
			}
			assert.LessOrEqual(t, strings.Count(said.String(), "level=WARN"), 1, "%s", &said)
		}
		assert.Contains(t, said.String(), "the keys of before stay")
		assert.Contains(t, said.String(), "chmod 600")
		require.NoError(t, os.Chmod(file, 0o600))
		require.NoError(t, os.WriteFile(file, []byte(`{"keys":[]}`), 0o600))
		assert.False(t, good())
	})
}

func TestFilesThatAreNoneAreRefused(t *testing.T) {
	const hash = "0000000000000000000000000000000000000000000000000000000000000000"
	key := func(members string) string {
		return fmt.Sprintf(`{"keys":[{"id":"abcdefgh23","sha256":"%s","role":"customer","created_at":"2026-11-27T00:00:00Z"%s}]}`, hash, members)
	}
	changed := func(from, to string) string { return strings.Replace(key(""), from, to, 1) }
	_, err := apikey.Parse([]byte(key("")))
	require.NoError(t, err)
	for text, says := range map[string]string{
		"": "no file of keys", "[]": "no file of keys", `{"keys":[]}{}`: "after the object", `{"secrets":[]}`: "unknown field",
		key(`,"scope":"all"`):                         "unknown field",
		changed(`"role":"customer"`, `"role":"root"`): "role: use customer, support or operator",
		key(`,"tenant":"A"`):                          "key 1: tenant",
		key(`,"name":"a\nb"`):                         "name",
		changed(`"role":"customer"`, `"role":"support","customer":"c"`): "customer",
		changed(`"id":"abcdefgh23"`, `"id":"x"`):                        "its id is none of ltp keys create",
		changed(hash, "ABCD"):                                           "no SHA-256",
		key(`,"Role":"operator"`):                                       `"Role" stands there twice`,
		`{"keys":[],"keys":[]}`:                                         `"keys" stands there twice`,
		"null":                                                          "null is no object",
		key(`,"expires_at":"x"`):                                        "no file of keys",
		strings.Replace(key(""), "]", ","+strings.TrimSuffix(strings.TrimPrefix(key(""), `{"keys":[`), `}`), 1): "that of a key above",
		`{"tenants":{"A":{}}}`:                    `tenant "A"`,
		`{"tenants":{"a":{"first_priority":9}}}`:  "first_priority",
		`{"tenants":{"a":{"max_priority":1}}}`:    "unknown field",
		`{"tenants":{"a":{"depends_on":["No"]}}}`: "names no component",
	} {
		_, err := apikey.Parse([]byte(text))
		assert.ErrorContains(t, err, says, "%s", text)
	}
}

// TestChangesAtTheSameTimeAreAllMade, and whoever reads meanwhile finds a whole file. The
// file that a link leads to is changed, and the link stays.
func TestChangesAtTheSameTimeAreAllMade(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "real.keys"), filepath.Join(dir, "link.keys")
	made(t, file, apikey.Key{Role: ltp.SupportRole})
	require.NoError(t, os.Symlink("real.keys", link))
	var all sync.WaitGroup
	const changes = 16
	for range changes {
		all.Go(func() {
			err := apikey.Change(link, func(f *apikey.File) error {
				_, _, err := f.Create(apikey.Key{Role: ltp.SupportRole}, time.Now())
				return err
			})
			assert.NoError(t, err)
		})
		all.Go(func() {
			_, err := apikey.Read(link)
			assert.NoError(t, err)
		})
	}
	all.Wait()
	f, err := apikey.Read(file)
	require.NoError(t, err)
	assert.Len(t, f.Keys, 1+changes)
	info, err := os.Lstat(link)
	require.NoError(t, err)
	assert.NotZero(t, info.Mode()&os.ModeSymlink)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, entries, 2, "nothing else is left")
}
