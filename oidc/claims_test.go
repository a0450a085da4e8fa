package oidc

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
)

// TestClaimsAreFoundByNameOrPointer, and whatever is not there is nobody.
func TestClaimsAreFoundByNameOrPointer(t *testing.T) {
	var all map[string]any
	require.NoError(t, json.Unmarshal([]byte(`{
		"role":"support", "tenant":"acme", "https://shop.example/role":"customer", "c":"c-17", "a/b":{"m~n":"operator"},
		"realm_access":{"roles":["x","operator"]}, "groups":[{"tenant":"globex"}], "":"support"}`), &all))
	for _, c := range []struct {
		claims Claims
		want   ltp.Identity // zero where it is nobody
	}{
		{Claims{Tenant: "tenant", Role: "role"}, ltp.Identity{Tenant: "acme", Role: ltp.SupportRole}},
		{Claims{Role: "role"}, ltp.Identity{Role: ltp.SupportRole}},
		{Claims{Tenant: "tenant", Role: "https://shop.example/role", Customer: "c"}, ltp.Identity{Tenant: "acme", Role: ltp.CustomerRole, Customer: "c-17"}},
		{Claims{Tenant: "tenant", Role: "https://shop.example/role"}, ltp.Identity{Tenant: "acme", Role: ltp.CustomerRole}},
		{Claims{Tenant: "/groups/0/tenant", Role: "/realm_access/roles"}, ltp.Identity{Tenant: "globex", Role: ltp.OperatorRole}},
		{Claims{Tenant: "tenant", Role: "/realm_access/roles/1"}, ltp.Identity{Tenant: "acme", Role: ltp.OperatorRole}},
		{Claims{Tenant: "tenant", Role: "/a~1b/m~0n"}, ltp.Identity{Tenant: "acme", Role: ltp.OperatorRole}},
		{Claims{Tenant: "tenant", Role: "/"}, ltp.Identity{Tenant: "acme", Role: ltp.SupportRole}},
		{Claims{Tenant: "/groups/1/tenant", Role: "role"}, ltp.Identity{}},
		{Claims{Tenant: "/groups/00/tenant", Role: "role"}, ltp.Identity{}},
		{Claims{Tenant: "/groups/-/tenant", Role: "role"}, ltp.Identity{}},
		{Claims{Tenant: "groups.0.tenant", Role: "role"}, ltp.Identity{}},
		{Claims{Tenant: "tenant", Role: "/role/x"}, ltp.Identity{}},
		{Claims{Tenant: "tenant", Role: "Role"}, ltp.Identity{}},
		{Claims{Tenant: "tenant", Role: "realm_access"}, ltp.Identity{}},
		{Claims{Tenant: "tenant", Role: "role", Customer: "c"}, ltp.Identity{}}, // support of one customer
	} {
		who, err := c.claims.identity(all)
		if c.want.Role == "" {
			assert.ErrorAs(t, err, new(*ltp.ForbiddenError), "%+v", c.claims)
			continue
		}
		require.NoError(t, err, "%+v", c.claims)
		c.want.Known = true
		assert.Equal(t, c.want, who, "%+v", c.claims)
	}
}

func TestSettingsThatCouldNotBeAreRefused(t *testing.T) {
	good := Config{Issuer: "https://id.example/shop", Audience: "orders", Claims: DefaultClaims()}
	require.NoError(t, good.Validate())
	for _, issuer := range []string{"", "id.example", "http://id.example", "ftp://id.example", "https://", "https://a:b@id.example", "https://id.example?x=1", "https://id.example#x", "file:///etc/keys"} {
		c := good
		c.Issuer = issuer
		assert.Error(t, c.Validate(), "%q", issuer)
		_, err := Open(t.Context(), c)
		assert.Error(t, err)
	}
	for _, issuer := range []string{"http://127.0.0.1:9000", "http://[::1]:9000", "http://localhost/x"} {
		c := good
		c.Issuer = issuer
		assert.NoError(t, c.Validate(), "%q", issuer)
	}
}
