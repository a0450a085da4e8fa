// Command cluster is make cluster: it starts docker-compose.yml as a project of its own,
// plays the incident there, says what became of every order, and removes the project.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/ltp-node/ltp/audit"
	"github.com/ltp-node/ltp/demo"
	"github.com/ltp-node/ltp/internal/cluster"
	"github.com/ltp-node/ltp/trace"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	held, err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
	}
	if err != nil || !held {
		os.Exit(1)
	}
}

func run(ctx context.Context) (held bool, err error) {
	orders := flag.Int("orders", 1500, "how many orders arrive during the outage")
	outage := flag.Duration("outage", 45*time.Second, "how long the order database is paused, 8s or more, to be noticed; a failover may take longer")
	fault := flag.String("fault", string(cluster.Pause), "pause; or, in a cluster of three under Patroni with two of each part, kill-leader or cut-off-leader")
	keep := flag.Bool("keep", false, "leave everything running at the end, and say how to remove it")
	flag.Parse()

	began := time.Now()
	say := func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "%6.1fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
	var over []string
	if cluster.Fault(*fault) != cluster.Pause {
		over = append(over, "docker-compose.ha.yml")
	}
	s, err := cluster.New(ctx, ".", os.Stderr, over...)
	if err != nil {
		return false, err
	}
	say("making the images ready")
	if err := s.Images(ctx); err != nil {
		return false, err
	}
	defer func() {
		if *keep && err == nil {
			say("left running: docker ps --filter label=com.docker.compose.project=%s; COMPOSE_PROJECT_NAME=%[1]s in .env reaches it", s.Project)
			return
		}
		say("removing the project %s", s.Project)
		if removed := s.Down(); removed != nil && err == nil {
			err = removed
		}
	}()
	say("starting the project %s", s.Project)
	if err := s.Up(ctx); err != nil {
		return false, err
	}
	if err := s.Ready(ctx); err != nil {
		return false, err
	}
	say("the order API is ready")
	report, err := s.Play(ctx, cluster.Incident{Orders: *orders, Outage: *outage, Fault: cluster.Fault(*fault), Show: progress(os.Stderr)})
	if err != nil {
		return false, err
	}
	if err := report.WriteText(os.Stdout, trace.Options{}); err != nil {
		return false, err
	}
	say("auditing the incident inside the network")
	found, err := s.Audit(ctx)
	if err != nil {
		return false, err
	}
	fmt.Println()
	if err := audit.Write(os.Stdout, found, trace.Options{}); err != nil {
		return false, err
	}
	return report.Held() && found.Verdict == audit.Held, nil
}

// progress writes a line whenever the act or the state changes, and one every ten seconds.
func progress(w io.Writer) func(demo.Scene) {
	var last demo.Scene
	var said time.Time
	return func(now demo.Scene) {
		if now.Act == last.Act && now.Epoch == last.Epoch && time.Since(said) < 10*time.Second {
			return
		}
		last, said = now, time.Now()
		fmt.Fprintf(w, "%6.1fs  %-10s epoch %d  %5d received, %5d executed, %5d waiting, %d errors: %s\n",
			now.Elapsed.Seconds(), now.State, now.Epoch, now.Accepted, now.Executed, now.Waiting, now.Errors, now.Act)
	}
}
