package tests

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp/internal/link"
)

// newLink makes a link to an address, which the test can cut.
func newLink(t *testing.T, to string) *link.Link {
	t.Helper()
	l, err := link.New(to)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, l.Close()) })
	return l
}
