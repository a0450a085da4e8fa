package webhook

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"
)

func TestPrivateAddressesAreRefused(t *testing.T) {
	for _, a := range []string{"1.1.1.1", "8.8.8.8", "93.184.215.14", "172.15.255.255", "172.32.0.0", "100.63.255.255", "100.128.0.0", "2606:4700::1111", "2a00:1450:4001:82a::200e", "::ffff:8.8.8.8"} {
		assert.True(t, public(netip.MustParseAddr(a)), a)
	}
	for _, a := range []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.168.1.1",
		"100.64.0.1", "100.127.255.255", "192.0.0.170", "192.0.2.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "192.88.99.1",
		"224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1",
		"64:ff9b::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "100::1", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254",
		"ff02::1", "2001::1", "2001:0:7f00:1::", "2001:db8::1", "2002:7f00:1::", "2002:a00:1::1", "3fff::1", "4000::1", "5f00::1",
	} {
		assert.False(t, public(netip.MustParseAddr(a)), a)
	}
	assert.False(t, public(netip.Addr{}))
}

// TestNoAddressOfOurOwnIsPublic, however it is written.
func TestNoAddressOfOurOwnIsPublic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b [16]byte
		copy(b[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "bytes"))
		v6, v4 := netip.AddrFrom16(b), netip.AddrFrom4([4]byte(b[:4]))
		for _, a := range []netip.Addr{v6, v4, netip.AddrFrom16(v4.As16())} {
			if u := a.Unmap(); !u.IsGlobalUnicast() || u.IsPrivate() {
				assert.False(t, public(a), "%s", a)
			}
			assert.Equal(t, public(a), public(a.Unmap()))
		}
	})
}
