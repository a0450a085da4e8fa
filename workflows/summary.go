package workflows

import (
	"fmt"
	"strings"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
)

// The summaries tell the story in Temporal UI without opening a payload. They cost
// no events.

func routeSummary(in activities.RouteInput) string {
	of := strings.Join(in.Components, ", ")
	switch in.Woken {
	case ltp.WokenBySignal:
		return fmt.Sprintf("replay of %s: is %s fit?", in.Replays, of)
	case ltp.WokenByTimer:
		return fmt.Sprintf("replay of %s, woken by the backstop: is %s fit?", in.Replays, of)
	case ltp.WokenByTurn:
		return fmt.Sprintf("its turn has come, replay of %s: is %s fit?", in.Replays, of)
	case ltp.WokenByFailure:
		return fmt.Sprintf("execute was unavailable: is %s fit?", of)
	}
	return fmt.Sprintf("is %s fit?", of)
}

func executeSummary(r ltp.Routing) string {
	s := fmt.Sprintf("EXECUTE %s: %s %s, epoch %d", r.Reason, r.Component, r.State, r.Epoch)
	if r.Replays != "" {
		s += "; replays " + r.Replays
	}
	return s
}

func fenceSummary(by ltp.Execution) string {
	return fmt.Sprintf("still fit? then %s on %s", by.Activity, by.TaskQueue)
}

func timerSummary(r ltp.Routing, until time.Time) string {
	return fmt.Sprintf("%s %s: %s (%s epoch %d; looks again by itself at %s)",
		r.Decision, r.Reason, r.Reason.Commitment(), r.Component, r.Epoch, until.UTC().Format(time.TimeOnly))
}
