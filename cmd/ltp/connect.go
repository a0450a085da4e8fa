package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/log"

	"github.com/ltp-node/ltp/internal/embedded"
	"github.com/ltp-node/ltp/node"
	"github.com/ltp-node/ltp/starter"
)

// temporal is a connection, and what must be stopped after it.
type temporal struct {
	client.Client
	namespace string
	// address and ui are those of the server and of Temporal UI, where it is our own.
	address, ui string
	// gone is closed when a server of this process's own has ended; nil otherwise.
	gone <-chan struct{}
	stop func()
}

// waitFor returns when ctx ends, or with the error of a part that ended by itself.
func (t *temporal) waitFor(ctx context.Context, n *node.Node) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-n.Failed():
		return err
	case <-t.gone:
		return errors.New("the embedded Temporal server has ended: temporal.log in the state directory says why. What was accepted is kept: start again")
	}
}

// connect connects to the Temporal that the environment names. Without one it uses
// the data in the state directory: the server that runs on it, or one that is
// started for this command and stopped after it.
func (a *app) connect(ctx context.Context) (*temporal, error) {
	profile, err := envconfig.LoadClientConfigProfile(envconfig.LoadClientConfigProfileOptions{})
	if err != nil {
		return nil, fmt.Errorf("read the Temporal settings of the environment: %w", err)
	}
	if profile.Address == "" {
		t, err := a.embedded(ctx, embedded.Open, embedded.Options{MustExist: true})
		if !errors.Is(err, embedded.ErrNoData) {
			return t, err
		}
	}
	options, err := profile.ToClientOptions(envconfig.ToClientOptionsRequest{})
	if err != nil {
		return nil, fmt.Errorf("read the Temporal settings of the environment: %w", err)
	}
	if options.HostPort == "" {
		options.HostPort = client.DefaultHostPort
	}
	if options.Namespace == "" {
		options.Namespace = client.DefaultNamespace
	}
	options.Logger = log.NewStructuredLogger(slog.New(expected{a.log.Handler()}))
	dialing, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c, err := client.DialContext(dialing, options)
	if err != nil {
		hint := "check the address, TLS settings and API key"
		if profile.Address == "" {
			hint = fmt.Sprintf("set TEMPORAL_ADDRESS, or run ltp dev: the state directory %s holds no data either", a.stateDir)
		}
		return nil, fmt.Errorf("no Temporal at %s: %w (%s)", options.HostPort, err, hint)
	}
	return &temporal{Client: c, namespace: options.Namespace, stop: c.Close}, nil
}

// embedded runs the server on the state directory: embedded.Open attaches to one
// that runs already, embedded.Start does not.
func (a *app) embedded(ctx context.Context, start func(context.Context, embedded.Options) (*embedded.Server, error), o embedded.Options) (*temporal, error) {
	o.StateDir = a.stateDir
	o.SearchAttributes = starter.SearchAttributes()
	o.Progress = embedded.PrintProgress(os.Stderr)
	o.Client.Logger = log.NewStructuredLogger(slog.New(expected{a.log.Handler()}))
	server, err := start(ctx, o)
	if err != nil {
		return nil, err
	}
	return &temporal{
		Client: server.Client(), namespace: server.Namespace(), address: server.Address(), ui: server.UIAddress(), gone: server.Done(),
		stop: func() {
			if err := server.Stop(); err != nil {
				a.log.Warn("the embedded Temporal server did not stop cleanly", "error", err)
			}
		},
	}, nil
}
