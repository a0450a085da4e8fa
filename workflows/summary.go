package workflows

import (
	"fmt"
	"strings"
	"time"

	"github.com/ltp-node/ltp"
)

// The summaries tell the story in Temporal UI without opening a payload. They cost
// no events.

func routeSummary(in ltp.RouteInput) string {
	of := strings.Join(in.Components, ", ")
	replays := ltp.Replays(in.OrderID, in.Attempt)
	switch in.Woken {
	case ltp.WokenByTimer:
		return fmt.Sprintf("replay of %s, woken by the backstop: is %s fit?", replays, of)
	case ltp.WokenByTurn:
		return fmt.Sprintf("its turn has come, replay of %s: is %s fit?", replays, of)
	case ltp.WokenByFailure:
		return fmt.Sprintf("the execution failed: is %s fit?", of)
	}
	return fmt.Sprintf("is %s fit?", of)
}

func executeSummary(in ltp.ExecuteInput) string {
	if in.Admitted {
		return "still fit? then write the order"
	}
	return fmt.Sprintf("released, replay of %s: write the order if %s is fit", ltp.Replays(in.Order.ID, in.Route.Attempt), strings.Join(in.Route.Components, ", "))
}

func withdrawSummary(in ltp.WithdrawInput) string {
	return fmt.Sprintf("to end %s: was it written?", in.End.State)
}

func jobSummary(r ltp.Routing) string {
	return fmt.Sprintf("EXECUTE %s: %s %s, epoch %d", r.Reason, r.Component, r.State, r.Epoch)
}

func timerSummary(p ltp.Progress, until time.Time) string {
	if p.Phase == ltp.PhaseAdmitted {
		return fmt.Sprintf("EXECUTE %s, epoch %d: written in the next task", p.Last.Reason, p.Last.Epoch)
	}
	decision := ltp.Defer
	if p.Wait.Reason == ltp.ReasonFrozen {
		decision = ltp.Freeze
	}
	of := ""
	if p.Wait.Component != "" {
		of = fmt.Sprintf("%s epoch %d; ", p.Wait.Component, p.Wait.Epoch)
	}
	return fmt.Sprintf("%s %s: %s (%slooks again by itself at %s)", decision, p.Wait.Reason, p.Wait.Reason.Commitment(), of, until.UTC().Format(time.TimeOnly))
}
