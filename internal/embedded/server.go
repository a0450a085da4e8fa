package embedded

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp/internal/loopback"
	"github.com/ltp-node/ltp/internal/sqlitefile"
)

// startTimeout bounds a start by a context without a deadline. It does not count
// the build.
const startTimeout = time.Minute

// Server is a running Temporal server and a client that is connected to it.
type Server struct {
	client client.Client
	info   serverInfo
	done   <-chan struct{}
	stop   func() error
	owned  bool
}

// Client is connected to the server, in its namespace. Stop closes it.
func (s *Server) Client() client.Client { return s.client }

// Address of the frontend, as host:port.
func (s *Server) Address() string { return s.info.Address }

// Namespace that the client uses.
func (s *Server) Namespace() string { return s.info.Namespace }

// UIAddress is the URL of Temporal UI, or "" when the server has none.
func (s *Server) UIAddress() string { return s.info.UI }

// PID of the server's process.
func (s *Server) PID() int { return s.info.PID }

// Owned is true when the server ends at Stop, false when Open attached to one that
// another process owns.
func (s *Server) Owned() bool { return s.owned }

// Done is closed when an owned server has ended, asked to or not. Stop then says
// why. Of a server that is not owned it is nil, which is never ready.
func (s *Server) Done() <-chan struct{} { return s.done }

// Stop closes the client and, if the server is owned, ends the server and waits
// until it is gone and the state directory is free. It can be called repeatedly.
// The error reports a server that had ended by itself or did not end well; it is
// gone all the same.
func (s *Server) Stop() error { return s.stop() }

// Start starts a server and owns it until Stop. The context bounds the start, not
// the server's life. The error is an ErrInUse when another process owns the server
// of the state directory, an ErrNoServer when there is no binary, a
// *sqlitefile.DamagedError when the data is damaged, and else says why the server
// would not start.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.StateDir == "" {
		return start(ctx, o, nil)
	}
	dir, err := lockStateDir(ctx, o.StateDir)
	if err != nil {
		return nil, err
	}
	// A server does not look at what it does not need just now, and would start.
	if err := sqlitefile.Check(ctx, dir.file(dataFile)); err != nil {
		dir.release()
		return nil, fmt.Errorf("the data of the Temporal server cannot be used: %w", err)
	}
	s, err := start(ctx, o, dir)
	if err != nil {
		dir.release()
		return nil, err
	}
	return s, nil
}

// start does so in dir, or in memory when that is nil.
func start(ctx context.Context, o Options, dir *stateDir) (_ *Server, err error) {
	binary, err := Binary(ctx, o.Progress)
	if err != nil {
		return nil, err
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, startTimeout)
		defer cancel()
	}
	for _, port := range []*int{&o.Port, &o.UIPort} {
		if *port, err = loopback.Port(*port); err != nil {
			return nil, err
		}
	}
	o.Namespace = cmp.Or(o.Namespace, client.DefaultNamespace)
	info := serverInfo{
		Address:   net.JoinHostPort(loopback.Address, strconv.Itoa(o.Port)),
		Namespace: o.Namespace,
		Owner:     os.Getpid(),
	}
	if o.UI {
		info.UI = "http://" + net.JoinHostPort(loopback.Address, strconv.Itoa(o.UIPort))
	}

	p, err := startProcess(binary, arguments(o, isCLI(binary), dir), o.Log, dir)
	if err != nil {
		return nil, err
	}
	info.PID = p.cmd.Process.Pid
	c, err := p.dial(ctx, clientOptions(o, info))
	if err == nil {
		err = ensureSearchAttributes(ctx, c, o.Namespace, o.SearchAttributes)
	}
	if err == nil && dir != nil {
		err = dir.publish(info)
	}
	stop := func() error {
		if c != nil {
			c.Close()
		}
		if dir != nil {
			dir.unpublish()
			defer dir.release()
		}
		return p.stop()
	}
	if err != nil {
		_ = stop()
		return nil, err
	}
	return &Server{client: c, info: info, done: p.ended, owned: true, stop: sync.OnceValue(stop)}, nil
}

// arguments are those of `temporal server start-dev`, plus our own for our own.
func arguments(o Options, cli bool, dir *stateDir) []string {
	args := []string{
		"server", "start-dev",
		"--ip", loopback.Address, "--port", strconv.Itoa(o.Port),
		"--namespace", o.Namespace,
	}
	if o.UI {
		args = append(args, "--ui-port", strconv.Itoa(o.UIPort))
	} else {
		args = append(args, "--headless")
	}
	if dir != nil {
		args = append(args, "--db-filename", dir.file(dataFile))
	}
	for _, name := range slices.Sorted(maps.Keys(o.SearchAttributes)) {
		args = append(args, "--search-attribute", name+"="+o.SearchAttributes[name].String())
	}
	if !cli {
		args = append(args, fmt.Sprintf("--exit-with-parent=%d", os.Getpid()))
	}
	return append(args, o.ExtraArgs...)
}
