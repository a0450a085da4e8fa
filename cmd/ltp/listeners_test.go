package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// begins is what keeps a command from beginning; it ends before it would need Temporal.
func begins(t *testing.T, args []string) error {
	t.Helper()
	cmd := root()
	cmd.SetOut(io.Discard)
	cmd.SetErr(io.Discard)
	part, _, err := cmd.Find(args)
	require.NoError(t, err)
	part.RunE = func(*cobra.Command, []string) error { return nil }
	cmd.SetArgs(args)
	return cmd.Execute()
}

// TestPartsListenWhereTheyMay: what they may not is said before anything is started, with
// the flags that end it.
func TestPartsListenWhereTheyMay(t *testing.T) {
	orders := []string{"--orders-db", "postgres://db/orders"}
	for _, c := range []struct {
		args []string
		says string // nothing is wrong where it is empty
	}{
		{[]string{"api"}, ""},
		{[]string{"api", "--admin", ""}, ""},
		{[]string{"api", "--api", "127.0.0.1:0", "--admin", "[::1]:0", "--pprof"}, ""},
		{[]string{"api", "--api", ":8080", "--insecure-no-auth"}, ""},
		{[]string{"api", "--api", ":8080", "--tls-cert", "c", "--tls-key", "k", "--tls-client-ca", "a"}, ""},
		{[]string{"worker"}, ""},
		{[]string{"worker", "--admin", "127.0.0.1:9464"}, ""},
		{[]string{"observe", "--admin", ":9464", "--insecure-no-auth"}, ""},
		{[]string{"dev", "--api", "localhost:8080"}, ""},
		{[]string{"api", "--keys", "f"}, ""},
		{[]string{"api", "--keys", "f", "--api", ":8080", "--admin", ":8081", "--tls-cert", "c", "--tls-key", "k"}, ""},
		{[]string{"api", "--keys", "f", "--api", ":8080", "--tls-cert", "c", "--tls-key", "k", "--tls-client-ca", "a"}, ""},
		{[]string{"api", "--keys", "f", "--api", ":8080", "--insecure-no-tls"}, ""},
		{[]string{"worker", "--keys", "f", "--admin", ":9464", "--insecure-no-tls"}, ""},
		{[]string{"api", "--oidc-issuer", "https://id.example.com/shop", "--oidc-audience", "orders", "--oidc-tenant-claim", ""}, ""},
		{[]string{"api", "--keys", "f", "--oidc-issuer", "http://127.0.0.1:9000", "--oidc-audience", "orders", "--oidc-role-claim", "/realm_access/roles"}, ""},
		{[]string{"api", "--trusted-proxy", "10.1.2.0/24,::1,10.9.9.9", "--identity-header", "tenant=X-T,role=X-R,customer=X-C", "--api", ":8080", "--insecure-no-tls"}, ""},

		{[]string{"api", "--api", "0.0.0.0:8080"}, "--api 0.0.0.0:8080 is reached from other machines, and nobody is asked there who they are: give --keys or --tls-client-ca, with --tls-cert and --tls-key, listen on 127.0.0.1, or say --insecure-no-auth where something before it authenticates clients"},
		{[]string{"api", "--admin", ":8081"}, "--admin :8081 is reached from other machines"},
		{[]string{"api", "--api", ":8080", "--tls-cert", "c", "--tls-key", "k"}, "--api :8080 is reached"},
		{[]string{"dev", "--api", ":8080"}, "--api :8080 is reached"},
		{[]string{"worker", "--admin", ":9464"}, "--admin :9464 is reached"},
		{[]string{"observe", "--admin", "10.0.0.7:9464"}, "--admin 10.0.0.7:9464 is reached"},
		{[]string{"api", "--api", ""}, "--api is empty"},
		{[]string{"api", "--api", "8080"}, "--api: cannot listen on"},
		{[]string{"api", "--api", "127.0.0.1:8081"}, "--api and --admin are both 127.0.0.1:8081"},
		{[]string{"api", "--tls-cert", "c"}, "give both --tls-cert and --tls-key"},
		{[]string{"worker", "--tls-client-ca", "a"}, "give --tls-cert and --tls-key besides --tls-client-ca"},
		{[]string{"api", "--tls-cert", "c", "--tls-key", "k", "--tls-client-ca", "a", "--insecure-no-auth"}, "--tls-client-ca says that clients prove who they are, and --insecure-no-auth"},
		{[]string{"api", "--keys", "f", "--api", ":8080"}, "--api :8080 is reached from other machines, and keys would cross the network in plain text: give --tls-cert and --tls-key, listen on 127.0.0.1, or say --insecure-no-tls where"},
		{[]string{"observe", "--keys", "f", "--admin", "10.0.0.7:9464"}, "--admin 10.0.0.7:9464 is reached from other machines, and keys"},
		{[]string{"api", "--keys", "f", "--api", ":8080", "--insecure-no-auth"}, "--keys says that clients prove who they are, and --insecure-no-auth that they need not: give one of them; where something before it speaks TLS, --insecure-no-tls says so"},
		{[]string{"api", "--insecure-no-tls"}, "give --keys besides it"},
		{[]string{"api", "--keys", "f", "--insecure-no-tls", "--tls-cert", "c", "--tls-key", "k"}, "--insecure-no-tls says that keys may come in plain text, and with a certificate none does"},
		{[]string{"api", "--oidc-issuer", "https://id.example.com"}, "--oidc-audience: say what the issuer calls this node"},
		{[]string{"api", "--oidc-audience", "orders"}, "name their issuer by --oidc-issuer"},
		{[]string{"api", "--oidc-issuer", "http://id.example.com", "--oidc-audience", "orders"}, "--oidc-issuer: keys that come by http"},
		{[]string{"api", "--oidc-issuer", "id.example.com", "--oidc-audience", "orders"}, "--oidc-issuer: give a URL"},
		{[]string{"api", "--oidc-issuer", "https://id.example.com", "--oidc-audience", "orders", "--oidc-role-claim", ""}, "--oidc-role-claim: say which"},
		{[]string{"api", "--oidc-issuer", "https://id.example.com", "--oidc-audience", "orders", "--oidc-role-claim", "/a~b"}, "--oidc-role-claim: write ~0"},
		{[]string{"api", "--oidc-issuer", ""}, "--oidc-issuer is empty"},
		{[]string{"api", "--oidc-issuer", "https://id.example.com?x=1", "--oidc-audience", "orders"}, "--oidc-issuer: an issuer has no query"},
		{[]string{"api", "--keys", "f", "--oidc-role-claim", "r"}, "--oidc-role-claim is about tokens: name their issuer by --oidc-issuer"},
		{[]string{"api", "--oidc-tenant-claim", ""}, "--oidc-tenant-claim is about tokens"},
		{[]string{"api", "--oidc-customer-claim", "c"}, "--oidc-customer-claim is about tokens"},
		{[]string{"api", "--trusted-proxy", ""}, "--trusted-proxy is empty: give it a value, or leave the flag out"},
		{[]string{"api", "--oidc-issuer", "https://id.example.com", "--oidc-audience", "orders", "--api", ":8080"}, "--api :8080 is reached from other machines, and tokens would cross the network in plain text"},
		{[]string{"api", "--oidc-issuer", "https://id.example.com", "--oidc-audience", "orders", "--insecure-no-auth"}, "--oidc-issuer says that clients prove"},
		{[]string{"api", "--trusted-proxy", "10.1.2.3"}, "--trusted-proxy and --identity-header go together"},
		{[]string{"api", "--identity-header", "role=X-R"}, "--trusted-proxy and --identity-header go together"},
		{[]string{"api", "--trusted-proxy", "10.1.2.3/24", "--identity-header", "role=X-R"}, "--trusted-proxy \"10.1.2.3/24\": give an address"},
		{[]string{"api", "--trusted-proxy", "0.0.0.0/0", "--identity-header", "role=X-R"}, "--trusted-proxy: 0.0.0.0/0 is every address"},
		{[]string{"api", "--trusted-proxy", "10.1.2.3", "--identity-header", "tenant=X-T"}, "--identity-header: say which header holds the role"},
		{[]string{"api", "--trusted-proxy", "10.1.2.3", "--identity-header", "role=X-R,user=X-U"}, "--identity-header user=X-U"},
		{[]string{"api", "--trusted-proxy", "10.1.2.3", "--identity-header", "role=X-R,tenant=x-r"}, "has two meanings"},
		{[]string{"api", "--trusted-proxy", "10.1.2.3", "--identity-header", "role=Authorization"}, "cannot be a header of identity"},
		{[]string{"api", "--trusted-proxy", "10.1.2.3", "--identity-header", "role=X-R", "--api", ":8080"}, "and what a proxy says of its clients would cross"},
		{[]string{"worker", "--pprof"}, "--pprof serves profiles at --admin"},
		{[]string{"api", "--admin", "", "--pprof"}, "--pprof serves profiles at --admin"},
		{[]string{"worker", "--metrics", "127.0.0.1:9464"}, "unknown flag: --metrics"},
	} {
		args := c.args
		if args[0] == "worker" || args[0] == "observe" {
			args = append(args, orders...)
		}
		if err := begins(t, args); c.says == "" {
			assert.NoError(t, err, "%q", c.args)
		} else {
			assert.ErrorContains(t, err, c.says, "%q", c.args)
		}
	}
}

// TestComposedPartsBegin with the flags of docker-compose.yml, and Prometheus asks them
// where they listen for operators.
func TestComposedPartsBegin(t *testing.T) {
	read := func(name string) string {
		content, err := os.ReadFile(filepath.Join("..", "..", name))
		require.NoError(t, err)
		return string(content)
	}
	scraped := read("deploy/prometheus.yml")
	composed := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^  ([a-z]+):\n    <<: \*ltp\n    command: \[(.*?)\]`).FindAllStringSubmatch(read("docker-compose.yml"), -1) {
		service, args := m[1], regexp.MustCompile(`, *`).Split(strings.ReplaceAll(m[2], `"`, ""), -1)
		assert.NoError(t, begins(t, args), "%s", service)
		if at := slices.Index(args, "--admin"); at >= 0 {
			composed[args[0]] = true
			assert.Contains(t, scraped, fmt.Sprintf("names: [%s], type: A, port: %s,", service, strings.TrimPrefix(args[at+1], ":")))
		}
	}
	assert.Equal(t, map[string]bool{"api": true, "worker": true, "observe": true}, composed)
}
