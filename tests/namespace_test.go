package tests

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp/starter"
)

// TestANamespaceThatIsMissingIsMadeOnce: it can be set up as soon as it was made, and
// another call leaves it as it is.
func TestANamespaceThatIsMissingIsMadeOnce(t *testing.T) {
	r := newRig(t)
	_, err := starter.Setup(r.Ctx, r.Client, "shop")
	assert.ErrorContains(t, err, "namespace shop is not there: make it with ltp setup --retention 720h")

	made, err := starter.MakeNamespace(r.Ctx, r.Client, "shop", 48*time.Hour)
	require.NoError(t, err)
	assert.True(t, made)
	added, err := starter.Setup(r.Ctx, r.Client, "shop")
	require.NoError(t, err)
	assert.Len(t, added, len(starter.SearchAttributes()))

	made, err = starter.MakeNamespace(r.Ctx, r.Client, "shop", 72*time.Hour)
	require.NoError(t, err)
	assert.False(t, made)
	_, err = starter.MakeNamespace(r.Ctx, r.Client, "other", time.Second)
	assert.Error(t, err, "Temporal takes a day at least")
}
