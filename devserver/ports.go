package main

import (
	"fmt"
	"net"
	"strconv"
)

const loopback = "127.0.0.1"

func hostPort(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

// checkPorts reports a port that is taken before the server does, which ends
// with a page of log and no hint.
func checkPorts(o options) error {
	check := func(flag, ip string, port int) error {
		l, err := net.Listen("tcp", hostPort(ip, port))
		if err != nil {
			return fmt.Errorf("cannot listen on port %d: stop what uses it or give another %s (%w)", port, flag, err)
		}
		return l.Close()
	}
	if err := check("--port", o.ip, o.port); err != nil {
		return err
	}
	if err := check("--http-port", o.ip, o.httpPort); err != nil { // 0 is free
		return err
	}
	if err := check("--metrics-port", loopback, o.metricsPort); err != nil {
		return err
	}
	if o.headless {
		return nil
	}
	return check("--ui-port", o.uiIP, o.uiPort)
}

// freePort finds a port for a listener that nobody else has to know. The port is
// used once before it is given back: Linux then hands it out to nobody for a
// while, and still lets us have it.
func freePort(ip string) (int, error) {
	l, err := net.Listen("tcp", hostPort(ip, 0))
	if err != nil {
		return 0, err
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
