package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ltp-node/ltp/api"
	"github.com/ltp-node/ltp/node"
)

// defaultAdmin is where a process with an order API listens for operators.
const defaultAdmin = "127.0.0.1:8081"

// listeners are where a part listens, and who may ask there. An empty address is nowhere.
type listeners struct {
	api, admin string
	pprof      bool
	access     api.Access
	identity   identity
	webhooks   webhooksFile
	// apiURL and adminURL are set by open.
	apiURL, adminURL string
}

// apiFlags are those of a part with an order API.
func apiFlags(cmd *cobra.Command, l *listeners) {
	cmd.Flags().StringVar(&l.api, "api", "127.0.0.1:8080", "where the order API listens for customers")
	l.admin = defaultAdmin
	listenFlags(cmd, l)
	before(cmd, func() error {
		if l.api == "" {
			return errors.New("--api is empty: say where the order API listens, as in --api 127.0.0.1:8080")
		}
		return nil
	})
}

// listenFlags are those of every part. An address for operators that l has is the default.
func listenFlags(cmd *cobra.Command, l *listeners) {
	f := cmd.Flags()
	usage := "where /orientation, /metrics, /healthz and /readyz are served to operators; nowhere if empty"
	if l.admin == "" {
		usage += ", as without it"
	}
	f.StringVar(&l.admin, "admin", l.admin, usage)
	f.BoolVar(&l.pprof, "pprof", false, "serve profiles under /debug/pprof/ at --admin")
	f.StringVar(&l.access.Cert, "tls-cert", "", "speak TLS alone, with the certificate in this PEM file; it may be replaced at any time")
	f.StringVar(&l.access.Key, "tls-key", "", "the key of --tls-cert, in PEM")
	f.StringVar(&l.access.ClientCA, "tls-client-ca", "", "let only clients in whose certificate one of the authorities in this PEM file has issued; at every address alike")
	identityFlags(cmd, &l.identity)
	f.BoolVar(&l.access.NoTLS, "insecure-no-tls", false, "with --keys, --oidc-issuer or --trusted-proxy, listen in plain text where other machines reach: something before it, such as a proxy or a mesh, speaks TLS and passes Authorization on")
	f.BoolVar(&l.access.NoAuth, "insecure-no-auth", false, "listen where other machines reach, and ask nobody who they are: something before it does")
	before(cmd, func() error {
		for _, name := range []string{"keys", "tls-cert", "tls-key", "tls-client-ca", "oidc-issuer", "oidc-audience", "trusted-proxy"} {
			if value := f.Lookup(name).Value.String(); f.Changed(name) && (value == "" || value == "[]") {
				return fmt.Errorf("--%s is empty: give it a value, or leave the flag out", name)
			}
		}
		for _, name := range []string{"oidc-tenant-claim", "oidc-role-claim", "oidc-customer-claim"} {
			if f.Changed(name) && l.identity.tokens.Issuer == "" {
				return fmt.Errorf("--%s is about tokens: name their issuer by --oidc-issuer", name)
			}
		}
		if err := l.identity.validate(); err != nil {
			return err
		}
		return l.check()
	})
}

// check returns what keeps the listeners from being opened, before anything has begun.
func (l *listeners) check() error {
	l.access.Keys = l.identity.asked()
	if err := l.access.Validate(); err != nil {
		return l.identity.named(asFlags(err))
	}
	if l.pprof && l.admin == "" {
		return errors.New("--pprof serves profiles at --admin: give it an address, as in --admin " + defaultAdmin)
	}
	if _, port, err := net.SplitHostPort(l.admin); err == nil && port != "0" && l.api == l.admin {
		return fmt.Errorf("--api and --admin are both %s: give each an address of its own", l.api)
	}
	for _, at := range []struct{ flag, address string }{{"--api", l.api}, {"--admin", l.admin}} {
		if at.address == "" {
			continue
		}
		if _, err := l.access.Admits(at.address); err != nil {
			return l.identity.named(ofFlag(at.flag, err))
		}
	}
	return nil
}

// open opens the listeners for the node. What it begins ends with ctx.
func (l *listeners) open(ctx context.Context, c *node.Config, log *slog.Logger) error {
	c.Pprof = l.pprof
	reloads := reloads{}
	c.Stale = reloads.stale
	if err := l.identity.open(ctx, c, reloads, log); err != nil {
		return err
	}
	if l.webhooks.path != "" {
		webhooks, err := l.webhooks.open(log)
		if err != nil {
			return err
		}
		c.Webhooks, reloads["webhooks"] = webhooks, webhooks
	}
	for _, at := range []struct {
		flag, address string
		to            *net.Listener
		url           *string
	}{{"--api", l.api, &c.Listen, &l.apiURL}, {"--admin", l.admin, &c.Admin, &l.adminURL}} {
		if at.address == "" {
			continue
		}
		opened, err := api.Listen(at.address, l.access, log)
		if err != nil {
			l.close(*c)
			return ofFlag(at.flag, err)
		}
		*at.to, *at.url = opened, opened.URL()
		reloads["certificate"] = opened // the files of every listener are the same
	}
	return nil
}

// reloads are what this process reads anew while it runs, by the names that metrics and
// /readyz have for it.
type reloads map[string]interface{ Stale() error }

// stale says of each why it could not be read the last time.
func (r reloads) stale() map[string]error {
	all := map[string]error{}
	for name, source := range r {
		all[name] = source.Stale()
	}
	return all
}

// close closes what open has opened; the node may have done so.
func (l *listeners) close(c node.Config) {
	for _, ln := range []net.Listener{c.Listen, c.Admin} {
		if ln != nil {
			_ = ln.Close()
		}
	}
}

// ofFlag says of which flag an error is, and which flags end it.
func ofFlag(flag string, err error) error {
	if exposed := (*api.ExposedError)(nil); errors.As(err, &exposed) {
		if exposed.Keys {
			return fmt.Errorf("%s %s is reached from other machines, and keys would cross the network in plain text: give --tls-cert and --tls-key, listen on 127.0.0.1, or say --insecure-no-tls where something before it speaks TLS", flag, exposed.Address)
		}
		return fmt.Errorf("%s %s is reached from other machines, and nobody is asked there who they are: give --keys or --tls-client-ca, with --tls-cert and --tls-key, listen on 127.0.0.1, or say --insecure-no-auth where something before it authenticates clients", flag, exposed.Address)
	}
	return fmt.Errorf("%s: %w", flag, err)
}

// asFlags names the fields of an api.Access as the flags.
func asFlags(err error) error {
	return errors.New(strings.NewReplacer("client-ca", "--tls-client-ca", "no-auth", "--insecure-no-auth", "no-tls", "--insecure-no-tls", "cert and key", "--tls-cert and --tls-key",
		"keys says", "--keys says", "give keys", "give --keys").Replace(err.Error()))
}
