package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/apikey"
)

// said is what a command prints to its standard output and its standard error.
func said(args ...string) (out, errs string, err error) {
	var to, toErr bytes.Buffer
	cmd := root()
	cmd.SetOut(&to)
	cmd.SetErr(&toErr)
	cmd.SetArgs(args)
	err = cmd.Execute()
	return to.String(), toErr.String(), err
}

// TestKeysAreMadeListedAndRevoked: the secret is printed once, alone, so that a script can
// keep it.
func TestKeysAreMadeListedAndRevoked(t *testing.T) {
	file := filepath.Join(t.TempDir(), "api.keys")
	out, errs, err := said("keys", "create", "--keys", file, "--tenant", "acme", "--role", "customer", "--customer", "c-17", "--name", "web", "--expires", "90d")
	require.NoError(t, err)
	secret := strings.TrimSuffix(out, "\n")
	m := regexp.MustCompile(`^ltp_([a-z2-7]{10})_[A-Za-z0-9_-]{43}$`).FindStringSubmatch(secret)
	require.NotNil(t, m, out)
	assert.NotContains(t, errs, secret)
	f, err := apikey.Read(file)
	require.NoError(t, err)
	require.Len(t, f.Keys, 1)
	k := f.Keys[0]
	assert.Equal(t, []any{m[1], "acme", ltp.CustomerRole, "c-17", "web"}, []any{k.ID, k.Tenant, k.Role, k.Customer, k.Name})
	assert.WithinDuration(t, time.Now().AddDate(0, 0, 90), k.ExpiresAt, time.Hour)

	list, _, err := said("keys", "list", "--keys", file)
	require.NoError(t, err)
	assert.Regexp(t, m[1]+` +good +acme +customer +c-17 +web`, list)
	assert.NotContains(t, list, secret)
	list, _, err = said("keys", "list", "--keys", file, "--format", "json")
	require.NoError(t, err)
	assert.Contains(t, list, `{"id":"`+m[1]+`","state":"good","tenant":"acme","role":"customer","customer":"c-17","name":"web","created_at":"`)
	assert.NotContains(t, list, k.SHA256)
	_, _, err = said("keys", "revoke", "--keys", file, m[1])
	require.NoError(t, err)
	list, _, err = said("keys", "list", "--keys", file)
	require.NoError(t, err)
	assert.Regexp(t, m[1]+` +revoked`, list)
}

func TestKeysThatCouldNotBeAreRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "api.keys")
	for args, says := range map[string]string{
		"create --role root":                                    "--role: use customer, support or operator",
		"create":                                                `required flag(s) "role" not set`,
		"create --role support --customer c-17":                 "--customer: only a key of the role customer",
		"create --role customer --tenant Acme":                  "--tenant: use at most 32 small letters",
		"create --role customer --name é":                       "--name: use at most 64 printable",
		"create --role customer --expires 3":                    "--expires \"3\": say in how long",
		"create --role customer --expires -1h":                  "has not passed",
		"create --role customer --expires 0d":                   "has not passed",
		"create --role customer --expires 2020-01-31T14:30:00Z": "has not passed",
		"list":          "make the first with ltp keys create --keys " + file,
		"revoke nobody": `there is no key "nobody"`,
	} {
		_, _, err := said(append([]string{"keys"}, append(strings.Fields(args), "--keys", file)...)...)
		assert.ErrorContains(t, err, says, args)
	}
	_, err := apikey.Read(file)
	assert.Error(t, err, "nothing was written")
}

// TestPayloadKeysAreWrapped by the key service that is named, and read by whoever names it.
func TestPayloadKeysAreWrapped(t *testing.T) {
	const one, other = "base64key://smGbjm71Nxd1Ig5FS0wj9SlbzAIrnolCz9bQQ6uAhl4=", "base64key://AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	dir := t.TempDir()
	keep := func(name, lines string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(lines), 0o600))
		return path
	}
	plain, _, err := said("payload-key", "p")
	require.NoError(t, err)
	wrapped, _, err := said("payload-key", "k", "--kms", one)
	require.NoError(t, err)
	assert.Regexp(t, `^k wrapped:[A-Za-z0-9+/=]+\n$`, wrapped)
	file := keep("wrapped", wrapped)
	again, _, err := said("payload-key", "--rewrap", file, "--kms", other, "--payload-key-kms", one)
	require.NoError(t, err)
	assert.Regexp(t, `^k wrapped:`, again)
	assert.NotEqual(t, wrapped, again)

	read := func(file, kms string) ([]string, error) {
		a := &app{payloadKey: file, payloadKMS: kms}
		keys, err := a.payloadKeys(t.Context())
		return keys.IDs(), err
	}
	ids, err := read(file, one)
	require.NoError(t, err)
	assert.Equal(t, []string{"k"}, ids)
	ids, err = read(keep("again", again), other)
	require.NoError(t, err)
	assert.Equal(t, []string{"k"}, ids)
	for says, c := range map[string][2]string{
		"name that by --payload-key-kms":                             {file, ""},
		"did not unwrap payload key \"k\"":                           {file, other},
		"line 1 is not wrapped by the key service":                   {keep("plain", plain), one},
		"names a key service, and there are no keys that it wraps":   {"", one},
		"--payload-key-kms: a key service is named by a URL that be": {file, "vault"},
	} {
		_, err := read(c[0], c[1])
		assert.ErrorContains(t, err, says)
	}
	_, _, err = said("payload-key", "--rewrap", file)
	assert.ErrorContains(t, err, "name the key service with --kms")
	t.Setenv("LTP_PAYLOAD_KMS", one)
	wrapped, _, err = said("payload-key")
	require.NoError(t, err)
	assert.Contains(t, wrapped, " wrapped:", "a plain one would be refused everywhere")
}
