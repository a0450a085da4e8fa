// Package pgtest runs real Postgres servers for tests: on a free port of the
// loopback interface, in a temporary directory, gone when the test is.
//
// The binaries are looked for in the directory that LTP_TEST_POSTGRES_BIN names, in
// /usr/lib/postgresql/*/bin and in PATH. Where there are none, a test is skipped; on
// CI, which sets the environment variable CI, it fails.
package pgtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is a Postgres server. fsync is off: it is as quick as it is careless.
type Server struct {
	bin, dir string
	port     int
	owner    *syscall.Credential // nil when we are not root

	mu      sync.Mutex
	process *process // nil while stopped
}

// password is that of every server, so that one URL may name several.
var password = rand.Text()

var shared struct {
	sync.Mutex
	server *Server
}

// Shared returns a server that all tests of a package share. It is started at the
// first call; the package must stop it with [Main].
func Shared(t testing.TB) *Server {
	t.Helper()
	bin := binaries(t)
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		server, err := start(bin)
		if err != nil {
			t.Fatal(err)
		}
		shared.server = server
	}
	return shared.server
}

// Main runs the tests of a package and stops the shared server; it is for
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
func Main(m *testing.M) int {
	defer func() {
		shared.Lock()
		defer shared.Unlock()
		if shared.server != nil {
			shared.server.remove()
		}
	}()
	return m.Run()
}

// Start returns a server of the test's own, which it may stop and freeze.
func Start(t testing.TB) *Server {
	t.Helper()
	server, err := start(binaries(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.remove)
	return server
}

// binaries returns where the server's programs are, or ends the test.
func binaries(t testing.TB) string {
	t.Helper()
	candidates, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	slices.Sort(candidates)
	slices.Reverse(candidates)
	if dir := os.Getenv("LTP_TEST_POSTGRES_BIN"); dir != "" {
		candidates = []string{dir}
	} else if path, err := exec.LookPath("initdb"); err == nil {
		candidates = append(candidates, filepath.Dir(path))
	}
	for _, dir := range candidates {
		if _, err := os.Stat(filepath.Join(dir, "initdb")); err == nil {
			return dir
		}
	}
	const sentence = "no Postgres is installed: install it, or name the directory of initdb and postgres in LTP_TEST_POSTGRES_BIN"
	if os.Getenv("CI") != "" {
		t.Fatal(sentence)
	}
	t.Skip(sentence)
	return ""
}

func start(bin string) (*Server, error) {
	dir, err := os.MkdirTemp("", "ltp-postgres-")
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, dir: dir}
	if err := s.initialise(); err != nil {
		s.remove()
		return nil, err
	}
	if err := s.Start(); err != nil {
		s.remove()
		return nil, err
	}
	return s, nil
}

func (s *Server) initialise() error {
	secret := filepath.Join(s.dir, "password")
	if err := os.WriteFile(secret, []byte(password), 0o600); err != nil {
		return err
	}
	if os.Getuid() == 0 { // Postgres refuses to run as root
		var err error
		if s.owner, err = ordinaryUser(); err != nil {
			return err
		}
		for _, path := range []string{s.dir, secret} {
			if err := os.Chown(path, int(s.owner.Uid), int(s.owner.Gid)); err != nil {
				return err
			}
		}
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	s.port = port
	initdb := exec.Command(filepath.Join(s.bin, "initdb"), "--pgdata="+s.data(), "--username=postgres",
		"--pwfile="+secret, "--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync")
	initdb.Dir = s.dir
	initdb.SysProcAttr = attributes(s.owner)
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

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

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// Start starts a server that was stopped, on its port and with its data, and
// returns when it takes connections.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		return errors.New("the server is running")
	}
	cmd := exec.Command(filepath.Join(s.bin, "postgres"), "-D", s.data(), "-p", strconv.Itoa(s.port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "max_connections=100",
		"-c", "fsync=off", "-c", "full_page_writes=off", "-c", "shared_buffers=16MB")
	cmd.Dir = s.dir
	cmd.SysProcAttr = attributes(s.owner)
	process, err := run(cmd)
	if err != nil {
		return fmt.Errorf("starting Postgres: %w", err)
	}
	s.process = process
	if err := s.await(process); err != nil {
		s.stop(syscall.SIGKILL)
		return fmt.Errorf("starting Postgres: %w\n%s", err, process.output())
	}
	return nil
}

// await returns when the server takes connections.
func (s *Server) await(p *process) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, s.URL())
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

// Host is where the server listens, as in a URL.
func (s *Server) Host() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// URL connects as superuser.
func (s *Server) URL() string { return s.url("postgres") }

func (s *Server) url(database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword("postgres", password),
		Host: s.Host(), Path: database,
		RawQuery: "sslmode=disable&connect_timeout=20", // test machines stall
	}
	return u.String()
}

var databases atomic.Int64

// Database creates an empty database and returns its URL.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test%d", databases.Add(1))
	Exec(t, s.URL(), "CREATE DATABASE "+name)
	return s.url(name)
}

// Exec runs statements over a connection of their own, one after the other.
func Exec(t testing.TB, url string, statements ...string) {
	t.Helper()
	conn := Connect(t, url)
	defer conn.Close(context.Background())
	for _, statement := range statements {
		if _, err := conn.PgConn().Exec(t.Context(), statement).ReadAll(); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// Set changes a setting of the whole server, and has it take the new value; an
// empty one is the default. Sessions notice soon, not at once.
func (s *Server) Set(t testing.TB, name, value string) {
	t.Helper()
	change := "ALTER SYSTEM RESET " + name
	if value != "" {
		change = "ALTER SYSTEM SET " + name + " = " + value
	}
	// Neither must stop us from undoing it.
	Exec(t, s.URL(), "SET default_transaction_read_only = off", "SET synchronous_commit = local", change, "SELECT pg_reload_conf()")
}

// Connect returns a connection that is closed with the test.
func Connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	})
	return conn
}

// Stop ends the server as a crash would, without goodbyes, and returns when it is
// gone.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop(syscall.SIGQUIT)
}

func (s *Server) stop(signal syscall.Signal) {
	if s.process == nil {
		return
	}
	s.process.signalAll(syscall.SIGCONT)
	s.process.signal(signal)
	select {
	case <-s.process.ended:
	case <-time.After(10 * time.Second):
		s.process.signal(syscall.SIGKILL)
		<-s.process.ended
	}
	s.process = nil
}

// Freeze stops every process of the server where it is: nothing is refused and
// nothing is answered, until Thaw.
func (s *Server) Freeze() { s.tell(syscall.SIGSTOP) }

// Thaw lets a frozen server go on.
func (s *Server) Thaw() { s.tell(syscall.SIGCONT) }

func (s *Server) tell(signal syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		s.process.signalAll(signal)
	}
}

func (s *Server) remove() {
	s.Stop()
	_ = os.RemoveAll(s.dir)
}

// process is the first process of a server, the postmaster.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}
	log   bytes.Buffer // read only after ended
}

// run starts the command on a thread that lives as long as the command does: the
// signal that it gets when its parent dies is sent when the thread that started it
// ends.
func run(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.log, &p.log
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
			close(p.ended)
		}
	}()
	return p, <-started
}

func (p *process) output() string {
	<-p.ended
	return p.log.String()
}

func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

func (p *process) signalAll(s syscall.Signal) {
	select {
	case <-p.ended:
		return // its number may be another's by now
	default:
	}
	p.signal(s) // first, so that it starts no more
	for _, pid := range children(p.cmd.Process.Pid) {
		_ = syscall.Kill(pid, s)
	}
}
