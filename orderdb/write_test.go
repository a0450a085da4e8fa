package orderdb

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ltp-node/ltp"
)

// TestAWriteThatIsMadeAnewAsksAgainAfterAMoment, and not before: whoever asked may have
// promised something to itself.
func TestAWriteThatIsMadeAnewAsksAgainAfterAMoment(t *testing.T) {
	asked := 0
	shut := errors.New("shut")
	w := &write{admit: func() (ltp.Receipt, error) {
		if asked++; asked == 3 {
			return ltp.Receipt{}, shut
		}
		return ltp.Receipt{Attempt: string(rune('a' + asked))}, nil
	}}
	assert.NoError(t, w.stillAdmitted())
	assert.Equal(t, 1, asked)
	w.admittedAt = time.Now().Add(time.Hour)
	assert.NoError(t, w.stillAdmitted())
	assert.Equal(t, 1, asked)
	assert.Equal(t, "b", w.receipt.Attempt)
	w.admittedAt = time.Now().Add(-aMoment)
	assert.NoError(t, w.stillAdmitted())
	assert.Equal(t, "c", w.receipt.Attempt)
	w.admittedAt = time.Now().Add(-aMoment)
	assert.ErrorIs(t, w.stillAdmitted(), shut)
}
