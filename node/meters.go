package node

import (
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
)

// meters hands several meters the same; nil ones are passed over.
type meters []activities.Meter

func (ms meters) Routed(r ltp.Routing, took time.Duration) {
	for _, m := range ms {
		if m != nil {
			m.Routed(r, took)
		}
	}
}

func (ms meters) Attempted(a ltp.Attempt, took time.Duration) {
	for _, m := range ms {
		if m != nil {
			m.Attempted(a, took)
		}
	}
}
