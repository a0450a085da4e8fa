// Command devserver is a Temporal server in one process. It keeps its data in
// memory, in one SQLite file or in Postgres, brings Temporal UI with it, and takes the
// arguments of `temporal server start-dev`, so that whatever drives the Temporal
// CLI (the Go SDK's testsuite.StartDevServer, for one) drives it as well.
//
// It is a module of its own so that the product does not inherit the hundreds of
// modules that the server needs.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"
)

// stopGrace bounds a stop. What was committed is safe in SQLite whether or not
// the services come to rest in time.
const stopGrace = 5 * time.Second

func main() {
	if err := command(serve).Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

// serve runs a server until it is asked to stop or its parent is gone.
func serve(o options) error {
	// The server makes much garbage over a small live heap: collecting it less
	// often buys a quarter more throughput and costs a few hundred MB at the peak.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	// Whoever reads our output may be killed before us. Writing to it must then
	// fail, not end us in the middle of a stop.
	signal.Ignore(syscall.SIGPIPE)

	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := serveProfiles(ctx, o.pprof); err != nil {
		return err
	}
	s, err := start(o)
	if err != nil {
		return err
	}
	fmt.Printf("Temporal Server:      %s\n", o.frontend())
	fmt.Printf("Temporal Persistence: %s\n", o.database())
	if !o.headless {
		fmt.Printf("Temporal UI:          http://%s\n", o.ui())
	}

	awaitStop(ctx, o.parent)
	cancel() // from here on a signal ends the process at once
	stopped := make(chan struct{})
	go func() {
		s.stop()
		close(stopped)
	}()
	select {
	case <-stopped:
	case <-time.After(stopGrace):
	}
	return nil
}

// awaitStop returns when a signal has come or process parent (0: none) is not our
// parent any more, be it since before we looked.
func awaitStop(ctx context.Context, parent int) {
	tick := time.Tick(500 * time.Millisecond)
	for parent == 0 || os.Getppid() == parent {
		select {
		case <-ctx.Done():
			return
		case <-tick:
		}
	}
}
