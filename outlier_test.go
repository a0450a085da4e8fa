package ltp_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ltp-node/ltp"
)

func TestAWorkerFailsAloneWhereOthersExecuteBetweenItsFailedTrials(t *testing.T) {
	at := func(s float64) time.Time { return time.Unix(1000, 0).Add(time.Duration(s * float64(time.Second))) }
	for name, c := range map[string]struct {
		executed []time.Time // before each failed trial
		alone    bool        // at the last of them
	}{
		"nothing was executed":                      {[]time.Time{{}, {}, {}}, false},
		"the first trial says nothing yet":          {[]time.Time{at(9)}, false},
		"what was read before the first is no news": {[]time.Time{at(9), at(9), at(10.5)}, false},
		"what ended shortly after it, neither":      {[]time.Time{at(9), at(11)}, false},
		"an order was executed meanwhile":           {[]time.Time{at(9), at(9), at(12.5)}, true},
		"the first that is known is no news":        {[]time.Time{{}, {}, at(50)}, false},
		"the next is":                               {[]time.Time{{}, at(50), at(54)}, true},
		"the store shows less than it did":          {[]time.Time{at(8), {}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var o ltp.Outlier
			alone := false
			for _, executed := range c.executed {
				alone = o.Failed(executed)
			}
			assert.Equal(t, c.alone, alone)
		})
	}
}
