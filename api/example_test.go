package api_test

import (
	"context"
	"log"
	"log/slog"
	"os/signal"
	"syscall"

	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/api"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/metrics"
	"github.com/ltp-node/ltp/starter"
)

// An order API serves until the process is to stop. It needs Temporal, and
// neither a worker nor the order database.
func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	c, err := client.DialContext(ctx, client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	orders := starter.New(c)
	b := board.New(c, []string{ltp.DefaultComponent}, slog.Default())
	go b.Run(ctx)
	handler := api.New(api.Config{
		Starter: orders,
		Board:   b,
		Metrics: metrics.New(metrics.Config{Board: b, Orders: orders}),
		Log:     slog.Default(),
	})

	ln, err := api.Listen("localhost:8080", api.Access{}, slog.Default())
	if err != nil {
		log.Fatal(err)
	}
	if err := api.Serve(ctx, ln, handler, slog.Default()); err != nil {
		log.Fatal(err)
	}
}
