package orderdb

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// lookupFor is how long a connection waits for the address of one of several hosts.
const lookupFor = time.Second

// hostLookup looks up the hosts of a URL that names several. pgx looks up all of them before it
// connects to any, and a name server may be silent about a host that was lost, as Docker's
// is: no connection would be made to the hosts that are left. So a look-up is given up
// after lookupFor; it goes on by itself, and while it does, the host has no address.
type hostLookup struct {
	resolve func(ctx context.Context, host string) ([]string, error)
	mu      sync.Mutex
	silent  map[string]bool // hosts whose look-up was given up, and goes on
}

// lookupHost asks the name server.
var lookupHost = net.DefaultResolver.LookupHost

func newHostLookup() *hostLookup { return &hostLookup{resolve: lookupHost, silent: map[string]bool{}} }

// lookup is a pgconn.LookupFunc.
func (n *hostLookup) lookup(ctx context.Context, host string) ([]string, error) {
	n.mu.Lock()
	silent := n.silent[host]
	n.mu.Unlock()
	if silent {
		return nil, fmt.Errorf("the name server is silent about %s", host)
	}
	type answer struct {
		addresses []string
		err       error
	}
	answers := make(chan answer, 1)
	go func() {
		// By its own time: the resolver gives up after some seconds.
		addresses, err := n.resolve(context.WithoutCancel(ctx), host)
		n.mu.Lock()
		delete(n.silent, host)
		answers <- answer{addresses, err} // under the lock: given up, or answered
		n.mu.Unlock()
	}()
	patience := time.NewTimer(lookupFor)
	defer patience.Stop()
	select {
	case a := <-answers:
		return a.addresses, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-patience.C:
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case a := <-answers:
		return a.addresses, a.err
	default:
		n.silent[host] = true
		return nil, fmt.Errorf("the name server has not answered for %s within %s", host, lookupFor)
	}
}
