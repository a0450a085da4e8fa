package erase_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/erase"
)

func TestErasingWritesATombstoneForEveryOrderWithoutARow(t *testing.T) {
	for s, want := range map[ltp.OrderState]ltp.OrderState{
		ltp.Executed:   "",
		"":             "",
		ltp.Cancelled:  ltp.Cancelled,
		ltp.Expired:    ltp.Expired,
		ltp.Rejected:   ltp.Rejected,
		ltp.Terminated: ltp.Cancelled,
	} {
		assert.Equal(t, want, erase.Tombstone(s), "%q", s)
	}
}

func TestAnOrderThatHasNotEndedSaysWhatToDo(t *testing.T) {
	assert.EqualError(t, &erase.OpenError{ID: "A2", State: ltp.Deferred},
		"order A2 is DEFERRED: it can be erased when it has ended, and ltp orders cancel A2 ends it")
	assert.EqualError(t, &erase.OpenError{ID: "A2", State: ltp.Parked},
		"order A2 is PARKED: it can be erased when it has ended, and ltp orders retry or ltp orders reject has it end")
}
