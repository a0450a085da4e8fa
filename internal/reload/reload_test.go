package reload_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp/internal/reload"
)

var errUseless = errors.New("useless")

// TestValueFollowsItsFiles where they are of use, logs each change once, and looks no
// oftener than it is to.
func TestValueFollowsItsFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held, looks := "one", 0
		var logged []string
		v, err := reload.New(func() (string, func() (string, error)) {
			looks++
			now := held
			return now, func() (string, error) {
				if now == "" {
					return "", errUseless
				}
				return now, nil
			}
		}, time.Second, func(s string, err error) {
			if err != nil {
				s = err.Error()
			}
			logged = append(logged, s)
		})
		require.NoError(t, err)
		held = "two"
		assert.Equal(t, "one", v.Current(), "it was looked at just now")
		assert.Equal(t, 1, looks)
		for _, next := range []string{"two", "two", "", "", "three"} {
			held = next
			time.Sleep(time.Second)
			assert.Equal(t, next == "", v.Stale() != nil, "%q", next)
		}
		assert.Equal(t, "three", v.Current())
		assert.Equal(t, 6, looks)
		assert.Equal(t, []string{"two", "useless", "three"}, logged)
		held = ""
		time.Sleep(time.Second)
		assert.ErrorIs(t, v.Stale(), errUseless)
		assert.Equal(t, "three", v.Current(), "that of before stays")
		held = "three"
		time.Sleep(time.Second)
		assert.NoError(t, v.Stale(), "what is in use is there again")
	})
}

func TestValueOfUselessFilesIsAnError(t *testing.T) {
	_, err := reload.New(func() (string, func() (int, error)) { return "", func() (int, error) { return 0, errUseless } }, 0, nil)
	assert.ErrorIs(t, err, errUseless)
}

// TestFilesThatHangHoldUpOneCallAlone.
func TestFilesThatHangHoldUpOneCallAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		first := true
		v, err := reload.New(func() (string, func() (int, error)) {
			if !first {
				<-hang
			}
			first = false
			return "same", func() (int, error) { return 7, nil }
		}, 0, nil)
		require.NoError(t, err)
		go v.Current()
		synctest.Wait()
		assert.Equal(t, 7, v.Current())
		close(hang)
	})
}
