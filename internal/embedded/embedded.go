// Package embedded finds or builds the embedded Temporal server, starts it on a
// state directory, and owns its process: the server ends with its owner, even
// when the owner is killed.
//
// The server is the devserver module of this repository. An installed Temporal
// CLI takes its place where that module cannot be had; it takes the same
// arguments, but nobody ends it when its owner is killed. The next owner of the
// state directory does.
//
// It needs a Unix: it relies on flock and on signals.
package embedded

import (
	"errors"
	"io"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
)

var (
	// ErrInUse says that another process owns the server of the state directory.
	// Open attaches to that server.
	ErrInUse = errors.New("the state directory is in use")

	// ErrNoData says that Options.MustExist was set and the state directory holds
	// no data, or that Options.MustRun was and no server runs on it.
	ErrNoData = errors.New("the state directory holds no data")

	// ErrNoServer says that there is no server binary, nor the means to build one.
	ErrNoServer = errors.New("no Temporal server found")
)

// Options of a server. The zero value is a server in memory, without UI, on a free
// port, with namespace "default".
type Options struct {
	// StateDir is where the data is kept (temporal.db) beside the server's log
	// (temporal.log). It is created when missing. Empty: the data is in memory and
	// gone at Stop.
	StateDir string

	// MustExist makes Open return ErrNoData rather than start on no data.
	MustExist bool

	// MustRun makes Open return ErrNoData rather than start a server.
	MustRun bool

	// Namespace is created when missing. Empty: "default", or that of the server
	// that Open attaches to.
	Namespace string

	// Port of the frontend, on loopback. 0: any free one.
	Port int

	// UI has Temporal UI served on UIPort, on loopback. 0: any free one.
	UI     bool
	UIPort int

	// SearchAttributes are created when missing, in old data too. One that exists
	// with another type is an error.
	SearchAttributes map[string]enums.IndexedValueType

	// Client is what Server.Client is made of: its logger (nil: slog.Default),
	// identity, interceptors. HostPort and Namespace are set here.
	Client client.Options

	// Log gets what the server writes. Nil: StateDir/temporal.log, or nothing.
	Log io.Writer

	// Progress is called during a build, which takes minutes. May be nil.
	Progress Progress

	// ExtraArgs follow our own on the server's command line, for example
	// "--sqlite-pragma", "synchronous=normal" for data that need not survive a
	// loss of power.
	ExtraArgs []string
}
