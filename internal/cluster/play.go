package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/audit"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/demo"
	"github.com/ltp-node/ltp/payload"
)

// Incident is what is played on a stack that is up.
type Incident struct {
	// Orders arrive during Outage, evenly; before and after at the same rate. It lasts
	// longer where it has not been noticed by then.
	Orders int
	Outage time.Duration
	// Fault is what becomes of the order database.
	Fault Fault
	// Show is called several times a second with what is going on; nil is not.
	Show func(demo.Scene)
}

// Play has the order database fail while orders arrive at the order API's published address,
// and come back. The report is the demo's; what did not hold is in it. Ready must have
// returned before.
func (s *Stack) Play(ctx context.Context, i Incident) (demo.Report, error) {
	c, err := s.Temporal(ctx)
	if err != nil {
		return demo.Report{}, err
	}
	defer c.Close()
	at, err := s.Address(ctx, "api", "8080")
	if err != nil {
		return demo.Report{}, err
	}
	reading, stop := context.WithCancel(ctx)
	defer stop()
	b := board.New(c, []string{ltp.DefaultComponent}, slog.New(slog.DiscardHandler))
	go b.Run(reading)
	fault, err := i.Fault.of(ctx, s)
	if err != nil {
		return demo.Report{}, err
	}
	ends := fault.End
	// A busy machine may notice it later than the outage was to last.
	fault.End = func(ctx context.Context) error {
		noticing, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if _, err := b.Wait(noticing, ltp.DefaultComponent, func(r board.Reading) bool { return r.State == ltp.Unstable }); err != nil {
			return fmt.Errorf("the outage was not noticed: %w", err)
		}
		return ends(ctx)
	}
	return demo.Run(ctx, demo.Config{
		Client: c, Namespace: client.DefaultNamespace, Board: b, DB: s.Rows(), APIURL: "http://" + at,
		Fault: fault, Orders: i.Orders, Outage: i.Outage, Show: i.Show,
	})
}

// patience is how long an outage may go unnoticed on a machine that does much else.
const patience = 2 * time.Minute

// Temporal connects to the stack's Temporal at its published address. It is to be closed.
func (s *Stack) Temporal(ctx context.Context) (client.Client, error) {
	at, err := s.Address(ctx, "temporal", "7233")
	if err != nil {
		return nil, err
	}
	o := client.Options{HostPort: at, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler))}
	payload.Connect(&o, nil)
	return client.DialContext(ctx, o)
}

// Ready waits until the order API answers that it is ready, or ctx ends.
func (s *Stack) Ready(ctx context.Context) error {
	at, err := s.Address(ctx, "api", "8080")
	if err != nil {
		return err
	}
	return eventually(ctx, "the order API at "+at+" is not ready", func(context.Context) error {
		said, err := http.Get("http://" + at + "/readyz")
		if err != nil {
			return err
		}
		said.Body.Close()
		if said.StatusCode != http.StatusOK {
			return errors.New(said.Status)
		}
		return nil
	})
}

// Audit judges the latest outage by ltp audit inside the network, which compares the
// order database.
func (s *Stack) Audit(ctx context.Context) (audit.Audit, error) {
	url, err := s.OrdersURL(ctx)
	if err != nil {
		return audit.Audit{}, err
	}
	out, err := s.Tool(ctx, "audit", "--orders-db", url, "--format", "json")
	var found audit.Audit
	if wrong := json.Unmarshal([]byte(out), &found); wrong != nil {
		return found, fmt.Errorf("the audit was not made: %w", errors.Join(err, wrong))
	}
	return found, nil // the exit status says what the verdicts do
}
