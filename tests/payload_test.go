package tests

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/proxy"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/proto"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/embedded"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/ledger"
	"github.com/ltp-node/ltp/payload"
	"github.com/ltp-node/ltp/starter"
	"github.com/ltp-node/ltp/tests/harness"
	"github.com/ltp-node/ltp/workflows"
)

// What a customer says, and what is said of one. None of it is a word of ours.
const (
	secretCustomer  = "Quillfeather"
	secretSKU       = "vermilion"
	secretName      = "Moonstruck"
	secretAttribute = "Portofino"
	secretFailure   = "snowgoose"
)

var secrets = []string{secretCustomer, secretSKU, secretName, secretAttribute, secretFailure}

// secret makes an order one that has a secret in whatever holds text.
func secret(o *ltp.Order) {
	a, err := ltp.ParseAttributes([]byte(`{"port":"` + secretAttribute + `"}`))
	if err != nil {
		panic(err)
	}
	o.Customer, o.Attributes = secretCustomer, a
	o.Lines = []ltp.Line{{SKU: secretSKU, Name: secretName, Quantity: 2, UnitAmountMinor: 6000, Attributes: a}}
}

// keyFile writes a file of keys, each a line.
func keyFile(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "payload.keys")
	require.NoError(t, os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
	return path
}

func keyLine(t *testing.T, id string) string {
	t.Helper()
	line, err := payload.NewKey(id)
	require.NoError(t, err)
	return line
}

func keysIn(t *testing.T, file string) *payload.Keys {
	t.Helper()
	k, err := payload.ReadKeys(file)
	require.NoError(t, err)
	return k
}

// dialWith is a client with keys. The SDK's own has none, and decrypts nothing.
func (r *rig) dialWith(set func(*client.Options)) client.Client {
	r.T.Helper()
	o := client.Options{HostPort: r.Server.Address(), Namespace: r.Server.Namespace(), Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler))}
	set(&o)
	c, err := client.Dial(o)
	require.NoError(r.T, err)
	r.T.Cleanup(c.Close)
	return c
}

// stored is what Temporal has of all workflows: events, and what a workflow is described
// and listed by.
func (r *rig) stored() (all []proto.Message) {
	r.T.Helper()
	raw := r.dialWith(func(*client.Options) {})
	var token []byte
	for {
		page, err := raw.ListWorkflow(r.Ctx, &workflowservice.ListWorkflowExecutionsRequest{NextPageToken: token})
		require.NoError(r.T, err)
		for _, info := range page.GetExecutions() {
			w := info.GetExecution()
			d, err := raw.DescribeWorkflowExecution(r.Ctx, w.GetWorkflowId(), w.GetRunId())
			require.NoError(r.T, err)
			for events := raw.GetWorkflowHistory(r.Ctx, w.GetWorkflowId(), w.GetRunId(), false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); events.HasNext(); {
				e, err := events.Next()
				require.NoError(r.T, err)
				all = append(all, e)
			}
			all = append(all, info, d)
		}
		if token = page.GetNextPageToken(); len(token) == 0 {
			return all
		}
	}
}

// encryptedWith are the ids of the keys of all payloads of a message; "" is a plain one.
func encryptedWith(t *testing.T, messages ...proto.Message) map[string]int {
	t.Helper()
	ids := map[string]int{}
	for _, m := range messages {
		require.NoError(t, proxy.VisitPayloads(t.Context(), m, proxy.VisitPayloadsOptions{SkipSearchAttributes: true,
			Visitor: func(_ *proxy.VisitPayloadsContext, all []*commonpb.Payload) ([]*commonpb.Payload, error) {
				for _, p := range all {
					ids[string(p.GetMetadata()[payload.KeyID])]++
				}
				return all, nil
			}}))
	}
	return ids
}

// silentAbout checks that none of the messages holds a secret.
func silentAbout(t *testing.T, messages []proto.Message) {
	t.Helper()
	for _, m := range messages {
		data, err := proto.Marshal(m)
		require.NoError(t, err)
		for _, s := range secrets {
			assert.Falsef(t, bytes.Contains(data, []byte(s)), "%s is in %v", s, m)
		}
	}
}

// TestTemporalStoresNothingReadableOfOrders: not of one that is executed, not of one whose
// execution fails and says why, not of those that wait in line through an outage. With
// the key every reader works, and after it was changed, too. Without it they say which key
// they lack.
func TestTemporalStoresNothingReadableOfOrders(t *testing.T) {
	older, newer := keyLine(t, "older"), keyLine(t, "newer")
	file := keyFile(t, older)
	r := newRig(t, func(o *embedded.Options) { payload.Connect(&o.Client, keysIn(t, file)) })
	shop := r.works()
	old := starter.WithKeys(keysIn(t, file))
	hook := receiver(t)
	c := r.config()
	r.hooked(&c, harness.NewEndpointFile(t, hook.As("shop", "")))
	r.Start = starter.New(r.Client, old, starter.WithWebhooks(c.Webhooks.Has))
	n := r.up(c)
	r.Until(n.Board, ltp.Stable)

	r.Submit("A1", secret)
	assert.Equal(t, ltp.Executed, r.Ended("A1").State)
	hook.gets("A1", ltp.OrderConfirmed)

	fails := errors.New("no " + secretFailure + " for " + secretCustomer)
	shop.err.Store(&fails)
	own := starter.New(r.Client, old, starter.WithExecution(fulfil))
	_, err := own.Submit(r.Ctx, ordertest.New("A2", secret))
	require.NoError(t, err)
	r.becomes("A2", ltp.Deferred)
	shop.err.Store(nil)
	r.becomes("A2", ltp.Executed)
	r.Until(n.Board, ltp.Stable)

	end := r.Outage()
	r.Until(n.Board, ltp.Unstable)
	for _, id := range []string{"A3", "A4"} {
		assert.Equal(t, ltp.Deferred, r.Decided(r.Submit(id, secret, ordertest.OrderingKey("line-1"))).State)
	}
	silentAbout(t, r.stored()) // timers and pending activities among it
	end()
	for _, id := range []string{"A3", "A4"} {
		r.becomes(id, ltp.Executed)
		r.delivered(id)
	}
	r.Until(n.Board, ltp.Stable)
	n.Stop()

	all := r.stored()
	silentAbout(t, all)
	ids := encryptedWith(t, all...)
	assert.Greater(t, ids["older"], 100)
	t.Logf("%d messages, payloads by key: %v", len(all), ids)
	delete(ids, "older")
	assert.Empty(t, ids, "payloads that are plain, or encrypted otherwise")

	// Whatever Temporal writes to its disk.
	paths, err := filepath.Glob(filepath.Join(r.Dir, "temporal.db*"))
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, path := range paths {
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, s := range secrets {
			assert.Falsef(t, bytes.Contains(data, []byte(s)), "%s is in %s", s, path)
		}
	}

	// Every reader, with the old file and with the rotated one.
	rotated := keyFile(t, newer, older)
	with := func(file string) *terminal {
		cli := newTerminal(t)
		cli.env = r.Environment(payload.FileVariable + "=" + file)
		return cli
	}
	for _, keys := range []string{file, rotated} {
		cli := with(keys)
		assert.Contains(t, cli.run("inspect", "A1"), secretCustomer)
		assert.Contains(t, cli.run("inspect", "A2"), secretFailure, "what a failure says is read")
		assert.Contains(t, cli.run("inspect"), "UNSTABLE")
		assert.Contains(t, cli.run("orders", "list", "--customer", secretCustomer), "A3")
		assert.NotContains(t, cli.run("orders", "list", "--customer", "Quill"), "A3")
		assert.Equal(t, ltp.Executed, cli.status("orders", "get", "A4").State)
		assert.Contains(t, cli.orientation("get").Evidence.Facts, "database")
		audit := cli.start("audit", "--orders-db", r.Orders)
		assert.Equal(t, 2, audit.Wait(), "what an activity of the user's wrote is not checked")
		assert.Contains(t, audit.Stdout.String(), "every one decided the same")
		assert.Contains(t, audit.Stdout.String(), "3 rows read: none missing, none too many, none differing")
		assert.NotContains(t, audit.Stdout.String(), "BROKEN")
		cli.run("report", "--orders-db", r.Orders, "-o", filepath.Join(cli.t.TempDir(), "report.md"))

		export := filepath.Join(t.TempDir(), "incident.jsonl")
		cli.run("trace", "export", "-o", export)
		public, err := os.ReadFile(filepath.Join(cli.stateDir, ledger.PublicKeyFile))
		require.NoError(t, err)
		assert.Contains(t, newTerminal(t).run("trace", "verify", export, "--key", string(bytes.TrimSpace(public))), "is whole")
	}

	// What is new is encrypted with the first key of the file.
	r.Client = r.dialWith(func(o *client.Options) { payload.Connect(o, keysIn(t, rotated)) })
	r.Start = starter.New(r.Client, starter.WithKeys(keysIn(t, rotated)))
	n = r.up(r.config())
	r.Until(n.Board, ltp.Stable)
	r.Submit("B1", secret)
	assert.Equal(t, ltp.Executed, r.Ended("B1").State)
	n.Stop()
	raw := r.dialWith(func(*client.Options) {})
	for id, key := range map[string]string{"A1": "older", "B1": "newer"} {
		d, err := raw.DescribeWorkflowExecution(r.Ctx, ltp.OrderWorkflowID(id), "")
		require.NoError(t, err)
		assert.Len(t, encryptedWith(t, d), 1, id)
		assert.Positive(t, encryptedWith(t, d)[key], id)
	}
	assert.Contains(t, with(rotated).run("inspect", "B1"), secretCustomer)
	require.Eventually(t, func() bool { // listings come a moment later
		all := with(rotated).run("orders", "list", "--customer", secretCustomer)
		return strings.Contains(all, "A1 ") && strings.Contains(all, "B1 ")
	}, patience, 100*time.Millisecond, "under whichever key they were accepted")

	// Without a key, without the right one, and with one that others can read.
	open := keyFile(t, older)
	require.NoError(t, os.Chmod(open, 0o644))
	for name, c := range map[string]struct{ file, want string }{
		"none":                {"", `payload key "(older|newer)", and no key is given`},
		"another":             {keyFile(t, newer), `payload key "older", and the key file holds only newer`},
		"one for all to read": {open, `can be read or changed by others than its owner`},
	} {
		cli := with(c.file)
		for _, args := range [][]string{
			{"inspect", "A1"}, {"orders", "get", "A1"}, {"orders", "list"},
			{"audit", "--orders-db", r.Orders}, {"trace", "export", "-o", filepath.Join(t.TempDir(), "x")},
		} {
			p := cli.start(args...)
			assert.NotZero(t, p.Wait(), "%s: %v", name, args)
			assert.Empty(t, p.Stdout.String(), "%s: %v", name, args)
			assert.Regexp(t, `(?m)^ltp: [^\n]*`+c.want+`[^\n]*\n\z`, p.Stderr.String(), "%s: %v", name, args)
			for _, s := range append(secrets, payload.Encoding) {
				assert.NotContains(t, p.Stderr.String(), s)
			}
		}
	}
}

// TestWorkerWithoutTheKeyEndsNoOrder: it is given the order's first task, cannot read it,
// says so, and does nothing. A worker that has the key executes the order.
func TestWorkerWithoutTheKeyEndsNoOrder(t *testing.T) {
	k := keysIn(t, keyFile(t, keyLine(t, "one")))
	r := newRig(t, func(o *embedded.Options) { payload.Connect(&o.Client, k) })
	n := r.up(r.config())
	r.Until(n.Board, ltp.Stable)
	n.Stop()

	output := &said{want: `payload key \"one\"`, heard: make(chan struct{})}
	c := r.dialWith(func(o *client.Options) {
		o.Logger = log.NewStructuredLogger(slog.New(slog.NewTextHandler(output, nil)))
		payload.Connect(o, nil)
	})
	w := worker.New(c, ltp.OrderQueue, worker.Options{})
	w.RegisterWorkflowWithOptions(workflows.Order, workflow.RegisterOptions{Name: ltp.OrderWorkflow})
	require.NoError(t, w.Start())
	r.Submit("A1", secret)
	ctx, cancel := context.WithTimeout(r.Ctx, patience)
	defer cancel()
	select {
	case <-output.heard:
	case <-ctx.Done():
		t.Fatal("the worker never says that it lacks the key")
	}
	w.Stop()
	d, err := r.Client.DescribeWorkflowExecution(r.Ctx, ltp.OrderWorkflowID("A1"), "")
	require.NoError(t, err)
	assert.Equal(t, enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, d.GetWorkflowExecutionInfo().GetStatus())

	n = r.up(r.config())
	r.Until(n.Board, ltp.Stable)
	assert.Equal(t, ltp.Executed, r.Ended("A1").State)
}

// said closes heard when want is written to it.
type said struct {
	want  string
	once  sync.Once
	heard chan struct{}
}

func (s *said) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(s.want)) {
		s.once.Do(func() { close(s.heard) })
	}
	return len(p), nil
}

// TestHistoryOfAnOrderIsAboutAsLongAsItsText: characters that HTML escapes are no longer
// than others, in whatever the history repeats of the order.
func TestHistoryOfAnOrderIsAboutAsLongAsItsText(t *testing.T) {
	sizes := map[string]int64{}
	for name, k := range map[string]*payload.Keys{"plain": nil, "encrypted": keysIn(t, keyFile(t, keyLine(t, "2026-11")))} {
		r := newRig(t, func(o *embedded.Options) { payload.Connect(&o.Client, k) })
		n := r.up(r.config())
		r.Until(n.Board, ltp.Stable)
		for _, of := range []string{"<", "x", ""} {
			id := fmt.Sprintf("of-%d", len(sizes))
			r.Submit(id, func(o *ltp.Order) {
				if of != "" { // 61 kB
					o.Lines = slices.Repeat([]ltp.Line{{SKU: strings.Repeat(of, 254), Quantity: 1, UnitAmountMinor: 1}}, 240)
				}
			})
			assert.Equal(t, ltp.Executed, r.Ended(id).State)
			d, err := r.Client.DescribeWorkflowExecution(r.Ctx, ltp.OrderWorkflowID(id), "")
			require.NoError(t, err)
			sizes[name+of] = d.GetWorkflowExecutionInfo().GetHistorySizeBytes()
		}
		n.Stop()
	}
	t.Logf("bytes of history: %v", sizes)
	for _, name := range []string{"plain", "encrypted"} {
		assert.InEpsilon(t, sizes[name+"x"], sizes[name+"<"], .01, name)
		assert.Less(t, sizes[name+"<"], int64(80_000), name)
	}
}

// TestCodecServerDecodesForTheTemporalUIAlone serves what Temporal UI asks for, and refuses to be where the token and
// the orders would be heard by others.
func TestCodecServerDecodesForTheTemporalUIAlone(t *testing.T) {
	cli := newTerminal(t)
	keys := keyFile(t, keyLine(t, "one"))
	token := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(token, []byte("0123456789abcdef0123\n"), 0o600))
	short := filepath.Join(t.TempDir(), "short")
	require.NoError(t, os.WriteFile(short, []byte("0123456789\n"), 0o600))
	for want, args := range map[string][]string{
		"there is nothing to decrypt with":      {"--token", token},
		"name a file with the token":            {"--payload-key", keys},
		"16 characters at least":                {"--payload-key", keys, "--token", short},
		"go together":                           {"--payload-key", keys, "--token", token, "--tls-cert", "x"},
		"write it as browsers do":               {"--payload-key", keys, "--token", token, "--origin", "http://ui.example/"},
		"in plain text: add --tls-cert":         {"--payload-key", keys, "--token", token, "--listen", "0.0.0.0:0"},
		":0 is reached from other machines":     {"--payload-key", keys, "--token", token, "--listen", ":0"},
		"cannot listen on 127.0.0.1:99999|port": {"--payload-key", keys, "--token", token, "--listen", "127.0.0.1:99999"},
	} {
		assert.Regexp(t, want, cli.refused(append([]string{"codec"}, args...)...))
	}

	const page = "http://127.0.0.1:8233"
	p := cli.start("codec", "--payload-key", keys, "--token", token, "--listen", "127.0.0.1:0", "--origin", page)
	url := p.Says(&p.Stderr, `runs on (http://127\.0\.0\.1:\d+) with the keys one`)[1]
	secret, err := payload.Converter().ToPayload(secretCustomer)
	require.NoError(t, err)
	encrypted, err := keysIn(t, keys).Encode([]*commonpb.Payload{secret})
	require.NoError(t, err)
	remote := converter.NewRemotePayloadCodec(converter.RemotePayloadCodecOptions{
		Endpoint: url + "/0123456789abcdef0123", ModifyRequest: func(r *http.Request) error { r.Header.Set("Origin", page); return nil },
	})
	plain, err := remote.Decode(encrypted)
	require.NoError(t, err)
	assert.Equal(t, `"`+secretCustomer+`"`, string(plain[0].GetData()))
	_, err = converter.NewRemotePayloadCodec(converter.RemotePayloadCodecOptions{Endpoint: url}).Decode(encrypted)
	assert.ErrorContains(t, err, "Unauthorized")
	p.Interrupt()
	assert.Zero(t, p.Wait())
}
