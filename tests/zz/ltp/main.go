package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"

	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/node"
	"github.com/ltp-node/ltp/observer"
	"github.com/ltp-node/ltp/replay/pace"
)

func main() {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	c := node.Config{Policy: ltp.DefaultPolicy(), Pace: pace.Default(), Settings: observer.DefaultSettings(), Log: log, Components: []string{ltp.DefaultComponent}, Backstop: ltp.DefaultBackstop()}
	f := flag.NewFlagSet("ltp", flag.ExitOnError)
	var api string
	f.StringVar(&c.OrdersURL, "orders-db", "", "")
	f.DurationVar(&c.Policy.Dwell, "dwell", c.Policy.Dwell, "")
	f.DurationVar(&c.Policy.MaxDwell, "max-dwell", c.Policy.MaxDwell, "")
	f.DurationVar(&c.Policy.FlapWindow, "flap-window", c.Policy.FlapWindow, "")
	f.DurationVar(&c.Policy.Grace, "grace", c.Policy.Grace, "")
	f.DurationVar(&c.Backstop.First, "backstop", c.Backstop.First, "")
	f.DurationVar(&c.Backstop.Most, "max-backstop", c.Backstop.Most, "")
	f.DurationVar(&c.Settings.Interval, "interval", c.Settings.Interval, "")
	f.DurationVar(&c.Settings.UnfitLatency, "unfit-latency", c.Settings.UnfitLatency, "")
	f.DurationVar(&c.Settings.FitLatency, "fit-latency", c.Settings.FitLatency, "")
	f.DurationVar(&c.Settings.SlowLatency, "slow-latency", c.Settings.SlowLatency, "")
	f.DurationVar(&c.Settings.SlowExit, "slow-exit", c.Settings.SlowExit, "")
	f.StringVar(&api, "api", "", "")
	f.Parse(os.Args[2:])
	c.Worker, c.Observe = os.Args[1] == "worker", os.Args[1] == "observe"
	var err error
	c.Client, err = client.Dial(client.Options{HostPort: os.Getenv("TEMPORAL_ADDRESS"), Namespace: os.Getenv("TEMPORAL_NAMESPACE"), Logger: log})
	if err != nil {
		panic(err)
	}
	c.Namespace = os.Getenv("TEMPORAL_NAMESPACE")
	if api != "" {
		if c.Listen, err = net.Listen("tcp", api); err != nil {
			panic(err)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	n, err := node.Start(ctx, c)
	if err != nil {
		panic(err)
	}
	fmt.Fprintf(os.Stderr, "ltp %s runs on Temporal namespace %s.\n", os.Args[1], c.Namespace)
	if c.Listen != nil {
		fmt.Fprintf(os.Stderr, "Order API: http://%s\n", c.Listen.Addr())
	}
	<-ctx.Done()
	n.Stop()
}
