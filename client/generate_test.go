package client_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestClientIsGeneratedFromTheContract as it stands, by the generator that go generate runs.
func TestClientIsGeneratedFromTheContract(t *testing.T) {
	source, err := os.ReadFile("client.go")
	require.NoError(t, err)
	generator := regexp.MustCompile(`(?m)^//go:generate go run (\S+/cmd/oapi-codegen@\S+) -config oapi-codegen.yaml -o client.gen.go ../api/openapi.json$`).FindSubmatch(source)
	require.NotNil(t, generator, "the go:generate line")
	for _, read := range []string{"../api/openapi.json", "oapi-codegen.yaml"} { // so that go test knows what the result hangs on
		_, err := os.ReadFile(read)
		require.NoError(t, err)
	}
	dir := t.TempDir()
	install := exec.CommandContext(t.Context(), "go", "install", string(generator[1]))
	install.Env = append(os.Environ(), "GOBIN="+dir)
	if said, err := install.CombinedOutput(); err != nil {
		t.Skipf("the generator cannot be fetched: %v\n%s", err, said)
	}
	made := filepath.Join(dir, "client.gen.go")
	said, err := exec.CommandContext(t.Context(), filepath.Join(dir, "oapi-codegen"), "-config", "oapi-codegen.yaml", "-o", made, "../api/openapi.json").CombinedOutput()
	require.NoErrorf(t, err, "%s", said)
	want, err := os.ReadFile(made)
	require.NoError(t, err)
	got, err := os.ReadFile("client.gen.go")
	require.NoError(t, err)
	assert.True(t, string(want) == string(got), "api/openapi.json has changed: run make generate")
}
