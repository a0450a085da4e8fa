package api

import (
	"errors"
	"fmt"
	"net"
)

// Access says who may ask at a listener, and over what. The zero Access is plain text, for
// whoever is on this machine.
type Access struct {
	// Cert and Key are PEM files of a certificate, with those that lead to its root, and of
	// its key. With them the listener speaks TLS alone.
	Cert, Key string
	// ClientCA is a PEM file of authorities. With it, only clients with a certificate of one
	// of them are let in. It needs Cert and Key.
	ClientCA string
	// NoAuth lets a listener that clients of other machines reach ask none of them who they
	// are: something before it does, or nobody else gets there.
	NoAuth bool
	// Keys says that clients show keys: see Config.Auth and AdminConfig.Auth, by which they
	// are asked.
	Keys bool
	// NoTLS lets a listener that clients of other machines reach take their keys in plain
	// text: something before it speaks TLS. It needs Keys.
	NoTLS bool
}

// Validate returns an error that names what does not go together, in small letters as the
// fields are called.
func (a Access) Validate() error {
	switch {
	case (a.Cert == "") != (a.Key == ""):
		return errors.New("a certificate and its key go together: give both cert and key")
	case a.ClientCA != "" && a.Cert == "":
		return errors.New("clients show certificates only by TLS: give cert and key besides client-ca")
	case a.ClientCA != "" && a.NoAuth:
		return errors.New("client-ca says that clients prove who they are, and no-auth that they need not: give one of them")
	case a.Keys && a.NoAuth:
		return errors.New("keys says that clients prove who they are, and no-auth that they need not: give one of them; where something before it speaks TLS, no-tls says so")
	case a.NoTLS && !a.Keys:
		return errors.New("no-tls says that keys may come in plain text, and there are none: give keys besides it")
	case a.NoTLS && a.Cert != "":
		return errors.New("no-tls says that keys may come in plain text, and with a certificate none does: leave it out")
	}
	return nil
}

// ExposedError says that other machines would reach an address at which nobody is asked who
// they are or, where Keys is set, at which they would show their keys in plain text.
type ExposedError struct {
	Address string
	Keys    bool
}

func (e *ExposedError) Error() string {
	if e.Keys {
		return fmt.Sprintf("%s is reached from other machines, and keys would cross the network in plain text: give a certificate, listen on 127.0.0.1, or say that something before it speaks TLS", e.Address)
	}
	return fmt.Sprintf("%s is reached from other machines, and nobody is asked there who they are: require keys or certificates of clients, listen on 127.0.0.1, or say that something before it authenticates them", e.Address)
}

// Admits returns the address to listen on, and an *ExposedError where these are not the
// terms to do so.
func (a Access) Admits(address string) (*net.TCPAddr, error) {
	at, err := net.ResolveTCPAddr("tcp", address)
	if err != nil || address == "" {
		return nil, errors.Join(fmt.Errorf("cannot listen on %q: give an address such as localhost:8080", address), err)
	}
	switch {
	case at.IP.IsLoopback(): // no IP is every one of this machine
	case a.Keys && a.Cert == "" && !a.NoTLS:
		return nil, &ExposedError{address, true}
	case !a.Keys && a.ClientCA == "" && !a.NoAuth:
		return nil, &ExposedError{address, false}
	}
	return at, nil
}
