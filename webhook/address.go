package webhook

import (
	"fmt"
	"net/netip"
	"slices"
	"syscall"
)

// reserved are the addresses of IANA's registries for special purposes, and others at which
// nothing public is. netip knows the best known of them by itself.
var reserved = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
	"192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24",
	"203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
)

// global is what of IPv6 is given to anybody. Within it these are reserved, or hold another
// address: Teredo, 6to4, documentation and the like. NAT64 stands outside of it.
var (
	global    = netip.MustParsePrefix("2000::/3")
	reserved6 = prefixes("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
)

func prefixes(all ...string) (out []netip.Prefix) {
	for _, one := range all {
		out = append(out, netip.MustParsePrefix(one))
	}
	return out
}

// public reports whether an address is one of the public network: global, unicast, and
// nobody's own. What only holds another address in it, such as NAT64 and 6to4, is not.
func public(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	in := func(p netip.Prefix) bool { return p.Contains(a) }
	if a.Is4() {
		return !slices.ContainsFunc(reserved, in)
	}
	return a.IsValid() && global.Contains(a) && !slices.ContainsFunc(reserved6, in)
}

// refusePrivate is a net.Dialer.Control that refuses addresses which are not public. It is
// called with the address that is dialled, after names were looked up: a name that leads
// elsewhere the next time changes nothing.
func refusePrivate(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%q is no address", address)
	}
	if !public(at.Addr()) {
		return &privateError{at.Addr()}
	}
	return nil
}

// privateError is an endpoint at an address that is not public.
type privateError struct{ at netip.Addr }

func (e *privateError) Error() string {
	return fmt.Sprintf("%s is not a public address: --webhooks-allow-private allows it", e.at)
}
