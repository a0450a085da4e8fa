package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/ltp-node/ltp"
)

// Proxy believes what trusted proxies say in headers of who makes a request. Only the address
// that a connection comes from identifies a proxy: X-Forwarded-For and Forwarded are not read.
// Listeners are of TCP alone, so every connection has one.
//
// A proxy sets each header to one value, and takes out what its clients send under the same
// names: this is what proxies can do, and what they must.
type Proxy struct {
	// From are the addresses of the proxies. Those of IPv4 are meant in either spelling.
	From []netip.Prefix
	// Tenant, Role and Customer are the names of headers. Without Tenant, all are of the default
	// tenant; without Customer, nobody is bound to one; a header that has a name must be sent,
	// but for that of the customer where the role is another.
	Tenant, Role, Customer string
	// Bounds are those of a tenant's customers; nil has none be more than the default.
	Bounds func(tenant string) ltp.Bounds
}

// Validate returns an *ltp.InvalidError for what cannot be.
func (p Proxy) Validate() error {
	if len(p.From) == 0 {
		return &ltp.InvalidError{Field: "from", Hint: "name the addresses of the proxies, such as 10.1.2.3 or 10.1.2.0/24"}
	}
	for _, from := range p.From {
		if from = unmapped(from); !from.IsValid() || from.Bits() == 0 {
			return &ltp.InvalidError{Field: "from", Hint: fmt.Sprintf("%s is every address, and whoever gets here would be believed: name those of the proxies", from)}
		}
		if from.Addr().Is4In6() {
			return &ltp.InvalidError{Field: "from", Hint: fmt.Sprintf("%s holds more than the addresses of IPv4: write ranges of those as such, as in 10.1.2.0/24", from)}
		}
	}
	if p.Role == "" {
		return &ltp.InvalidError{Field: "role", Hint: "say which header holds the role"}
	}
	seen := map[string]bool{}
	for _, name := range p.headers() {
		canonical := http.CanonicalHeaderKey(name)
		switch {
		case !headerPattern.MatchString(name) || canonical == "Authorization":
			return &ltp.InvalidError{Field: "header", Hint: fmt.Sprintf("%q cannot be a header of identity: use names such as X-Ltp-Role", name)}
		case seen[canonical]:
			return &ltp.InvalidError{Field: "header", Hint: fmt.Sprintf("%q has two meanings: give each its own name", name)}
		}
		seen[canonical] = true
	}
	return nil
}

// ParseProxies reads the addresses of proxies: CIDRs, or single addresses.
func ParseProxies(texts []string) (all []netip.Prefix, err error) {
	for _, text := range texts {
		from, err := netip.ParsePrefix(text)
		if err != nil {
			var one netip.Addr
			if one, err = netip.ParseAddr(text); err == nil {
				if one.Zone() != "" {
					return nil, fmt.Errorf("%q: connections are not distinguished by the link that they come from: use an address of a proxy that is good on all links, without %%%s", text, one.Zone())
				}
				from, err = one.Prefix(one.BitLen())
			}
		}
		if err != nil || from.Masked() != from {
			return nil, fmt.Errorf("%q: give an address such as 10.1.2.3, or a range such as 10.1.2.0/24", text)
		}
		if from = unmapped(from); from.Addr().Is4In6() {
			return nil, fmt.Errorf("%q: write ranges of IPv4 as such, as in 10.1.2.0/24", text)
		}
		all = append(all, from)
	}
	return all, nil
}

// unmapped is a range of IPv4 that is mapped into IPv6 as such, and any other as it is.
func unmapped(from netip.Prefix) netip.Prefix {
	if from.Addr().Is4In6() && from.Bits() >= 96 {
		return netip.PrefixFrom(from.Addr().Unmap(), from.Bits()-96)
	}
	return from
}

var headerPattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]*$`)

// headers are the names of the headers that there are.
func (p Proxy) headers() (all []string) {
	for _, name := range []string{p.Tenant, p.Role, p.Customer} {
		if name != "" {
			all = append(all, name)
		}
	}
	return all
}

// trusts reports whether a connection comes from a proxy.
func (p Proxy) trusts(remote string) bool {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return false
	}
	addr := at.Addr().Unmap().WithZone("") // a Prefix holds no address with a zone
	for _, from := range p.From {
		if unmapped(from).Contains(addr) {
			return true
		}
	}
	return false
}

// named reports whether any header of a request says who makes it.
func (p Proxy) named(r *http.Request) bool {
	return slices.ContainsFunc(p.headers(), func(name string) bool { return len(r.Header.Values(name)) > 0 })
}

// identify says who makes a request, and whether any header says so. Headers from elsewhere
// than a proxy are refused and not ignored: somebody forges them, or the addresses of the
// proxies are not those that they come from.
func (p Proxy) identify(r *http.Request) (who ltp.Identity, named bool, refused *problem) {
	if !p.named(r) {
		return who, false, nil
	}
	if !p.trusts(r.RemoteAddr) {
		return who, true, unauthenticated.withDetail("The headers that say who you are count from the proxies of the order node alone, and this connection is of none: leave them out, or have whoever runs the order node look at the addresses of its proxies.")
	}
	said := func(name string) (value string) {
		if name == "" || refused != nil {
			return ""
		}
		switch values := r.Header.Values(name); {
		case len(values) > 1:
			refused = unauthenticated.withDetail(fmt.Sprintf("The header %s came twice: the proxy must set it, and take out what its clients send.", name))
		case len(values) == 1:
			value = values[0]
		}
		// A proxy that adds to a client's header, in place of setting it, makes a list of both.
		if strings.Contains(value, ",") {
			refused = unauthenticated.withDetail(fmt.Sprintf("The header %s holds a list: the proxy must set it to one value, and take out what its clients send.", name))
		}
		return value
	}
	tenant, role, customer := said(p.Tenant), said(p.Role), said(p.Customer)
	if p.Tenant == "" {
		tenant = ltp.NoTenant
	}
	if refused != nil {
		return who, true, refused
	}
	who, err := ltp.NewIdentity(tenant, ltp.Role(role), customer, p.Customer != "")
	var invalid *ltp.InvalidError
	if errors.As(err, &invalid) {
		header := map[string]string{"tenant": p.Tenant, "role": p.Role, "customer": p.Customer}[invalid.Field]
		if r.Header.Get(header) == "" {
			return who, true, unauthenticated.withDetail(fmt.Sprintf("The proxy has sent no header %s: %s", header, sentence(invalid.Hint)))
		}
		return who, true, forbidden.withDetail(fmt.Sprintf("What the proxy says in the header %s is not known here: %s", header, sentence(invalid.Hint)))
	}
	who.Name = "proxy " + r.RemoteAddr
	if p.Bounds != nil {
		who.Bounds = p.Bounds(who.Tenant)
	}
	return who, true, nil
}
