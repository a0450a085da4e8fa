package pglocal

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ltp-node/ltp/internal/loopback"
)

// ErrNoPooler says that there is no PgBouncer to run.
var ErrNoPooler = errors.New("no PgBouncer is installed: install the package pgbouncer")

// Pooler is a PgBouncer before a server, which lends each transaction one of its few
// sessions. It is safe for concurrent use.
type Pooler struct {
	server   *Server
	bin, dir string
	port     int

	mu      sync.Mutex
	process *process // nil while stopped
}

// StartPooler starts a pooler that has a number of sessions in each database. Whether it
// keeps track of prepared statements is for its version to say: it does from 1.21 on.
// Remove must be called.
func StartPooler(ctx context.Context, server *Server, sessions int) (*Pooler, error) {
	bin, err := exec.LookPath("pgbouncer")
	if err != nil {
		if bin, err = exec.LookPath("/usr/sbin/pgbouncer"); err != nil {
			return nil, ErrNoPooler
		}
	}
	p := &Pooler{server: server, bin: bin}
	if p.dir, err = os.MkdirTemp("", "ltp-pgbouncer-"); err != nil {
		return nil, err
	}
	if err = p.configure(sessions); err == nil {
		err = p.Start(ctx)
	}
	if err != nil {
		p.Remove()
		return nil, err
	}
	return p, nil
}

func (p *Pooler) configure(sessions int) (err error) {
	if p.port, err = loopback.Port(0); err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(p.server.Host())
	if err != nil {
		return err
	}
	config := fmt.Sprintf(`[databases]
* = host=%s port=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = scram-sha-256
auth_file = %s
admin_users = postgres
pool_mode = transaction
default_pool_size = %d
max_client_conn = 500
`, host, port, p.port, filepath.Join(p.dir, "users"), sessions)
	users := fmt.Sprintf("\"postgres\" \"%s\"\n", p.server.options.Password)
	for name, text := range map[string]string{"pgbouncer.ini": config, "users": users} {
		path := filepath.Join(p.dir, name)
		if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), p.server.chown(path)); err != nil {
			return err
		}
	}
	return p.server.chown(p.dir)
}

// Start starts a pooler that was stopped, on its port, and returns when it takes
// connections.
func (p *Pooler) Start(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.process != nil && p.process.running() {
		return errors.New("the pooler is running")
	}
	cmd := exec.Command(p.bin, filepath.Join(p.dir, "pgbouncer.ini"))
	cmd.Dir = p.dir
	process, err := p.server.start(cmd)
	if err != nil {
		return fmt.Errorf("starting PgBouncer: %w", err)
	}
	p.process = process
	if err := p.await(ctx, process); err != nil {
		p.stop()
		return fmt.Errorf("starting PgBouncer: %w\n%s", err, process.output())
	}
	return nil
}

// await returns when the pooler takes connections.
func (p *Pooler) await(ctx context.Context, process *process) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := p.Command(ctx, "SHOW VERSION")
		if err == nil {
			return nil
		}
		select {
		case <-process.ended:
			return errors.New("it ended at once")
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// URL connects to a database of the server as superuser.
func (p *Pooler) URL(database string) string {
	return address(net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)), database, p.server.options.Password)
}

// Command has the pooler do something, such as "KILL orders" or "RECONNECT".
func (p *Pooler) Command(ctx context.Context, command string) error {
	conn, err := pgx.Connect(ctx, p.URL("pgbouncer"))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.PgConn().Exec(ctx, command).ReadAll(); err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	return nil
}

// Stop ends the pooler and all connections that it has.
func (p *Pooler) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stop()
}

func (p *Pooler) stop() {
	if p.process != nil {
		p.process.stop(syscall.SIGTERM, stopPatience)
		p.process = nil
	}
}

// Remove stops the pooler and removes its files.
func (p *Pooler) Remove() {
	p.Stop()
	_ = os.RemoveAll(p.dir)
}
