package pglocal

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Pair is a leader and a synchronous standby: what the leader acknowledges, the
// standby has. It is not safe for concurrent use; its servers are.
type Pair struct {
	servers         [2]*Server
	leader, standby *Server
}

// StartPair makes a pair and returns when the standby is synchronous, after a second
// or two. Remove must be called.
func StartPair(ctx context.Context, o Options) (*Pair, error) {
	o.Password = cmp.Or(o.Password, rand.Text())
	leader, err := Start(ctx, o)
	if err != nil {
		return nil, err
	}
	standby, err := prepare(o)
	if err != nil {
		leader.Remove()
		return nil, err
	}
	p := &Pair{servers: [2]*Server{leader, standby}, leader: leader, standby: standby}
	err = standby.tool(ctx, "pg_basebackup", "--pgdata="+standby.data(), "--dbname="+address(leader.direct(), "postgres", o.Password),
		"--wal-method=stream", "--checkpoint=fast", "--no-sync")
	if err == nil {
		err = p.join(ctx)
	}
	if err != nil {
		p.Remove()
		return nil, err
	}
	return p, nil
}

// Leader is the server that was made the leader last. A former one may think that it
// still is.
func (p *Pair) Leader() *Server { return p.leader }

// Standby is the other server.
func (p *Pair) Standby() *Server { return p.standby }

// URL names both servers, in an order that does not change, and a database.
func (p *Pair) URL(database string) string {
	return address(p.servers[0].Host()+","+p.servers[1].Host(), database, p.leader.options.Password)
}

// Promote makes the standby the leader, whatever the present one does, and returns
// when it takes writes. The former leader is not informed. The new one waits for no
// standby until Rejoin gives it one.
func (p *Pair) Promote(ctx context.Context) error {
	var promoted bool
	conn, err := p.standby.connect(ctx)
	if err != nil {
		return fmt.Errorf("promoting the standby: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := conn.QueryRow(ctx, "SELECT pg_promote()").Scan(&promoted); err != nil || !promoted {
		return errors.Join(errors.New("the standby was not promoted"), err)
	}
	p.leader, p.standby = p.standby, p.leader
	return nil
}

// Switchover makes the standby the leader in good order, and the leader its standby.
func (p *Pair) Switchover(ctx context.Context) error {
	p.leader.Shutdown()
	if err := p.Promote(ctx); err != nil {
		return err
	}
	return p.join(ctx)
}

// Rejoin makes the former leader, in whatever state it is, a synchronous standby of
// the leader. What it alone had is gone then.
func (p *Pair) Rejoin(ctx context.Context) error {
	p.standby.Stop()
	// pg_rewind learns of the promotion from the checkpoint that follows it.
	if err := p.leader.Exec(ctx, "CHECKPOINT"); err != nil {
		return err
	}
	err := p.standby.tool(ctx, "pg_rewind", "--target-pgdata="+p.standby.data(), "--no-sync",
		"--source-server=host=127.0.0.1 port="+fmt.Sprint(p.leader.port)+" user=postgres dbname=postgres")
	if err != nil {
		return err
	}
	return p.join(ctx)
}

// join starts the standby, whose data is there, and returns when it is synchronous.
func (p *Pair) join(ctx context.Context) error {
	signal := filepath.Join(p.standby.data(), "standby.signal")
	if err := errors.Join(os.WriteFile(signal, nil, 0o600), p.standby.chown(signal)); err != nil {
		return err
	}
	err := errors.Join(
		p.standby.Set("synchronous_standby_names", ""), // or it would wait for one when it leads
		p.standby.Set("primary_conninfo", p.primary()))
	if err != nil {
		return err
	}
	if err := p.standby.Start(ctx); err != nil {
		return err
	}
	if err := p.leader.Set("synchronous_standby_names", "*"); err != nil {
		return err
	}
	return p.awaitSynchronous(ctx)
}

// primary is how the standby finds the leader: over the network, which may fail.
func (p *Pair) primary() string {
	host, port := splitHost(p.leader.Host())
	return fmt.Sprintf("host=%s port=%s user=postgres password=%s application_name=standby", host, port, p.leader.options.Password)
}

// awaitSynchronous returns when the leader waits for the standby with every commit.
func (p *Pair) awaitSynchronous(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	conn, err := p.leader.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for {
		var synchronous bool
		err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync')
			AND current_setting('synchronous_standby_names') = '*'`).Scan(&synchronous)
		if err != nil {
			return fmt.Errorf("waiting for the standby: %w", err)
		}
		if synchronous {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the standby: %w", ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Remove stops both servers and removes their data.
func (p *Pair) Remove() {
	for _, s := range p.servers {
		s.Remove()
	}
}

func splitHost(address string) (host, port string) {
	host, port, _ = net.SplitHostPort(address)
	return host, port
}
