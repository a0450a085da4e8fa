package reach_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"golang.org/x/net/dns/dnsmessage"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/ltp-node/ltp/internal/reach"
)

// TestTemporalIsReachedWhereDNSAnswersAddressesAlone: in a network without a way out,
// Docker's DNS knows the names of containers, and answers nothing else.
func TestTemporalIsReachedWhereDNSAnswersAddressesAlone(t *testing.T) {
	temporal, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer()
	go func() { _ = server.Serve(temporal) }()
	t.Cleanup(server.Stop)
	dns := addressesAlone(t)
	before := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", dns)
	}}
	t.Cleanup(func() { net.DefaultResolver = before })

	var o client.Options
	reach.New().Watch(&o)
	_, port, err := net.SplitHostPort(temporal.Addr().String())
	require.NoError(t, err)
	conn, err := grpc.NewClient("dns:///temporal.test.:"+port, append(o.ConnectionOptions.DialOptions, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	// As long as ltp gives Temporal to answer.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn.Connect()
	for s := conn.GetState(); s.String() != "READY"; s = conn.GetState() {
		require.True(t, conn.WaitForStateChange(ctx, s), "no connection within 10 s")
	}
}

// addressesAlone is a DNS server that knows 127.0.0.1 by every name, and keeps quiet when
// it is asked for anything but addresses.
func addressesAlone(t *testing.T) string {
	t.Helper()
	at, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = at.Close() })
	go func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := at.ReadFrom(buf)
			if err != nil {
				return
			}
			var asked dnsmessage.Message
			if asked.Unpack(buf[:n]) != nil || len(asked.Questions) != 1 {
				continue
			}
			q := asked.Questions[0]
			answer := dnsmessage.Message{Header: dnsmessage.Header{ID: asked.ID, Response: true, Authoritative: true}, Questions: asked.Questions}
			switch q.Type {
			case dnsmessage.TypeA:
				answer.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 60},
					Body:   &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
				}}
			case dnsmessage.TypeAAAA: // there is none
			default:
				continue
			}
			if out, err := answer.Pack(); err == nil {
				_, _ = at.WriteTo(out, from)
			}
		}
	}()
	return at.LocalAddr().String()
}
