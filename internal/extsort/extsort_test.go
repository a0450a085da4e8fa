package extsort_test

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ltp-node/ltp/internal/extsort"
)

type record struct{ key, data string }

// TestRecordsComeInOrderWhateverFitsInMemory, also where some are taken while others come.
func TestRecordsComeInOrderWhateverFitsInMemory(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		s := &extsort.Sorter{Dir: dir, Most: rapid.SampledFrom([]int{1, 300, 2000, 1 << 20}).Draw(t, "bytes in memory")}
		defer s.Close()
		var waits, taken, want []record
		take := func(key string) {
			for r, err := range s.Below(key) {
				require.NoError(t, err)
				taken = append(taken, record{r.Key, string(r.Data)})
			}
			slices.SortFunc(waits, func(a, b record) int { return cmp.Compare(a.key, b.key) })
			n := len(waits)
			if key != "" {
				n, _ = slices.BinarySearchFunc(waits, key, func(r record, key string) int { return cmp.Compare(r.key, key) })
			}
			want, waits = append(want, waits[:n]...), slices.Clone(waits[n:])
		}
		for i := range rapid.IntRange(0, 200).Draw(t, "records") {
			r := record{fmt.Sprintf("%02d/%d", rapid.IntRange(0, 20).Draw(t, "key"), i), rapid.StringN(0, 60, -1).Draw(t, "data")}
			waits = append(waits, r)
			require.NoError(t, s.Add(r.key, []byte(r.data)))
			if rapid.IntRange(0, 30).Draw(t, "take") == 0 {
				take(rapid.SampledFrom(append(waits, record{key: "99"})).Draw(t, "below").key)
			}
		}
		take("")
		assert.Equal(t, want, taken)
		assert.Empty(t, waits)
	})
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left, "nothing is left on disk")
}

func TestADiskThatTakesNothingIsAnError(t *testing.T) {
	s := &extsort.Sorter{Dir: filepath.Join(t.TempDir(), "missing")}
	assert.ErrorContains(t, s.Add("key", []byte("data")), "sort on disk")
	for _, err := range s.Below("") {
		assert.ErrorContains(t, err, "sort on disk")
	}
	assert.NoError(t, s.Close())
}
