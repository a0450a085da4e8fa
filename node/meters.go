package node

import (
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
)

// meters tells several meters the same; nil ones are passed over.
type meters []activities.Meter

func (ms meters) Routed(r ltp.Routing, took time.Duration) {
	for _, m := range ms {
		if m != nil {
			m.Routed(r, took)
		}
	}
}

func (ms meters) Wrote(fence ltp.Fence, begun time.Time, took time.Duration, err error) {
	for _, m := range ms {
		if m != nil {
			m.Wrote(fence, begun, took, err)
		}
	}
}
