// Package reach is a circuit breaker and a dead peer detection for a connection to
// Temporal. It watches every attempt of every call, below the retries of the SDK. So it
// knows at once when Temporal is away, and it ends connections that have gone silent: gRPC
// itself sends no keepalive ping more often than every 10 s.
package reach

import (
	"context"
	"net"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// awayAfter is how long attempts must have failed, and none been answered, until
	// Temporal counts as away: one that fails alone is tried again.
	awayAfter = 500 * time.Millisecond
	// silentAfter is how long attempts that are answered at once may take, one after the
	// other, while nothing else is answered either.
	silentAfter = 3 * time.Second
	// silentAtMost is the longest such time: it doubles with every connection that was
	// ended in vain. A Temporal that is overloaded is silent on new connections, too, and
	// ending them adds to its load.
	silentAtMost = time.Minute
	// lateBy is how late a look is that says nothing of a connection: the process did not run.
	lateBy = 500 * time.Millisecond
	// knownFor is how long after its last failure Temporal counts as away: without a call
	// there is no answer either.
	knownFor = 3 * time.Second
)

// Reach watches the calls of one client. It is safe for concurrent use.
type Reach struct {
	mu      sync.Mutex
	conns   map[*conn]struct{}
	failing time.Time // the first failure since the latest answer
	failed  time.Time // the latest failure
	// unanswered is when the first prompt attempt since the latest answer began; zero
	// where none did. looked is when connections were last looked at for that, and inVain
	// how often some were ended since the latest answer.
	unanswered, looked time.Time
	inVain             int
	due                time.Time // when the next look is due
}

// New makes a Reach that has seen nothing yet.
func New() *Reach {
	return &Reach{conns: map[*conn]struct{}{}}
}

// Watch has a client that is dialled with the options watched.
func (r *Reach) Watch(o *client.Options) {
	o.ConnectionOptions.KeepAliveTime, o.ConnectionOptions.KeepAliveTimeout = 10*time.Second, 5*time.Second
	o.ConnectionOptions.DialOptions = append(o.ConnectionOptions.DialOptions,
		grpc.WithContextDialer(r.dial),
		grpc.WithChainUnaryInterceptor(r.attempt),
		// Else gRPC asks the DNS for settings in a TXT record before it connects, and waits
		// where nobody answers that: in a network without a way out, Docker's DNS does not.
		grpc.WithDisableServiceConfig(),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: .2, MaxDelay: time.Second},
			MinConnectTimeout: 5 * time.Second,
		}))
}

// Away reports whether Temporal is known not to answer now. A nil Reach knows nothing.
func (r *Reach) Away() bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if !r.failing.IsZero() && now.Sub(r.failing) >= awayAfter && now.Sub(r.failed) < knownFor {
		return true
	}
	return !r.unanswered.IsZero() && now.Sub(r.unanswered) >= silentAfter+awayAfter
}

// prompt are the methods that a Temporal which works answers within milliseconds.
var prompt = map[string]bool{"DescribeWorkflowExecution": true, "GetSystemInfo": true, "DescribeNamespace": true}

func (r *Reach) attempt(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if prompt[path.Base(method)] {
		r.noteAttempt()
	}
	err := invoke(ctx, method, req, reply, cc, opts...)
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	switch status.Code(err) {
	case codes.Unavailable:
		if r.failing.IsZero() {
			r.failing = now
		}
		r.failed = now
	case codes.DeadlineExceeded, codes.Canceled: // it may be who asked that gave up
	default:
		r.failing, r.unanswered, r.inVain = time.Time{}, time.Time{}, 0
	}
	return err
}

// noteAttempt notes that a prompt attempt begins, and sees to it that silence has an end.
func (r *Reach) noteAttempt() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.unanswered.IsZero() {
		r.unanswered = time.Now()
		r.scheduleDrop(silentAfter)
	}
}

// drop ends the connections on which nothing was received since the first attempt began that
// was not answered, if none was since; and again later, for those that followed.
func (r *Reach) drop() {
	r.mu.Lock()
	now := time.Now()
	since := r.unanswered
	if r.looked.After(since) {
		since = r.looked
	}
	if r.unanswered.IsZero() || now.Sub(since) < r.patience() {
		r.mu.Unlock()
		return
	}
	r.looked = now
	late := now.Sub(r.due) > lateBy // the process was frozen, or the machine: answers may be there, unread
	var silent []*conn
	for c := range r.conns {
		if !late && !c.received().After(since) {
			silent = append(silent, c)
		}
	}
	if len(silent) > 0 {
		r.inVain++
	}
	r.scheduleDrop(r.patience())
	r.mu.Unlock()
	for _, c := range silent {
		_ = c.Close()
	}
}

// scheduleDrop has drop called after a time. r.mu is held.
func (r *Reach) scheduleDrop(after time.Duration) {
	r.due = time.Now().Add(after)
	time.AfterFunc(after, r.drop)
}

// patience is how long a silence may last now.
func (r *Reach) patience() time.Duration {
	return min(silentAfter<<min(r.inVain, 10), silentAtMost)
}

func (r *Reach) dial(ctx context.Context, address string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return r.watched(c), nil
}

// watched is a connection that Reach can end.
func (r *Reach) watched(c net.Conn) *conn {
	w := &conn{Conn: c, reach: r}
	w.heard.Store(int64(time.Since(began)))
	r.mu.Lock()
	r.conns[w] = struct{}{}
	r.mu.Unlock()
	return w
}

// began is what times of connections count from, by the monotonic clock.
var began = time.Now()

// conn is a connection that Reach can end.
type conn struct {
	net.Conn
	reach *Reach
	heard atomic.Int64 // when something was received last, or it was opened, in ns since began
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.heard.Store(int64(time.Since(began)))
	}
	return n, err
}

func (c *conn) received() time.Time { return began.Add(time.Duration(c.heard.Load())) }

func (c *conn) Close() error {
	c.reach.mu.Lock()
	delete(c.reach.conns, c)
	c.reach.mu.Unlock()
	return c.Conn.Close()
}
