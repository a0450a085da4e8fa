package faults

import (
	"os"
	"os/exec"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestEveryFaultOfTheTableHasItsTest: what README.md names is there.
func TestEveryFaultOfTheTableHasItsTest(t *testing.T) {
	table, err := os.ReadFile("README.md")
	require.NoError(t, err)
	named := regexp.MustCompile("`(Test\\w+)`").FindAllSubmatch(table, -1)
	require.Greater(t, len(named), 20)
	for _, name := range named {
		found := exec.Command("grep", "-rlw", "--include=*_test.go", "func "+string(name[1]), "../..")
		assert.NoErrorf(t, found.Run(), "%s is nowhere", name[1])
	}
}
