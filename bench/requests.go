package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ltp-node/ltp/internal/loopback"
	"github.com/ltp-node/ltp/internal/words"
)

var serverBenchmark = benchmark{
	name: "server", title: "What the server does for a drained order",
	sides: []string{product, bareSide, bareUpdate},
	aims:  func(Result) []Aim { return nil },
	setting: func(s sizes) string {
		return fmt.Sprintf("%s a side, from the release until the server is quiet; requests are those that the server counts itself", words.Plural(s.counted, "order"))
	},
	run: func(ctx context.Context, b *bench) ([]Round, error) {
		port, err := loopback.Port(0)
		if err != nil {
			return nil, err
		}
		args := []string{"--metrics-port", strconv.Itoa(port)}
		profiles, args, err := b.profiles(args)
		if err != nil {
			return nil, err
		}
		r, err := b.open(ctx, args...)
		if err != nil {
			return nil, err
		}
		defer r.close()
		round := Round{Order: []string{product, bareSide, bareUpdate}, Sides: map[string]Figures{}}
		for _, side := range round.Order {
			f, err := b.requests(ctx, r, side, "http://127.0.0.1:"+strconv.Itoa(port)+"/metrics", profiles)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", side, err)
			}
			b.report("%s: %.1f requests to the frontend and %.1f to the store for an order; CPU of the server %.2f ms, here %.2f ms",
				side, f["frontend"], f["store"], f["CPU of the server, ms"], f["CPU of worker and engine, ms"])
			round.Sides[side] = f
		}
		return []Round{round}, nil
	},
}

// requests drains a backlog and counts what the server was asked meanwhile.
func (b *bench) requests(ctx context.Context, r *rig, side, metrics string, take profiles) (f Figures, err error) {
	orders, err := b.backlogOf(ctx, r, side, b.counted)
	if err != nil {
		return nil, err
	}
	before, err := scrape(ctx, metrics)
	if err != nil {
		return nil, err
	}
	end, err := take.begin(ctx, side)
	if err != nil {
		return nil, err
	}
	spent, _, err := b.measureRelease(ctx, r, side, orders)
	if err != nil {
		return nil, err
	}
	if err := end(); err != nil {
		return nil, err
	}
	after, err := scrape(ctx, metrics)
	if err != nil {
		return nil, err
	}
	f = Figures{"frontend": 0, "store": 0, "CPU of the server, ms": spent["server"], "CPU of worker and engine, ms": spent["here"]}
	for name, n := range after {
		per := (n - before[name]) / float64(len(orders))
		if per < 0.005 {
			continue
		}
		f[name] = per
		kind, _, _ := strings.Cut(name, " ")
		f[kind] += per
	}
	return f, nil
}

// metricsLag is more than the server takes to show what it has counted: a second.
const metricsLag = 1500 * time.Millisecond

// scrape reads the requests that the server has counted: "frontend OPERATION" of
// clients, and "store OPERATION" of its own to SQLite.
func scrape(ctx context.Context, url string) (map[string]float64, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(metricsLag):
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("read the server's metrics: %w", err)
	}
	defer response.Body.Close()
	counts := map[string]float64{}
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		name, rest, ok := strings.Cut(lines.Text(), "{")
		labels, value, closed := strings.Cut(rest, "} ")
		if !ok || !closed {
			continue
		}
		operation := label(labels, "operation")
		switch {
		case name == "service_requests" && label(labels, "service_name") == "frontend":
			name = "frontend " + operation
		case name == "persistence_requests":
			name = "store " + operation
		default:
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, fmt.Errorf("read the server's metrics: %q: %w", lines.Text(), err)
		}
		counts[name] += n
	}
	return counts, lines.Err()
}

// label is the value of a label.
func label(labels, name string) string {
	_, rest, _ := strings.Cut(","+labels, ","+name+`="`)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

// profiles are where CPU profiles go, and where the server gives its own; the zero value
// takes none.
type profiles struct{ dir, server string }

// profileSeconds is how much of a drain is profiled.
const profileSeconds = 10

// profiles makes the server ready to be profiled, if that is wanted.
func (b *bench) profiles(args []string) (profiles, []string, error) {
	if b.profile == "" {
		return profiles{}, args, nil
	}
	port, err := loopback.Port(0)
	if err != nil {
		return profiles{}, args, err
	}
	p := profiles{dir: b.profile, server: net.JoinHostPort(loopback.Address, strconv.Itoa(port))}
	return p, append(args, "--pprof", p.server), os.MkdirAll(p.dir, 0o755)
}

// begin profiles both processes for some seconds. The function that it returns ends the
// profile of this one, and waits for that of the server.
func (p profiles) begin(ctx context.Context, side string) (end func() error, err error) {
	if p.dir == "" {
		return func() error { return nil }, nil
	}
	here, err := os.Create(filepath.Join(p.dir, "worker-"+side+".pprof"))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(here); err != nil {
		return nil, err
	}
	var group errgroup.Group
	group.Go(func() error {
		return download(ctx, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", p.server, profileSeconds), filepath.Join(p.dir, "server-"+side+".pprof"))
	})
	return func() error {
		pprof.StopCPUProfile()
		if err := here.Close(); err != nil {
			return err
		}
		return group.Wait()
	}, nil
}

func download(ctx context.Context, url, path string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("profile the server: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("profile the server: %s", response.Status)
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, response.Body); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
