package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestAPrivateKeyIsNeverPrinted where the public one is wanted, and each key is distinguished from
// the other.
func TestAPrivateKeyIsNeverPrinted(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	_, _, err := said("trace", "keygen", "--key", in("trace.key"))
	require.NoError(t, err)
	private, err := os.ReadFile(in("trace.key"))
	require.NoError(t, err)
	secret := strings.TrimSpace(string(private))
	for _, command := range [][]string{{"verify", "x.jsonl"}, {"prove", "--order", "A2", "x.jsonl"}, {"verify-proof", "x.tlog-proof"}} {
		for _, key := range []string{in("trace.key"), secret} {
			out, errs, err := said(append(append([]string{"trace"}, command...), "--key", key)...)
			require.ErrorContains(t, err, "the private key")
			assert.ErrorContains(t, err, "trace.pub")
			assert.NotContains(t, out+errs+err.Error(), secret[len(secret)-20:])
		}
		_, _, err := said(append(append([]string{"trace"}, command...), "--key", in("none"))...)
		assert.ErrorContains(t, err, "--key takes the public key, or a file that holds it")
	}
	_, _, err = said("trace", "export", "--key", in("trace.pub"))
	require.ErrorContains(t, err, "holds the public key")
	assert.NotContains(t, err.Error(), "chmod")
}
