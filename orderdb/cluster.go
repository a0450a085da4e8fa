package orderdb

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// cluster keeps us from former leaders. One that was frozen, or cut off, while another
// server was promoted reports read-write like any leader, and every write to it hangs for
// the standby that it has lost. Only its timeline shows that, which grows with every
// promotion: a server is refused whose timeline is lower than the highest that this
// process has seen in the cluster, and pgx goes on to the next host.
//
// A server that does not show its timeline, or not to everyone, is used all the same.
type cluster struct {
	// hosts are what to ask, one each.
	hosts []*pgconn.Config
	// asking is held by who asks them.
	asking sync.Mutex
	asked  time.Time

	mu sync.Mutex
	// highest timeline by system identifier: a URL may come to name another cluster.
	highest map[string]uint32
}

// askedFor is for how long it will do to have asked every host.
const askedFor = time.Second

// clusters are those of this process, by the hosts in their URLs, so that an order
// database and a probe of it share what is learned.
var clusters = struct {
	sync.Mutex
	by map[string]*cluster
}{by: map[string]*cluster{}}

// joinCluster has connections of the config refuse former leaders of the hosts that its
// URL names.
func joinCluster(hosts string, config *pgx.ConnConfig) *cluster {
	clusters.Lock()
	defer clusters.Unlock()
	c := clusters.by[hosts]
	if c == nil {
		c = &cluster{highest: map[string]uint32{}}
		c.hosts = c.each(&config.Config)
		clusters.by[hosts] = c
	}
	attributes := config.ValidateConnect
	config.ValidateConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		if attributes != nil {
			if err := attributes(ctx, conn); err != nil {
				return err
			}
		}
		return c.admit(ctx, conn)
	}
	return c
}

// each returns a config for each host, whose connections record its timeline and are
// refused.
func (c *cluster) each(config *pgconn.Config) []*pgconn.Config {
	var all []*pgconn.Config
	hosts := append([]*pgconn.FallbackConfig{{Host: config.Host, Port: config.Port, TLSConfig: config.TLSConfig}}, config.Fallbacks...)
	for _, h := range hosts {
		if n := len(all); n > 0 && all[n-1].Host == h.Host && all[n-1].Port == h.Port {
			all[n-1].Fallbacks = append(all[n-1].Fallbacks, h) // the same without TLS
			continue
		}
		one := config.Copy()
		one.Host, one.Port, one.TLSConfig, one.Fallbacks = h.Host, h.Port, h.TLSConfig, nil
		one.ValidateConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
			if p, known, err := position(ctx, conn); err == nil && known {
				c.recordTimeline(p)
			}
			return errAsked
		}
		all = append(all, one)
	}
	return all
}

var errAsked = errors.New("asked for its timeline only")

// admit refuses a connection to a former leader.
func (c *cluster) admit(ctx context.Context, conn *pgconn.PgConn) error {
	p, known, err := position(ctx, conn)
	if err != nil || !known {
		return err
	}
	c.askHosts(ctx, conn.Conn().RemoteAddr())
	conn.CustomData()[positionKey] = p
	return c.deposed(conn)
}

// deposed returns an error for a connection to a former leader, by what is known by
// now, and nil for any other.
func (c *cluster) deposed(conn *pgconn.PgConn) error {
	p, known := conn.CustomData()[positionKey].(walPosition)
	if !known {
		return nil
	}
	if highest := c.recordTimeline(p); p.timeline < highest {
		return &deposedError{p.timeline, highest}
	}
	return nil
}

// askHosts learns the timelines of all hosts but one, in half of the time that is left, and
// half a second at most. So a process that has just started does not use a former leader
// which comes first in the URL.
func (c *cluster) askHosts(ctx context.Context, but net.Addr) {
	c.asking.Lock()
	defer c.asking.Unlock()
	if time.Since(c.asked) < askedFor {
		return
	}
	left := pingTimeout
	if deadline, ok := ctx.Deadline(); ok {
		left = min(left, time.Until(deadline)) // others wait for us: a write may have minutes
	}
	ctx, cancel := context.WithTimeout(ctx, left/2)
	defer cancel()
	var answers sync.WaitGroup
	for _, host := range c.hosts {
		if net.JoinHostPort(host.Host, strconv.Itoa(int(host.Port))) != but.String() {
			answers.Go(func() { _, _ = pgconn.ConnectConfig(ctx, host) }) // ends in errAsked at best
		}
	}
	answers.Wait()
	c.asked = time.Now()
}

// recordTimeline returns the highest timeline seen in the system, which may be that of p.
func (c *cluster) recordTimeline(p walPosition) uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.highest[p.system] = max(c.highest[p.system], p.timeline)
	return c.highest[p.system]
}

// walPosition is where a leader writes.
type walPosition struct {
	system   string // the identifier that initdb gave the cluster
	timeline uint32
}

// positionSQL reads the timeline from the name of the WAL file that is being written:
// pg_control_checkpoint shows the one before a promotion until the checkpoint after it. These functions are for everyone, unless that was revoked.
const positionSQL = `SELECT system_identifier, CASE WHEN pg_is_in_recovery() THEN '' ELSE pg_walfile_name(pg_current_wal_lsn()) END FROM pg_control_system()`

// position asks a server; known is false of a standby, and of one that does not say.
func position(ctx context.Context, conn *pgconn.PgConn) (p walPosition, known bool, err error) {
	results, err := conn.Exec(ctx, positionSQL).ReadAll()
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.SeverityUnlocalized == "ERROR" {
		return p, false, nil
	}
	if err != nil {
		return p, false, err
	}
	if len(results) != 1 || len(results[0].Rows) != 1 || len(results[0].Rows[0]) != 2 {
		return p, false, nil
	}
	system, file := string(results[0].Rows[0][0]), string(results[0].Rows[0][1])
	timeline, err := strconv.ParseUint(file[:min(8, len(file))], 16, 32)
	if err != nil {
		return p, false, nil
	}
	return walPosition{system, uint32(timeline)}, true, nil
}

// deposedError refuses a former leader.
type deposedError struct{ timeline, highest uint32 }

func (e *deposedError) Error() string {
	return fmt.Sprintf("it is a former leader: its timeline is %d, and %d has been seen; restart this process if that one was given up, as after a restore",
		e.timeline, e.highest)
}
