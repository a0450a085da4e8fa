package api

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestAddressThatOtherMachinesReachNeedsAuthentication: an address that other machines reach is for listeners at which
// clients prove who they are, or of which somebody has said that they need not.
func TestAddressThatOtherMachinesReachNeedsAuthentication(t *testing.T) {
	for _, c := range []struct {
		address string
		exposed bool
	}{
		{"127.0.0.1:8080", false}, {"127.0.0.1:0", false}, {"127.9.9.9:8080", false}, {"localhost:8080", false},
		{"[::1]:8080", false}, {"[::ffff:127.0.0.1]:8080", false},
		{":8080", true}, {"0.0.0.0:8080", true}, {"[::]:8080", true}, {"[::ffff:0.0.0.0]:8080", true},
		{"10.0.0.7:8080", true}, {"192.168.1.1:8080", true}, {"128.0.0.1:8080", true}, {"[fe80::1]:8080", true},
		{"[::ffff:10.0.0.7]:8080", true}, {"169.254.169.254:80", true}, {"224.0.0.1:80", true},
	} {
		for name, access := range map[string]Access{"nothing": {}, "TLS alone": {Cert: "c", Key: "k"}} {
			_, err := access.Admits(c.address)
			var exposed *ExposedError
			assert.Equal(t, c.exposed, errors.As(err, &exposed), "%s with %s: %v", c.address, name, err)
			if c.exposed {
				assert.Contains(t, err.Error(), c.address)
				_, err = Listen(c.address, Access{}, quiet)
				assert.ErrorAs(t, err, &exposed, "and nothing listens there")
			} else {
				assert.NoError(t, err)
			}
		}
		_, err := Access{Keys: true}.Admits(c.address)
		var exposed *ExposedError
		assert.Equal(t, c.exposed, errors.As(err, &exposed) && exposed.Keys, "%s with keys in plain text: %v", c.address, err)
		for name, access := range map[string]Access{
			"client-ca": {Cert: "c", Key: "k", ClientCA: "a"}, "no-auth": {NoAuth: true},
			"keys by TLS": {Cert: "c", Key: "k", Keys: true}, "keys behind TLS": {Keys: true, NoTLS: true},
		} {
			at, err := access.Admits(c.address)
			require.NoError(t, err, "%s with %s", c.address, name)
			assert.NotNil(t, at)
		}
	}
	for _, address := range []string{"", "8080", "localhost", "localhost:http:80", "10.0.0.7:x"} {
		_, err := Access{NoAuth: true}.Admits(address)
		assert.ErrorContains(t, err, "give an address such as localhost:8080", "%q", address)
	}
}

func TestContradictorySettingsOfAccessAreRefused(t *testing.T) {
	for _, c := range []struct {
		access Access
		says   string
	}{
		{Access{}, ""}, {Access{NoAuth: true}, ""}, {Access{Cert: "c", Key: "k"}, ""}, {Access{Cert: "c", Key: "k", NoAuth: true}, ""},
		{Access{Cert: "c", Key: "k", ClientCA: "a"}, ""},
		{Access{Cert: "c"}, "both cert and key"}, {Access{Key: "k"}, "both cert and key"},
		{Access{ClientCA: "a"}, "besides client-ca"},
		{Access{Cert: "c", Key: "k", ClientCA: "a", NoAuth: true}, "one of them"},
		{Access{Keys: true}, ""}, {Access{Keys: true, NoTLS: true}, ""}, {Access{Keys: true, Cert: "c", Key: "k", ClientCA: "a"}, ""},
		{Access{Keys: true, NoAuth: true}, "one of them"}, {Access{NoTLS: true}, "give keys"}, {Access{Keys: true, NoTLS: true, Cert: "c", Key: "k"}, "leave it out"},
	} {
		err := c.access.Validate()
		if c.says == "" {
			assert.NoError(t, err)
			continue
		}
		assert.ErrorContains(t, err, c.says)
		_, listens := Listen("127.0.0.1:0", c.access, quiet)
		assert.Equal(t, err, listens)
	}
}
