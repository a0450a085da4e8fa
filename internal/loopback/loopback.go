// Package loopback finds ports on this machine's own interface, for servers that are
// given the port to listen on.
package loopback

import (
	"fmt"
	"net"
	"strconv"
)

// Address is that of the interface.
const Address = "127.0.0.1"

// Port checks that nobody listens on the port, or finds one for 0. A server would find
// out as well, but by then we might have connected to whoever is there, and taken it for
// ours.
//
// The port is used once before it is given back: Linux then hands it out to nobody
// for a while, and still lets us have it.
func Port(port int) (int, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(Address, strconv.Itoa(port)))
	if err != nil {
		return 0, fmt.Errorf("cannot listen on port %d: stop what uses it or choose another port (%w)", port, err)
	}
	defer l.Close()
	out, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return 0, err
	}
	defer out.Close()
	in, err := l.Accept()
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, in.Close()
}
