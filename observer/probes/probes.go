// Package probes is a factory: it opens the probe of a component by the URL of the component.
package probes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ltp-node/ltp/observer"
	"github.com/ltp-node/ltp/observer/health"
	"github.com/ltp-node/ltp/observer/patroni"
	"github.com/ltp-node/ltp/orderdb"
)

// Probe is a probe that holds connections.
type Probe interface {
	observer.Probe
	io.Closer
}

// Open returns the probe of a component at a URL: an order database for postgres://…
// or an SQLite file, see [orderdb.OpenProbe], and a health endpoint for http:// and
// https://, see [health.Open]. Where addresses of Patroni are given, what it says is
// evidence beside it. The options are for an order database. Nothing is connected to.
// Errors say what to give instead, and show no password.
func Open(url, component string, patroniAddresses []string, opts ...orderdb.Option) (Probe, error) {
	write, err := open(url, component, opts)
	if err != nil || len(patroniAddresses) == 0 {
		return write, err
	}
	keeper, err := patroni.Open(patroniAddresses...)
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	both := observer.WithEvidence(write, observer.Evidence{Name: "patroni", Probe: keeper})
	return &opened{both, []io.Closer{write, keeper}}, nil
}

// Subject is what reasons about a component at a URL speak of, see
// [observer.Settings].
func Subject(url string) string {
	if strings.HasPrefix(url, "http://") || strings.HasPrefix(url, "https://") {
		return "Health endpoint"
	}
	return ""
}

func open(url, component string, opts []orderdb.Option) (Probe, error) {
	scheme, _, found := strings.Cut(url, "://")
	switch {
	case url == "":
		return nil, fmt.Errorf("where %s is, nobody says: %s", component, howTo)
	case found && (scheme == "http" || scheme == "https"):
		return health.Open(url)
	case found && scheme != "postgres" && scheme != "postgresql" && scheme != "sqlite":
		return nil, fmt.Errorf("the URL %s of %s is not understood: %s", orderdb.Redact(url), component, howTo)
	}
	return orderdb.OpenProbe(url, component, opts...)
}

const howTo = "give postgres://user@host:5432/database, an SQLite file, or the http:// or https:// address of a health endpoint"

type opened struct {
	probe observer.Probe
	all   []io.Closer
}

func (o *opened) Probe(ctx context.Context) (map[string]string, error) { return o.probe.Probe(ctx) }

func (o *opened) Close() error {
	var failed []error
	for _, c := range o.all {
		failed = append(failed, c.Close())
	}
	return errors.Join(failed...)
}
