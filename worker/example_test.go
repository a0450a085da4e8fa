package worker_test

import (
	"context"
	"log/slog"

	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/observer"
	"github.com/ltp-node/ltp/observer/health"
	"github.com/ltp-node/ltp/worker"
)

// A second component is observed: whoever runs this stands ready, and Temporal keeps
// one active. Any [observer.Probe] does in place of the health endpoint's.
func ExampleNewObserver() {
	observe := func(ctx context.Context, c client.Client) error {
		probe, err := health.Open("https://payments.example/healthz")
		if err != nil {
			return err
		}
		defer probe.Close()
		if err := worker.EnsureOrientation(ctx, c, "payments", ltp.DefaultPolicy()); err != nil {
			return err
		}
		settings := observer.DefaultSettings()
		settings.Subject = "Payments"
		o := worker.NewObserver(c, "payments", "host-1/42", worker.WatchProbe(probe, settings), slog.Default())
		if err := o.Start(); err != nil {
			return err
		}
		defer o.Stop()
		<-ctx.Done()
		return nil
	}
	_ = observe // with a client of your Temporal
}
