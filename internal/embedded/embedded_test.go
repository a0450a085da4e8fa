package embedded_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp/internal/embedded"
)

// ownerEnv makes this test binary a process that owns the server of the state
// directory in it, until it is killed.
const ownerEnv = "LTP_TEST_OWN"

func TestMain(m *testing.M) {
	if dir := os.Getenv(ownerEnv); dir != "" {
		own(dir)
	}
	// Not in the time of some test: it can take minutes.
	if _, err := embedded.Binary(context.Background(), embedded.PrintProgress(os.Stderr)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func own(dir string) {
	s, err := embedded.Start(context.Background(), embedded.Options{StateDir: dir})
	if err == nil {
		err = accept(s, "accepted")
	}
	runtime.GC() // must not take the server that nothing refers to any more
	runtime.GC()
	fmt.Println("ready:", err)
	select {} // until killed
}

// startOwner starts a process that owns the server of dir and has accepted the
// workflow "accepted". It is killed at the end of the test, if not before.
func startOwner(t *testing.T, dir string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), ownerEnv+"="+dir)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { kill(cmd) })
	line, err := bufio.NewReader(out).ReadString('\n')
	if must(t, err); line != "ready: <nil>\n" {
		t.Fatal(line)
	}
	return cmd
}

func kill(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

func start(t *testing.T, o embedded.Options) *embedded.Server {
	t.Helper()
	s, err := embedded.Start(t.Context(), o)
	must(t, err)
	t.Cleanup(func() { _ = s.Stop() })
	return s
}

// accept starts a workflow that no worker takes.
func accept(s *embedded.Server, id string) error {
	_, err := s.Client().ExecuteWorkflow(context.Background(),
		client.StartWorkflowOptions{ID: id, TaskQueue: "nobody"}, "Anything")
	return err
}

func accepted(t *testing.T, s *embedded.Server, id string) {
	t.Helper()
	_, err := s.Client().DescribeWorkflowExecution(t.Context(), id, "")
	must(t, err)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestBinaryIsBuiltOnce(t *testing.T) {
	first, err := embedded.Binary(t.Context(), nil)
	must(t, err)
	t.Setenv("PATH", "") // there is no go command to run
	second, err := embedded.Binary(t.Context(), func(s embedded.Step) { t.Error("progress:", s) })
	if must(t, err); second != first {
		t.Errorf("%s, then %s", first, second)
	}
}

func TestBinaryNamedByTheEnvironmentComesFirst(t *testing.T) {
	t.Setenv(embedded.BinaryEnv, os.Args[0])
	if path, err := embedded.Binary(t.Context(), nil); err != nil || path != os.Args[0] {
		t.Error(path, err)
	}
	t.Setenv(embedded.BinaryEnv, filepath.Join(t.TempDir(), "absent"))
	if path, err := embedded.Binary(t.Context(), nil); !errors.Is(err, embedded.ErrNoServer) {
		t.Error(path, err)
	}
}

func TestServerInMemoryWithUI(t *testing.T) {
	s := start(t, embedded.Options{UI: true, Namespace: "orders"})
	if !s.Owned() || s.Namespace() != "orders" || s.PID() == 0 {
		t.Errorf("owned %v, namespace %q, pid %d", s.Owned(), s.Namespace(), s.PID())
	}
	must(t, accept(s, "one"))

	page, err := http.Get(s.UIAddress())
	must(t, err)
	defer page.Body.Close()
	if page.StatusCode != http.StatusOK {
		t.Error("UI:", page.Status)
	}
	must(t, s.Stop())
	must(t, s.Stop())
	<-s.Done()
}

func TestDataOutlivesTheServer(t *testing.T) {
	dir := t.TempDir()
	s := start(t, embedded.Options{StateDir: dir})
	must(t, accept(s, "kept"))
	must(t, s.Stop())

	s, err := embedded.Open(t.Context(), embedded.Options{StateDir: dir, MustExist: true})
	must(t, err)
	defer s.Stop()
	if !s.Owned() {
		t.Error("nobody else owns it")
	}
	accepted(t, s, "kept")
	must(t, s.Stop())
}

func TestOneOwnerManyAttached(t *testing.T) {
	dir := t.TempDir()
	owner := start(t, embedded.Options{StateDir: dir, UI: true})
	must(t, accept(owner, "shared"))

	if _, err := embedded.Start(t.Context(), embedded.Options{StateDir: dir}); !errors.Is(err, embedded.ErrInUse) {
		t.Error("second start:", err)
	}
	for range 2 {
		guest, err := embedded.Open(t.Context(), embedded.Options{StateDir: dir})
		must(t, err)
		if guest.Owned() || guest.Address() != owner.Address() ||
			guest.UIAddress() != owner.UIAddress() || guest.PID() != owner.PID() {
			t.Errorf("attached to %+v, which is not %+v", guest, owner)
		}
		accepted(t, guest, "shared")
		must(t, guest.Stop())
	}
	accepted(t, owner, "shared")
	must(t, owner.Stop())
}

func TestOpenWaitsForAServerThatIsStarting(t *testing.T) {
	dir := t.TempDir()
	servers := make(chan *embedded.Server)
	for range 3 {
		go func() {
			s, err := embedded.Open(t.Context(), embedded.Options{StateDir: dir})
			if err != nil {
				t.Error(err)
			}
			servers <- s
		}()
	}
	owners, addresses := 0, map[string]bool{}
	for range 3 {
		if s := <-servers; s != nil {
			defer s.Stop()
			addresses[s.Address()] = true
			if s.Owned() {
				owners++
			}
		}
	}
	if owners != 1 || len(addresses) != 1 {
		t.Errorf("%d owners, servers at %v", owners, addresses)
	}
}

func TestOpenOfNoDataCreatesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "absent")
	if _, err := embedded.Open(t.Context(), embedded.Options{StateDir: dir, MustExist: true}); !errors.Is(err, embedded.ErrNoData) {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Error(err)
	}
}

func TestKilledOwnerLeavesNoServer(t *testing.T) {
	dir := t.TempDir()
	owner := startOwner(t, dir)
	guest, err := embedded.Open(t.Context(), embedded.Options{StateDir: dir})
	must(t, err)
	defer guest.Stop()

	kill(owner)
	awaitServerGone(t, dir)
	if c, err := net.Dial("tcp", guest.Address()); err == nil {
		c.Close()
		t.Error("somebody listens on", guest.Address())
	}
}

func TestNextOwnerTakesOverFromAKilledOne(t *testing.T) {
	dir := t.TempDir()
	kill(startOwner(t, dir))
	s := start(t, embedded.Options{StateDir: dir}) // with the old server still there
	accepted(t, s, "accepted")
	must(t, s.Stop())
}

func TestNextOwnerEndsAServerThatDoesNotEndByItself(t *testing.T) {
	binary, err := embedded.Binary(t.Context(), nil)
	must(t, err)
	cli := filepath.Join(t.TempDir(), "temporal") // by its name, the Temporal CLI
	must(t, os.Symlink(binary, cli))
	t.Setenv(embedded.BinaryEnv, cli)

	dir := t.TempDir()
	owner := startOwner(t, dir)
	guest, err := embedded.Open(t.Context(), embedded.Options{StateDir: dir})
	must(t, err)
	kill(owner)
	accepted(t, guest, "accepted") // its server is still there
	must(t, guest.Stop())

	s := start(t, embedded.Options{StateDir: dir})
	accepted(t, s, "accepted")
	must(t, s.Stop())
}

// awaitServerGone waits until nobody has the lock that the server's process holds.
func awaitServerGone(t *testing.T, dir string) {
	file, err := os.Open(filepath.Join(dir, "server.lock"))
	must(t, err)
	defer file.Close()
	must(t, syscall.Flock(int(file.Fd()), syscall.LOCK_EX))
}

func TestDoneTellsOfAServerThatDied(t *testing.T) {
	dir := t.TempDir()
	s := start(t, embedded.Options{StateDir: dir})
	must(t, accept(s, "before"))
	must(t, syscall.Kill(s.PID(), syscall.SIGKILL))
	<-s.Done()
	if err := s.Stop(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Error("Stop:", err)
	}

	s = start(t, embedded.Options{StateDir: dir})
	accepted(t, s, "before") // what was answered had been committed
}

func TestSearchAttributesAreAddedToOldData(t *testing.T) {
	dir := t.TempDir()
	type attributes = map[string]enums.IndexedValueType
	open := func(want attributes) (*embedded.Server, error) {
		s, err := embedded.Open(t.Context(), embedded.Options{StateDir: dir, SearchAttributes: want})
		if err == nil {
			t.Cleanup(func() { _ = s.Stop() })
		}
		return s, err
	}
	has := func(s *embedded.Server, name string) {
		t.Helper()
		list, err := s.Client().OperatorService().ListSearchAttributes(t.Context(),
			&operatorservice.ListSearchAttributesRequest{Namespace: s.Namespace()})
		if must(t, err); list.CustomAttributes[name] == 0 {
			t.Errorf("no %s in %v", name, list.CustomAttributes)
		}
	}

	s, err := open(attributes{"State": enums.INDEXED_VALUE_TYPE_KEYWORD})
	must(t, err)
	has(s, "State")
	must(t, s.Stop())

	s, err = open(attributes{"State": enums.INDEXED_VALUE_TYPE_KEYWORD, "Epoch": enums.INDEXED_VALUE_TYPE_INT})
	must(t, err)
	has(s, "State")
	has(s, "Epoch")

	guest, err := open(attributes{"Since": enums.INDEXED_VALUE_TYPE_DATETIME})
	must(t, err)
	has(guest, "Since")
	if _, err := open(attributes{"Since": enums.INDEXED_VALUE_TYPE_INT}); err == nil || !strings.Contains(err.Error(), "Since") {
		t.Error("attach with another type:", err)
	}
	must(t, s.Stop())
	if _, err := open(attributes{"Since": enums.INDEXED_VALUE_TYPE_INT}); err == nil || !strings.Contains(err.Error(), "Since") {
		t.Error("start with another type:", err)
	}
}

func TestStartSaysWhyAServerWouldNot(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	dir := t.TempDir()
	port := l.Addr().(*net.TCPAddr).Port
	_, err = embedded.Start(t.Context(), embedded.Options{StateDir: dir, Port: port})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("cannot listen on port %d", port)) {
		t.Error("port taken:", err)
	}
	_, err = embedded.Start(t.Context(), embedded.Options{StateDir: dir, ExtraArgs: []string{"--nonsense"}})
	if err == nil || !strings.Contains(err.Error(), "unknown flag: --nonsense") {
		t.Error("bad argument:", err)
	}
	must(t, start(t, embedded.Options{StateDir: dir}).Stop()) // the directory is free again
}

func TestLogGoesWhereItIsWanted(t *testing.T) {
	dir := t.TempDir()
	must(t, start(t, embedded.Options{StateDir: dir}).Stop())
	if log, err := os.ReadFile(filepath.Join(dir, "temporal.log")); err != nil || !strings.Contains(string(log), "Temporal Server:") {
		t.Errorf("%q, %v", log, err)
	}
	var log strings.Builder
	must(t, start(t, embedded.Options{Log: &log}).Stop())
	if !strings.Contains(log.String(), "Temporal Server:") {
		t.Errorf("%q", &log)
	}
}
