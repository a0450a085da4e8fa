package worker

import (
	"context"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
	"github.com/ltp-node/ltp/observer"
)

const (
	// workerStopTimeout is how long Stop lets activities finish.
	workerStopTimeout = 5 * time.Second
	// heartbeatEvery is how often heartbeats reach Temporal, and how long the SDK lets
	// one take before it cancels the activity. Left to the SDK it would be four fifths
	// of the heartbeat timeout, and one lost heartbeat would be a lost observer; a
	// second would cancel a living observer whenever the server is busy.
	heartbeatEvery = 3 * time.Second
)

// WatchProbe observes with a probe under the settings. Listeners receive every
// sample before it is heartbeaten, and must return soon.
func WatchProbe(p observer.Probe, s observer.Settings, listeners ...func(observer.Status)) activities.Watch {
	return func(ctx context.Context, last ltp.Verdict, emit func(ltp.Observation), heartbeat func(ltp.Heartbeat)) error {
		return observer.Watch(ctx, p, s, last, emit, func(now observer.Status) {
			for _, listen := range listeners {
				listen(now)
			}
			heartbeat(ltp.Heartbeat{
				At: now.At, Verdict: now.Verdict, LatencyMs: now.Sample.Latency.Milliseconds(),
				Leader: now.Sample.Facts["leader"], Timeline: now.Sample.Facts["timeline"],
			})
		})
	}
}
