package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
)

// attachTimeout is how long a server that is said to run may take to answer.
const attachTimeout = 10 * time.Second

// Open attaches to the server that another process owns on the state directory, or
// starts one as Start does. While that process is still starting or stopping its
// server, Open waits, until the context ends. It returns ErrNoData, and creates
// nothing, if Options.MustExist is set and there is no data, or Options.MustRun is and no
// server answers.
//
// Of the Options of a server that runs already, only Namespace, SearchAttributes
// and Client have an effect.
func Open(ctx context.Context, o Options) (*Server, error) {
	if o.StateDir == "" {
		return nil, errors.New("open a Temporal server: no state directory given")
	}
	if o.MustRun {
		info, err := readInfo(o.StateDir)
		if err != nil {
			return nil, fmt.Errorf("%w, and no server runs there: %s", ErrNoData, o.StateDir)
		}
		c, err := dialBriefly(ctx, o, &info)
		if err != nil {
			return nil, fmt.Errorf("%w, and no server runs there: %w", ErrNoData, err)
		}
		return attach(ctx, c, o, info)
	}
	var silent time.Time // since when the server that is said to run has not answered
	for tick := time.Tick(100 * time.Millisecond); ; {
		if o.MustExist && !exists(o.StateDir, infoFile) && !exists(o.StateDir, dataFile) {
			return nil, fmt.Errorf("%w: %s", ErrNoData, o.StateDir)
		}
		s, err := Start(ctx, o)
		if err == nil || !errors.Is(err, ErrInUse) {
			return s, err
		}
		if info, infoErr := readInfo(o.StateDir); infoErr == nil {
			var c client.Client
			if c, err = dialBriefly(ctx, o, &info); err == nil {
				return attach(ctx, c, o, info)
			}
			if silent.IsZero() {
				silent = time.Now()
			} else if time.Since(silent) > attachTimeout {
				return nil, fmt.Errorf("the Temporal server of process %d at %s does not answer: %w", info.Owner, info.Address, err)
			}
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for the Temporal server on %s: %w", o.StateDir, errors.Join(ctx.Err(), err))
		case <-tick:
		}
	}
}

func exists(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return err == nil
}

// dialBriefly connects to the server that is said to run, in the namespace that is asked for.
func dialBriefly(ctx context.Context, o Options, info *serverInfo) (client.Client, error) {
	info.Namespace = cmp.Or(o.Namespace, info.Namespace)
	ctx, cancel := context.WithTimeout(ctx, attachTimeout)
	defer cancel()
	return client.DialContext(ctx, clientOptions(o, *info))
}

func attach(ctx context.Context, c client.Client, o Options, info serverInfo) (*Server, error) {
	if err := ensureSearchAttributes(ctx, c, info.Namespace, o.SearchAttributes); err != nil {
		c.Close()
		return nil, err
	}
	stop := func() error {
		c.Close()
		return nil
	}
	return &Server{client: c, info: info, stop: sync.OnceValue(stop)}, nil
}

func clientOptions(o Options, info serverInfo) client.Options {
	c := o.Client
	c.HostPort, c.Namespace = info.Address, info.Namespace
	// Compressing what goes over loopback costs both sides more than anything else
	// they do for a request.
	c.ConnectionOptions.GrpcCompression = &client.GrpcCompressionNone{}
	if c.Logger == nil {
		c.Logger = log.NewStructuredLogger(slog.Default())
	}
	return c
}

// ensureSearchAttributes adds those that the namespace lacks and returns when the
// server knows them. Our own server has them from the start; a server that we
// attach to may be from before they were thought of, and the Temporal CLI gives
// them to new databases alone.
func ensureSearchAttributes(ctx context.Context, c client.Client, namespace string, want map[string]enums.IndexedValueType) error {
	if len(want) == 0 {
		return nil
	}
	operator, added := c.OperatorService(), false
	for tick := time.Tick(100 * time.Millisecond); ; {
		have, err := operator.ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
		if err != nil {
			return fmt.Errorf("list the search attributes of namespace %q: %w", namespace, err)
		}
		missing := map[string]enums.IndexedValueType{}
		for name, t := range want {
			if has, ok := have.CustomAttributes[name]; !ok {
				missing[name] = t
			} else if has != t {
				return fmt.Errorf("search attribute %s of namespace %q is of type %s, not %s", name, namespace, has, t)
			}
		}
		if len(missing) == 0 {
			return nil
		}
		if !added {
			_, err := operator.AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
				Namespace: namespace, SearchAttributes: missing})
			if err != nil {
				return fmt.Errorf("add search attributes to namespace %q: %w", namespace, err)
			}
			added = true
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("add search attributes to namespace %q: %w", namespace, ctx.Err())
		case <-tick:
		}
	}
}
