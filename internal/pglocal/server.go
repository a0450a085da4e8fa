package pglocal

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ltp-node/ltp/internal/link"
	"github.com/ltp-node/ltp/internal/loopback"
)

// Server is one Postgres server. It is safe for concurrent use.
type Server struct {
	options  Options
	bin, dir string
	port     int
	owner    *syscall.Credential // nil when we are not root
	link     *link.Link          // nil without

	mu       sync.Mutex
	process  *process // nil while stopped
	settings map[string]string
}

// stopPatience is how long a server may take to stop before it is stopped by force.
const stopPatience = 10 * time.Second

// Start makes a server and starts it. Remove must be called.
func Start(ctx context.Context, o Options) (*Server, error) {
	s, err := prepare(o)
	if err != nil {
		return nil, err
	}
	if err = s.initialise(ctx); err == nil {
		err = s.Start(ctx)
	}
	if err != nil {
		s.Remove()
		return nil, err
	}
	return s, nil
}

// prepare makes the directory of a server, and chooses its port.
func prepare(o Options) (*Server, error) {
	bin, err := o.bin()
	if err != nil {
		return nil, err
	}
	o.Password = cmp.Or(o.Password, rand.Text())
	// Not in a directory of ours: where we are root, the server may not enter it.
	dir, err := os.MkdirTemp("", "ltp-postgres-")
	if err != nil {
		return nil, err
	}
	s := &Server{options: o, bin: bin, dir: dir, settings: map[string]string{}}
	if err := s.own(); err != nil {
		s.Remove()
		return nil, err
	}
	return s, nil
}

func (s *Server) own() (err error) {
	if s.port, err = loopback.Port(0); err != nil {
		return err
	}
	if s.options.Links {
		if s.link, err = link.New(s.direct()); err != nil {
			return err
		}
	}
	if err := os.WriteFile(s.secret(), []byte(s.options.Password), 0o600); err != nil {
		return err
	}
	if os.Getuid() != 0 {
		return nil
	}
	if s.owner, err = ordinaryUser(); err != nil { // Postgres refuses to run as root
		return err
	}
	return errors.Join(s.chown(s.dir), s.chown(s.secret()))
}

func (s *Server) data() string   { return filepath.Join(s.dir, "data") }
func (s *Server) secret() string { return filepath.Join(s.dir, "password") }
func (s *Server) direct() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// chown makes a file the server's.
func (s *Server) chown(path string) error {
	if s.owner == nil {
		return nil
	}
	return os.Chown(path, int(s.owner.Uid), int(s.owner.Gid))
}

func (s *Server) initialise(ctx context.Context) error {
	err := s.tool(ctx, "initdb", "--pgdata="+s.data(), "--username=postgres", "--pwfile="+s.secret(),
		"--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync",
		"--data-checksums") // for pg_rewind
	if err != nil {
		return err
	}
	conf, err := os.OpenFile(filepath.Join(s.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	// pg_rewind looks back to before the promotion. It recovers a server that crashed
	// first, which must not throw that away.
	_, err = conf.WriteString("\nwal_keep_size = 256MB\ninclude_if_exists '" + settingsFile + "'\n")
	return errors.Join(err, conf.Close())
}

// tool runs one of the programs that come with the server, as its owner.
func (s *Server) tool(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, name), args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "PGPASSWORD="+s.options.Password)
	process, err := s.start(cmd)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if said := process.output(); !cmd.ProcessState.Success() {
		return fmt.Errorf("%s: %s\n%s", name, cmd.ProcessState, said)
	}
	return nil
}

func (s *Server) start(cmd *exec.Cmd) (*process, error) {
	cmd.SysProcAttr = attributes(s.owner)
	return run(cmd)
}

// Start starts a server that was stopped, on its port and with its data, and
// returns when it takes connections.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil && s.process.running() {
		return errors.New("the server is running")
	}
	args := []string{
		"-D", s.data(), "-p", strconv.Itoa(s.port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "max_connections=100", "-c", "shared_buffers=16MB",
	}
	if s.options.NoSync {
		args = append(args, "-c", "fsync=off")
	}
	for _, setting := range s.options.Settings {
		args = append(args, "-c", setting)
	}
	cmd := exec.Command(filepath.Join(s.bin, "postgres"), args...)
	cmd.Dir = s.dir
	process, err := s.start(cmd)
	if err != nil {
		return fmt.Errorf("starting Postgres: %w", err)
	}
	s.process = process
	if err := s.await(ctx, process); err != nil {
		s.stop(syscall.SIGQUIT)
		return fmt.Errorf("starting Postgres: %w\n%s", err, process.output())
	}
	return nil
}

// await returns when the server takes connections.
func (s *Server) await(ctx context.Context, p *process) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		conn, err := s.connect(ctx)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-p.ended:
			return errors.New("it ended at once")
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// connect connects past the link.
func (s *Server) connect(ctx context.Context) (*pgx.Conn, error) {
	return pgx.Connect(ctx, address(s.direct(), "postgres", s.options.Password))
}

// Host is where the server listens, as in a URL.
func (s *Server) Host() string {
	if s.link != nil {
		return s.link.Address()
	}
	return s.direct()
}

// URL connects to a database as superuser.
func (s *Server) URL(database string) string { return address(s.Host(), database, s.options.Password) }

// address is a URL of one or several hosts.
func address(hosts, database, password string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword("postgres", password),
		Host: hosts, Path: database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Exec runs statements in the database postgres, one after the other, over a
// connection of their own.
func (s *Server) Exec(ctx context.Context, statements ...string) error {
	conn, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, statement := range statements {
		if _, err := conn.PgConn().Exec(ctx, statement).ReadAll(); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// settingsFile is included by the server's own configuration.
const settingsFile = "ltp.conf"

// Set changes a setting of the whole server, and has it take the new value; an empty
// value is the default. Sessions notice soon, not at once. It asks nothing of the
// server, and so works on one that hangs; one that is stopped begins with it.
func (s *Server) Set(name, value string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.settings[name] = value; value == "" {
		delete(s.settings, name)
	}
	return s.reload()
}

// reload writes the settings and has a running server read them.
func (s *Server) reload() error {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(s.settings)) {
		fmt.Fprintf(&b, "%s = '%s'\n", name, strings.ReplaceAll(s.settings[name], "'", "''"))
	}
	path := filepath.Join(s.data(), settingsFile)
	if err := errors.Join(os.WriteFile(path, []byte(b.String()), 0o600), s.chown(path)); err != nil {
		return err
	}
	if s.process != nil && s.process.running() {
		s.process.signal(syscall.SIGHUP)
	}
	return nil
}

// Stop ends the server as a crash would, without goodbyes, and returns when it is
// gone.
func (s *Server) Stop() { s.end(syscall.SIGQUIT) }

// Shutdown ends the server in good order: sessions are ended, the standby has
// everything.
func (s *Server) Shutdown() { s.end(syscall.SIGINT) }

func (s *Server) end(signal syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop(signal)
}

func (s *Server) stop(signal syscall.Signal) {
	if s.process != nil {
		s.process.stop(signal, stopPatience)
		s.process = nil
	}
}

// Kill ends every process of the server by force and at once.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		s.process.kill()
		s.process = nil
	}
}

// Freeze stops every process of the server where it is: nothing is refused and
// nothing is answered, until Thaw.
func (s *Server) Freeze() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return errors.New("the server is not running")
	}
	return s.process.freeze()
}

// Thaw lets a frozen server go on.
func (s *Server) Thaw() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		s.process.thaw()
	}
}

// Link is the network before the server, nil unless Options.Links asked for it.
func (s *Server) Link() *link.Link { return s.link }

// Remove stops the server and removes its data.
func (s *Server) Remove() {
	s.Stop()
	if s.link != nil {
		_ = s.link.Close()
	}
	_ = os.RemoveAll(s.dir)
}

func ordinaryUser() (*syscall.Credential, error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("no user postgres or nobody is there to run Postgres as: it refuses to run as root")
}
