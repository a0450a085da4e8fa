package main

import (
	"context"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/node"
)

// supervised waits, and notifies a supervisor by sd_notify(3) of how the process is: ready now,
// alive for as long as it runs and its board is not stuck, and stopping once wait has returned. Without a
// supervisor (NOTIFY_SOCKET) nobody is notified.
func (a *app) supervised(ctx context.Context, n *node.Node, wait func() error) error {
	a.notify(daemon.SdNotifyReady)
	defer a.notify(daemon.SdNotifyStopping)
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		a.log.Warn("the supervisor's watchdog is not served", "error", err)
	}
	if limit > 0 {
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		go a.alive(ctx, n, limit/3)
	}
	return wait()
}

// alive says so now and again. A process that hangs says nothing, and is started anew.
func (a *app) alive(ctx context.Context, n *node.Node, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		n.Board.Orientation(ltp.DefaultComponent)
		a.notify(daemon.SdNotifyWatchdog)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (a *app) notify(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		a.log.Warn("the supervisor is not notified", "state", state, "error", err)
	}
}
