package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/api"
	"github.com/ltp-node/ltp/apikey"
	"github.com/ltp-node/ltp/node"
	"github.com/ltp-node/ltp/oidc"
)

// identity is how it is known who makes a request: by a key, by a token, or by what a proxy
// says. The zero identity asks nobody.
type identity struct {
	keys    string // the file
	tokens  oidc.Config
	proxies []string
	headers map[string]string // by tenant, role and customer
	proxy   *api.Proxy        // made of both by validate
}

func identityFlags(cmd *cobra.Command, i *identity) {
	i.tokens.Claims = oidc.DefaultClaims()
	f := cmd.Flags()
	f.StringVar(&i.keys, "keys", "", "let only clients in who show a key of this file (ltp keys create), as Authorization: Bearer; it may be changed at any time. At --api a key reaches the orders of its tenant, by its role; at --admin operators' keys without a tenant count alone, and /healthz and /readyz ask for none. An address that other machines reach needs --tls-cert besides, or --insecure-no-tls")
	f.StringVar(&i.tokens.Issuer, "oidc-issuer", "", "let clients in who show a token (JWT) of this OpenID Connect issuer, as Authorization: Bearer, beside those of --keys or alone; the URL to the letter, as it stands in iss")
	f.StringVar(&i.tokens.Audience, "oidc-audience", "", "what the issuer calls the order node: aud of a token must hold it. Let it be the API's own and no client's, whose ID tokens would count otherwise")
	claim := ": its name, or a JSON pointer such as /realm_access/roles"
	f.StringVar(&i.tokens.Claims.Tenant, "oidc-tenant-claim", i.tokens.Claims.Tenant, "the claim that names the tenant, or "+ltp.NoTenant+" for the default one"+claim+"; empty has every token be of the default one")
	f.StringVar(&i.tokens.Claims.Role, "oidc-role-claim", i.tokens.Claims.Role, "the claim that holds customer, support or operator, or a list with one of them"+claim)
	f.StringVar(&i.tokens.Claims.Customer, "oidc-customer-claim", i.tokens.Claims.Customer, "the claim that names the one customer whose orders a customer's token reaches"+claim+"; empty has it reach those of all customers of its tenant")
	f.StringSliceVar(&i.proxies, "trusted-proxy", nil, "the addresses of proxies that say in --identity-header who makes a request, such as 10.1.2.3 or 10.1.2.0/24: where a connection comes from, whatever X-Forwarded-For says")
	f.StringToStringVar(&i.headers, "identity-header", nil, "the headers in which they say it: tenant=X-Ltp-Tenant,role=X-Ltp-Role,customer=X-Ltp-Customer. Without tenant= all are of the default tenant, without customer= nobody is bound to a customer")
}

// asked reports whether clients are asked who they are.
func (i *identity) asked() bool { return i.keys != "" || i.tokens.Issuer != "" || len(i.proxies) > 0 }

// named is an error about keys, with the flag that asks for who somebody is.
func (i *identity) named(err error) error {
	switch {
	case i.keys != "":
		return err
	case i.tokens.Issuer != "":
		return errors.New(strings.NewReplacer("--keys says", "--oidc-issuer says", "keys ", "tokens ").Replace(err.Error()))
	case len(i.proxies) > 0:
		return errors.New(strings.NewReplacer("--keys says", "--trusted-proxy says", "and keys would", "and what a proxy says of its clients would").Replace(err.Error()))
	}
	return err
}

func (i *identity) validate() error {
	var invalid *ltp.InvalidError
	switch {
	case i.tokens.Issuer == "" && i.tokens.Audience != "":
		return errors.New("--oidc-audience is about tokens: name their issuer by --oidc-issuer")
	case i.tokens.Issuer != "" && errors.As(i.tokens.Validate(), &invalid):
		return fmt.Errorf("--oidc-%s: %s", strings.ReplaceAll(invalid.Field, " ", "-"), invalid.Hint)
	case (len(i.proxies) > 0) != (len(i.headers) > 0):
		return errors.New("--trusted-proxy and --identity-header go together: give both")
	case len(i.proxies) == 0:
		return nil
	}
	for what, header := range i.headers {
		if what != "tenant" && what != "role" && what != "customer" || header == "" {
			return fmt.Errorf("--identity-header %s=%s: name the headers of tenant, role and customer, as in role=X-Ltp-Role", what, header)
		}
	}
	from, err := api.ParseProxies(i.proxies)
	if err != nil {
		return fmt.Errorf("--trusted-proxy %w", err)
	}
	i.proxy = &api.Proxy{From: from, Tenant: i.headers["tenant"], Role: i.headers["role"], Customer: i.headers["customer"]}
	if errors.As(i.proxy.Validate(), &invalid) {
		return fmt.Errorf("--%s: %s", map[bool]string{true: "trusted-proxy", false: "identity-header"}[invalid.Field == "from"], invalid.Hint)
	}
	return nil
}

// open has a node ask who makes a request. The bounds of tenants are those of the file of
// keys, whoever names the tenant.
func (i *identity) open(ctx context.Context, c *node.Config, reloads reloads, log *slog.Logger) error {
	var bounds func(string) ltp.Bounds
	var keys *apikey.Keys
	if i.keys != "" {
		opened, err := apikey.Open(i.keys, log)
		if err != nil {
			return fmt.Errorf("--keys: %w", err)
		}
		keys, bounds = &opened, opened.Bounds
		c.Auth = opened
		reloads["api-keys"] = opened
	}
	if i.tokens.Issuer != "" {
		config := i.tokens
		config.Bounds, config.Log = bounds, log
		tokens, err := oidc.Open(ctx, config)
		if err != nil {
			return fmt.Errorf("--oidc-issuer: %w", err)
		}
		c.Auth = keysOrTokens{keys, tokens}
		reloads["issuer-keys"] = tokens
	}
	if i.proxy != nil {
		proxy := *i.proxy
		proxy.Bounds = bounds
		c.Proxy = &proxy
	}
	return nil
}

// keysOrTokens knows who shows a key by its form, and takes whatever else for a token.
type keysOrTokens struct {
	keys   *apikey.Keys // nil where there is no file of keys
	tokens *oidc.Tokens
}

func (k keysOrTokens) Identify(ctx context.Context, secret string) (ltp.Identity, error) {
	if k.keys != nil && apikey.HasPrefix(secret) {
		return k.keys.Identify(ctx, secret)
	}
	return k.tokens.Identify(ctx, secret)
}
