package memo_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"

	"github.com/ltp-node/ltp/internal/memo"
)

func TestAMemoFieldIsReadAndAnAbsentOneIsNoError(t *testing.T) {
	p, err := converter.GetDefaultDataConverter().ToPayload("Pack")
	require.NoError(t, err)
	m := &commonpb.Memo{Fields: map[string]*commonpb.Payload{"execution": p}}
	var activity string
	found, err := memo.Read(m, "execution", &activity)
	require.NoError(t, err)
	assert.True(t, found)
	assert.Equal(t, "Pack", activity)

	var n int
	found, err = memo.Read(m, "execution", &n)
	assert.True(t, found)
	assert.ErrorContains(t, err, "memo execution is damaged")

	for _, none := range []*commonpb.Memo{m, nil} {
		found, err = memo.Read(none, "orientation", &n)
		assert.False(t, found)
		assert.NoError(t, err)
	}
}
