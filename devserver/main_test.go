package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// mainEnv makes this test binary the devserver, or a process that starts one as
// its child.
const mainEnv = "DEVSERVER_TEST_MAIN"

func TestMain(m *testing.M) {
	switch os.Getenv(mainEnv) {
	case "devserver":
		main()
	case "parent":
		cmd := exec.Command(os.Args[0], os.Args[1:]...)
		cmd.Env = append(os.Environ(), mainEnv+"=devserver")
		cmd.Stdout = os.Stdout
		fmt.Fprintln(os.Stderr, cmd.Run())
	default:
		os.Exit(m.Run())
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func port(t *testing.T) string {
	t.Helper()
	p, err := freePort(loopback)
	must(t, err)
	return strconv.Itoa(p)
}

var (
	state = temporal.NewSearchAttributeKeyKeyword("State")
	epoch = temporal.NewSearchAttributeKeyInt64("Epoch")
)

func order(ctx workflow.Context) (string, error) {
	return "executed", workflow.UpsertTypedSearchAttributes(ctx, state.ValueSet("EXECUTED"))
}

// sdkServer starts the devserver as the SDK starts the Temporal CLI.
func sdkServer(t *testing.T, o testsuite.DevServerOptions) *testsuite.DevServer {
	t.Helper()
	t.Setenv(mainEnv, "devserver")
	o.ExistingPath = os.Args[0]
	s, err := testsuite.StartDevServer(t.Context(), o)
	must(t, err)
	t.Cleanup(s.Client().Close)
	return s
}

func TestSDKDrivesItAsItDrivesTheTemporalCLI(t *testing.T) {
	options := testsuite.DevServerOptions{
		ClientOptions:    &client.Options{Namespace: "orders"},
		DBFilename:       filepath.Join(t.TempDir(), "with space & 100%.db"),
		EnableUI:         true,
		UIPort:           port(t),
		LogLevel:         "error",
		LogFormat:        "pretty",
		SearchAttributes: temporal.NewSearchAttributes(state.ValueSet("")),
	}
	s := sdkServer(t, options)
	page, err := http.Get("http://127.0.0.1:" + options.UIPort)
	must(t, err)
	page.Body.Close()
	if page.StatusCode != http.StatusOK {
		t.Error("UI:", page.Status)
	}

	w := worker.New(s.Client(), "orders", worker.Options{})
	w.RegisterWorkflow(order)
	must(t, w.Start())
	run, err := s.Client().ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "order/1", TaskQueue: "orders"}, order)
	must(t, err)
	must(t, run.Get(t.Context(), nil))
	w.Stop()
	must(t, s.Stop())

	// The same file again, with a search attribute that it did not have.
	options.UIPort = port(t)
	options.SearchAttributes = temporal.NewSearchAttributes(state.ValueSet(""), epoch.ValueSet(0))
	s = sdkServer(t, options)
	var result string
	must(t, s.Client().GetWorkflow(t.Context(), "order/1", "").Get(t.Context(), &result))
	if result != "executed" {
		t.Errorf("result %q", result)
	}
	_, err = s.Client().ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: "order/2", TaskQueue: "orders",
		TypedSearchAttributes: temporal.NewSearchAttributes(epoch.ValueSet(7)),
	}, order)
	must(t, err)
	listed(t, s.Client(), "State = 'EXECUTED'", "order/1")
	listed(t, s.Client(), "Epoch = 7", "order/2")
	must(t, s.Stop())
}

// listed waits until visibility, which lags behind, lists the one workflow.
func listed(t *testing.T, c client.Client, query, want string) {
	t.Helper()
	for tick := time.Tick(20 * time.Millisecond); ; {
		list, err := c.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{Query: query})
		must(t, err)
		if len(list.Executions) > 0 {
			if id := list.Executions[0].Execution.WorkflowId; id != want {
				t.Errorf("%s: %s", query, id)
			}
			return
		}
		select {
		case <-tick:
		case <-t.Context().Done():
			t.Fatal(query, "lists nothing")
		}
	}
}

// child is a devserver, or the parent of one, that has said that it is up.
type child struct {
	cmd    *exec.Cmd
	out    *bufio.Reader
	client client.Client
}

func startChild(t *testing.T, mode string, args ...string) *child {
	t.Helper()
	p := port(t)
	cmd := exec.Command(os.Args[0], append([]string{"server", "start-dev", "--headless", "--port", p}, args...)...)
	cmd.Env = append(os.Environ(), mainEnv+"="+mode)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	c := &child{cmd: cmd, out: bufio.NewReader(out)}
	if line, err := c.out.ReadString('\n'); err != nil || !strings.HasPrefix(line, "Temporal Server:") {
		t.Fatal(line, err)
	}
	c.client, err = client.Dial(client.Options{HostPort: net.JoinHostPort(loopback, p)})
	must(t, err)
	t.Cleanup(c.client.Close)
	return c
}

func TestWhatItAnsweredOutlivesItsKilling(t *testing.T) {
	db := filepath.Join(t.TempDir(), "temporal.db")
	s := startChild(t, "devserver", "-f", db)
	_, err := s.client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "order/1", TaskQueue: "orders"}, order)
	must(t, err)
	must(t, s.cmd.Process.Kill())
	_ = s.cmd.Wait()

	s = startChild(t, "devserver", "-f", db)
	_, err = s.client.DescribeWorkflowExecution(t.Context(), "order/1", "")
	must(t, err)
	must(t, s.cmd.Process.Signal(syscall.SIGTERM))
	must(t, s.cmd.Wait())
}

func TestItEndsWithItsParent(t *testing.T) {
	parent := startChild(t, "parent", "--exit-with-parent")
	must(t, parent.cmd.Process.Kill())
	// The devserver has the other end of this pipe, too.
	_, err := io.Copy(io.Discard, parent.out)
	must(t, err)
	_ = parent.cmd.Wait()
}

func TestItEndsWithAParentThatWasGoneBefore(t *testing.T) {
	gone := exec.Command(os.Args[0], "-test.run=^$")
	must(t, gone.Run())
	s := startChild(t, "devserver", fmt.Sprintf("--exit-with-parent=%d", gone.Process.Pid))
	must(t, s.cmd.Wait())
}

func TestRefusalsSayWhatToDo(t *testing.T) {
	l, err := net.Listen("tcp", hostPort(loopback, 0))
	must(t, err)
	defer l.Close()
	_, taken, _ := net.SplitHostPort(l.Addr().String())
	dir := t.TempDir()
	inUse := filepath.Join(dir, "in use.db")
	user := startChild(t, "devserver", "-f", inUse, "--search-attribute", "State=Keyword")
	text := filepath.Join(dir, "text.db")
	must(t, os.WriteFile(text, []byte("this is no database, it is a text"), 0o600))

	run := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(os.Args[0], append([]string{"server", "start-dev", "--headless", "--port", port(t)}, args...)...)
		cmd.Env = append(os.Environ(), mainEnv+"=devserver")
		out, err := cmd.CombinedOutput()
		if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) {
			t.Errorf("%v: %v", args, err)
		}
		return string(out)
	}
	for _, c := range []struct{ args, want string }{
		{"--port|" + taken, "stop what uses it or give another --port"},
		{"--headless=false|--ui-port|" + taken, "stop what uses it or give another --ui-port"},
		{"-f|" + inUse, "another server uses it"},
		{"-f|" + text, "it is no SQLite database"},
		{"-f|" + filepath.Join(dir, "absent", "x.db"), "its folder must exist and be writable"},
		{"--nonsense", "unknown flag: --nonsense"},
		{"extra", `unknown command "extra"`},
		{"--ip|example", `"example" is not an IP address`},
		{"--log-level|loud", "use debug, info, warn, error or never"},
		{"--log-format|xml", "use text or json"},
		{"--search-attribute|State", "use Name=Type"},
		{"--search-attribute|State=Colour", "use Name=Type"},
		{"--search-attribute|WorkflowId=Keyword", "keeps that name for itself"},
		{"--search-attribute|A=Bool|--search-attribute|B=Bool|--search-attribute|C=Bool|--search-attribute|D=Bool", "has no room for another"},
		{"--dynamic-config-value|frontend.rps", "use KEY=VALUE"},
		{"--dynamic-config-value|some.text=text", "a string needs its quotes"},
		{"--sqlite-pragma|synchronous", "use NAME=VALUE"},
	} {
		if said := run(strings.Split(c.args, "|")...); !strings.Contains(said, c.want) {
			t.Errorf("%s: %q", c.args, said)
		}
	}

	must(t, user.cmd.Process.Signal(os.Interrupt))
	must(t, user.cmd.Wait())
	if said := run("-f", inUse, "--search-attribute", "State=Int"); !strings.Contains(said, "the type cannot change") {
		t.Errorf("%q", said)
	}
}

func TestDynamicConfigTakesTheTypeOfItsValue(t *testing.T) {
	var got options
	cmd := command(func(o options) error { got = o; return nil })
	cmd.SetArgs(strings.Fields(`server start-dev --dynamic-config-value frontend.rps=7
		--dynamic-config-value a.share=0.5 --dynamic-config-value a.switch=true --dynamic-config-value a.text="t"`))
	must(t, cmd.ExecuteContext(context.Background()))
	merged := dynamicConfig(got)
	for key, want := range map[string]any{
		"frontend.rps": 7, "a.share": 0.5, "a.switch": true, "a.text": "t",
		"matching.rps": 20_000, // ours, which nobody overrode
	} {
		found := false
		for k, v := range merged {
			if strings.EqualFold(k.String(), key) {
				found = v == want
			}
		}
		if !found {
			t.Errorf("%s is not %v (%T) in %v", key, want, want, merged)
		}
	}
}
