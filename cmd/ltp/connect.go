package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/log"

	"github.com/ltp-node/ltp/internal/embedded"
	"github.com/ltp-node/ltp/internal/keyservice"
	"github.com/ltp-node/ltp/internal/reach"
	"github.com/ltp-node/ltp/node"
	"github.com/ltp-node/ltp/payload"
	"github.com/ltp-node/ltp/starter"
)

// temporal is a connection, and what must be stopped after it.
type temporal struct {
	client.Client
	namespace string
	keys      *payload.Keys // nil where payloads are not encrypted
	reach     *reach.Reach
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
	return a.connectTo(ctx, embedded.Options{MustExist: true})
}

// connectTo is connect with a say in which server of the state directory will do.
func (a *app) connectTo(ctx context.Context, own embedded.Options) (*temporal, error) {
	profile, err := envconfig.LoadClientConfigProfile(envconfig.LoadClientConfigProfileOptions{})
	if err != nil {
		return nil, fmt.Errorf("read the Temporal settings of the environment: %w", err)
	}
	if profile.Address == "" {
		t, err := a.embedded(ctx, embedded.Open, own)
		if !errors.Is(err, embedded.ErrNoData) {
			return t, err
		}
	}
	if scheme, rest, is := strings.Cut(profile.Address, "://"); is && slices.Contains([]string{"http", "https", "tcp", "grpc"}, scheme) {
		return nil, fmt.Errorf("TEMPORAL_ADDRESS is a URL of %s: give host and port alone, such as %s", scheme, cmp.Or(strings.TrimRight(rest, "/"), client.DefaultHostPort))
	}
	if at := profile.Address; at != "" && !strings.Contains(at, ":") {
		return nil, fmt.Errorf("TEMPORAL_ADDRESS %s has no port: give host and port, such as %s:7233", at, at)
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
	keys, err := a.payloadKeys(ctx)
	if err != nil {
		return nil, err
	}
	payload.Connect(&options, keys)
	watched := reach.New()
	watched.Watch(&options)
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
	return &temporal{Client: c, namespace: options.Namespace, keys: keys, reach: watched, stop: c.Close}, nil
}

// unwrapTimeout bounds what a key service may take at the start of a command.
const unwrapTimeout = 30 * time.Second

// payloadKeys are the keys that payloads are encrypted with; nil where none are given. Where
// a key service wraps them it is asked once, here.
func (a *app) payloadKeys(ctx context.Context) (*payload.Keys, error) {
	path, kms := cmp.Or(a.payloadKey, os.Getenv(payload.FileVariable)), a.keyService()
	switch {
	case path == "" && kms != "":
		return nil, fmt.Errorf("--payload-key-kms (or $%s) names a key service, and there are no keys that it wraps: name their file with --payload-key or $%s", keyservice.Variable, payload.FileVariable)
	case path == "":
		return nil, nil
	case kms == "":
		return payload.ReadKeys(path)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, unwrapTimeout, fmt.Errorf("it took more than %s", unwrapTimeout))
	defer cancel()
	service, err := keyservice.Open(ctx, kms)
	if err != nil {
		return nil, fmt.Errorf("--payload-key-kms: %w", err)
	}
	defer service.Close()
	return service.ReadKeys(ctx, path)
}

// keyService is the URL of the key service that wraps the keys of payloads; empty for none.
func (a *app) keyService() string { return cmp.Or(a.payloadKMS, os.Getenv(keyservice.Variable)) }

// embedded runs the server on the state directory: embedded.Open attaches to one
// that runs already, embedded.Start does not.
func (a *app) embedded(ctx context.Context, start func(context.Context, embedded.Options) (*embedded.Server, error), o embedded.Options) (*temporal, error) {
	o.StateDir = a.stateDir
	o.SearchAttributes = starter.SearchAttributes()
	o.Progress = embedded.PrintProgress(os.Stderr)
	o.Client.Logger = log.NewStructuredLogger(slog.New(expected{a.log.Handler()}))
	keys, err := a.payloadKeys(ctx)
	if err != nil {
		return nil, err
	}
	payload.Connect(&o.Client, keys)
	watched := reach.New()
	watched.Watch(&o.Client)
	server, err := start(ctx, o)
	if err != nil {
		return nil, err
	}
	return &temporal{
		Client: server.Client(), namespace: server.Namespace(), keys: keys, reach: watched, address: server.Address(), ui: server.UIAddress(), gone: server.Done(),
		stop: func() {
			if err := server.Stop(); err != nil {
				a.log.Warn("the embedded Temporal server did not stop cleanly", "error", err)
			}
		},
	}, nil
}
