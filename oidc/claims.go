package oidc

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/ltp-node/ltp"
)

// Claims are where a token says who shows it. Each is the name of a claim, or a JSON pointer
// (RFC 6901) into the claims where it begins with a slash, as /realm_access/roles does.
type Claims struct {
	// Tenant names the tenant, or ltp.NoTenant; empty has all tokens be of the default one.
	Tenant string
	// Role is a role, or a list of which exactly one is.
	Role string
	// Customer names the one customer whose orders a customer's token reaches; empty has all
	// of them reach those of all customers of their tenant.
	Customer string
}

// DefaultClaims are what issuers may be taught to write.
func DefaultClaims() Claims { return Claims{Tenant: "tenant", Role: "role", Customer: "customer"} }

func (c Claims) validate() error {
	if c.Role == "" {
		return &ltp.InvalidError{Field: "role claim", Hint: "say which claim holds the role"}
	}
	for field, path := range map[string]string{"tenant claim": c.Tenant, "role claim": c.Role, "customer claim": c.Customer} {
		if strings.HasPrefix(path, "/") && strings.Contains(strings.NewReplacer("~0", "", "~1", "").Replace(path), "~") {
			return &ltp.InvalidError{Field: field, Hint: "write ~0 for ~ and ~1 for / in a JSON pointer"}
		}
	}
	return nil
}

// identity is whom claims name. It returns an *ltp.ForbiddenError that says which claim is
// missing or unknown.
func (c Claims) identity(all map[string]any) (ltp.Identity, error) {
	tenant, err := c.text(all, c.Tenant)
	if c.Tenant == "" {
		tenant = ltp.NoTenant
	}
	if err != nil {
		return ltp.Identity{}, err
	}
	role, err := c.role(all)
	if err != nil {
		return ltp.Identity{}, err
	}
	customer, err := c.text(all, c.Customer)
	if err != nil {
		return ltp.Identity{}, err
	}
	who, err := ltp.NewIdentity(tenant, role, customer, c.Customer != "")
	var invalid *ltp.InvalidError
	if errors.As(err, &invalid) {
		claim := map[string]string{"tenant": c.Tenant, "role": c.Role, "customer": c.Customer}[invalid.Field]
		return ltp.Identity{}, forbidden("the token is good, and its claim %q is not: %s", claim, invalid.Hint)
	}
	return who, err
}

func forbidden(format string, args ...any) error {
	return &ltp.ForbiddenError{Hint: fmt.Sprintf(format, args...)}
}

// text is a claim that is text; empty where it is not there.
func (c Claims) text(all map[string]any, path string) (string, error) {
	switch v := find(all, path).(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	}
	return "", forbidden("the token is good, and its claim %q is no text", path)
}

// role is the one role that a claim names. Of a list the rest may be of others.
func (c Claims) role(all map[string]any) (found ltp.Role, err error) {
	switch v := find(all, c.Role).(type) {
	case nil:
		return "", nil
	case string:
		return ltp.Role(v), nil
	case []any:
		for _, one := range v {
			s, _ := one.(string)
			switch role := ltp.Role(s); role {
			case ltp.CustomerRole, ltp.SupportRole, ltp.OperatorRole:
				if found != "" && found != role {
					return "", forbidden("the token is good, and its claim %q names several roles: give it one of customer, support and operator", c.Role)
				}
				found = role
			}
		}
		return found, nil
	}
	return "", forbidden("the token is good, and its claim %q is neither text nor a list", c.Role)
}

// find is what stands at a path in the claims, and nil where nothing does.
func find(all map[string]any, path string) any {
	if path == "" {
		return nil
	}
	if path[0] != '/' {
		return all[path]
	}
	var at any = all
	for _, step := range strings.Split(path[1:], "/") {
		step = strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
		switch within := at.(type) {
		case map[string]any:
			at = within[step]
		case []any:
			n, err := strconv.Atoi(step)
			if err != nil || n < 0 || n >= len(within) || strconv.Itoa(n) != step {
				return nil
			}
			at = within[n]
		default:
			return nil
		}
	}
	return at
}
