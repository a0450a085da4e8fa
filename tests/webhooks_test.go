package tests

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/apikey"
	"github.com/ltp-node/ltp/audit"
	"github.com/ltp-node/ltp/node"
	"github.com/ltp-node/ltp/payload"
	"github.com/ltp-node/ltp/starter"
	"github.com/ltp-node/ltp/webhook"
)

// received is a message as an endpoint got it, at whatever attempt.
type received struct {
	header http.Header
	body   []byte
	status int // what it was answered
	ltp.WebhookBody
	order map[string]any
}

// endpoint is the system of a tenant that receives webhooks.
type endpoint struct {
	t      *testing.T
	url    string
	secret string
	key    ed25519.PublicKey // nil where messages are signed with the secret alone

	mu     sync.Mutex
	status int
	all    []received
}

// receiver serves an endpoint, whose messages have to be signed with its secrets.
func receiver(t *testing.T) *endpoint {
	e := &endpoint{t: t, secret: webhook.NewSecret(), status: http.StatusNoContent}
	server := httptest.NewServer(e)
	t.Cleanup(server.Close)
	e.url = server.URL + "/hooks"
	return e
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	got := received{header: r.Header, body: body, status: e.status}
	e.verify(got)
	assert.NoError(e.t, json.Unmarshal(body, &got.WebhookBody))
	assert.NoError(e.t, json.Unmarshal(got.Data, &got.order))
	e.all = append(e.all, got)
	w.WriteHeader(e.status)
}

// verify holds a message against its signatures and the contract. The lock is held.
func (e *endpoint) verify(got received) {
	official, err := standardwebhooks.NewWebhook(e.secret)
	assert.NoError(e.t, err)
	assert.NoError(e.t, official.Verify(got.body, got.header))
	if e.key != nil {
		signed := fmt.Appendf(nil, "%s.%s.%s", got.header.Get("webhook-id"), got.header.Get("webhook-timestamp"), got.body)
		good := slices.ContainsFunc(strings.Fields(got.header.Get("webhook-signature")), func(s string) bool {
			text, is := strings.CutPrefix(s, "v1a,")
			signature, err := base64.StdEncoding.DecodeString(text)
			return is && err == nil && ed25519.Verify(e.key, signed, signature)
		})
		assert.True(e.t, good, "no signature of v1a: %s", got.header.Get("webhook-signature"))
	}
	if !bytes.Contains(got.body, []byte(ltp.WebhookTest)) { // which is of no order
		assert.NoError(e.t, agreed().Message(got.header, got.body))
	}
}

// answers has the endpoint answer with a status from now on.
func (e *endpoint) answers(status int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.status = status
}

// of are the messages of an order so far; taken are those that were answered 2xx.
func (e *endpoint) of(orderID string) (all, taken []received) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, m := range e.all {
		if m.order["id"] == orderID {
			if all = append(all, m); m.status/100 == 2 {
				taken = append(taken, m)
			}
		}
	}
	return all, taken
}

// gets waits until the endpoint has taken messages of an order, and requires that they are
// these, in this order.
func (e *endpoint) gets(orderID string, want ...ltp.WebhookEvent) (taken []received) {
	e.t.Helper()
	require.Eventually(e.t, func() bool {
		_, taken = e.of(orderID)
		return len(taken) >= len(want)
	}, patience, 20*time.Millisecond, "%s: %v", orderID, want)
	var got []ltp.WebhookEvent
	for _, m := range taken {
		got = append(got, m.Type)
	}
	require.Equal(e.t, want, got, orderID)
	return taken
}

// hooks is a file of webhooks of the test's.
type hooks struct {
	t    *testing.T
	path string
}

func newHooks(t *testing.T, all ...webhook.Endpoint) hooks {
	t.Helper()
	h := hooks{t, filepath.Join(t.TempDir(), "webhooks.json")}
	h.hold(all...)
	return h
}

// hold has the file hold these endpoints, at once.
func (h hooks) hold(all ...webhook.Endpoint) {
	h.t.Helper()
	data, err := json.Marshal(webhook.File{Endpoints: all})
	require.NoError(h.t, err)
	require.NoError(h.t, os.WriteFile(h.path+".new", data, 0o600))
	require.NoError(h.t, os.Rename(h.path+".new", h.path))
}

func (e *endpoint) as(name, tenant string, events ...ltp.WebhookEvent) webhook.Endpoint {
	return webhook.Endpoint{Tenant: tenant, Name: name, URL: e.url, Secrets: []string{e.secret}, Events: events}
}

// hooked has a node send webhooks, to addresses of this machine too.
func (r *rig) hooked(c *node.Config, h hooks) {
	r.t.Helper()
	opened, err := webhook.Open(h.path, true, r.log)
	require.NoError(r.t, err)
	c.Webhooks = opened
}

// upWithWebhooks runs a node with webhooks until the order database counts as fit. Orders that
// the rig submits are marked for them.
func (r *rig) upWithWebhooks(h hooks) (node.Config, *node.Node) {
	r.t.Helper()
	c := r.config()
	r.hooked(&c, h)
	r.start = starter.New(r.client, starter.WithWebhooks(c.Webhooks.Has))
	n := r.up(c)
	r.until(n, ltp.Stable)
	return c, n
}

// TestWebhooksTellWhatBecomesOfAnOrder in turn, signed with every secret, and as the contract
// has it; an endpoint that wants some events alone gets those.
func TestWebhooksTellWhatBecomesOfAnOrder(t *testing.T) {
	r := newRig(t)
	shop, mail := receiver(t), receiver(t)
	private, public := webhook.NewKeys()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(public, "whpk_"))
	require.NoError(t, err)
	shop.key = key
	to := shop.as("shop", "")
	to.Secrets = append(to.Secrets, private)
	c := r.config()
	api := r.listen(&c)
	r.hooked(&c, newHooks(t, to, mail.as("mail", "", ltp.OrderConfirmed)))
	n := r.up(c)
	r.until(n, ltp.Stable)
	response, o := do(t, "POST", api+"/orders", orderJSON("W1"), map[string]string{"Prefer": "wait=30"})
	require.Equal(t, http.StatusCreated, response.StatusCode, "%v", o)
	taken := shop.gets("W1", ltp.OrderConfirmed)
	_, now := do(t, "GET", api+"/orders/W1", "", nil)
	assert.Equal(t, now, taken[0].order, "the order as GET shows it")

	end := r.outage()
	r.until(n, ltp.Unstable)
	response, o = do(t, "POST", api+"/orders", orderJSON("W2"), nil)
	require.Equal(t, http.StatusAccepted, response.StatusCode, "%v", o)
	shop.gets("W2", ltp.OrderDeferred)
	end()
	taken = shop.gets("W2", ltp.OrderDeferred, ltp.OrderConfirmed)
	assert.Equal(t, "DEFERRED", taken[0].order["state"])
	assert.Equal(t, "SYSTEM_UNSTABLE", taken[0].order["reason"])
	assert.Equal(t, "EXECUTED", taken[1].order["state"])
	assert.Equal(t, "RECOVERY_CONFIRMED", taken[1].order["reason"])
	assert.NotEqual(t, taken[0].header.Get("webhook-id"), taken[1].header.Get("webhook-id"))
	assert.Len(t, mail.gets("W1", ltp.OrderConfirmed), 1)
	mail.gets("W2", ltp.OrderConfirmed)
	r.until(n, ltp.Stable)
	r.verified()
	assert.Contains(t, r.shows("W2"), "EXECUTED")
}

// TestEndpointThatIsDownGetsItsMessagesInTurn once it is up, whatever becomes of workers
// meanwhile; it holds up neither the order nor another endpoint.
func TestEndpointThatIsDownGetsItsMessagesInTurn(t *testing.T) {
	r := newRig(t)
	down, up := receiver(t), receiver(t)
	down.answers(http.StatusInternalServerError)
	c, n := r.upWithWebhooks(newHooks(t, down.as("down", ""), up.as("up", "")))
	end := r.outage()
	r.until(n, ltp.Unstable)
	r.decided(r.submit(order("D1")))
	up.gets("D1", ltp.OrderDeferred)
	end()
	assert.Equal(t, ltp.Executed, r.ended("D1").State)
	up.gets("D1", ltp.OrderDeferred, ltp.OrderConfirmed)
	require.Eventually(t, func() bool { all, _ := down.of("D1"); return len(all) >= 2 }, patience, 20*time.Millisecond)
	n.Stop()
	again := r.up(c)
	down.answers(http.StatusOK)
	down.gets("D1", ltp.OrderDeferred, ltp.OrderConfirmed)
	all, taken := down.of("D1")
	for _, m := range all[:len(all)-1] {
		assert.Equal(t, ltp.OrderDeferred, m.Type, "the next waits for the one before")
		assert.Equal(t, taken[0].header.Get("webhook-id"), m.header.Get("webhook-id"))
		assert.Equal(t, taken[0].body, m.body, "the same each time")
	}
	up.gets("D1", ltp.OrderDeferred, ltp.OrderConfirmed)
	r.delivered("D1")
	r.until(again, ltp.Stable)
	assert.Equal(t, audit.Held, r.audited(0, "--orders-db", r.orders).Verdict)
}

// delivered waits until the Delivery of an order has ended, with everything delivered.
func (r *rig) delivered(orderID string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, patience)
	defer cancel()
	require.NoError(r.t, r.client.GetWorkflow(ctx, ltp.DeliveryWorkflowID(orderID), "").Get(ctx, nil))
}

// TestWebhooksTellEveryEnd, and that an order is parked.
func TestWebhooksTellEveryEnd(t *testing.T) {
	r := newRig(t)
	r.exec(`CREATE TRIGGER no_anvils BEFORE INSERT ON orders WHEN NEW.body LIKE '%anvil%' BEGIN SELECT RAISE(ABORT, 'we sell no anvils'); END`)
	r.exec(`CREATE TRIGGER poison BEFORE INSERT ON orders WHEN NEW.id = 'E-parked' BEGIN SELECT json_extract('{', '$.a'); END`)
	shop := receiver(t)
	_, n := r.upWithWebhooks(newHooks(t, shop.as("shop", "")))
	anvil := order("E-rejected")
	anvil.Lines[0].SKU = "anvil"
	r.submit(anvil)
	m := shop.gets("E-rejected", ltp.OrderRejected)
	assert.Contains(t, m[0].order["detail"], "we sell no anvils")

	r.submit(order("E-parked"))
	r.becomes("E-parked", ltp.Parked)
	m = shop.gets("E-parked", ltp.OrderDeferred, ltp.OrderParked)
	assert.Equal(t, "PARKED", m[1].order["state"])
	assert.NotContains(t, m[1].order, "detail", "what it fails with is for operators")
	assert.NotContains(t, m[1].order, "parked")
	require.NoError(t, r.start.Instruct(r.ctx, "E-parked", ltp.Instruction{Do: ltp.DoReject, By: "ann", Why: "no such article"}))
	shop.gets("E-parked", ltp.OrderDeferred, ltp.OrderParked, ltp.OrderRejected)

	end := r.outage()
	r.until(n, ltp.Unstable)
	late := order("E-expired")
	late.Deadline = time.Now().Add(20 * time.Second) // it is deferred before that
	r.submit(late)
	shop.gets("E-expired", ltp.OrderDeferred)
	r.submit(order("E-cancelled"))
	shop.gets("E-cancelled", ltp.OrderDeferred)
	require.NoError(t, r.start.Cancel(r.ctx, "E-cancelled"))
	shop.gets("E-cancelled", ltp.OrderDeferred, ltp.OrderCancelled)
	shop.gets("E-expired", ltp.OrderDeferred, ltp.OrderExpired)
	end()
	for _, id := range []string{"E-rejected", "E-parked", "E-expired", "E-cancelled"} {
		r.delivered(id)
	}
	r.until(n, ltp.Stable)
	assert.Equal(t, audit.Held, r.audited(0, "--orders-db", r.orders).Verdict)
	r.verified()
}

// TestOrderOfLongLifeAnnouncesEachStateOnce: it continues as new again and again meanwhile.
func TestOrderOfLongLifeAnnouncesEachStateOnce(t *testing.T) {
	r := newRig(t, shortHistories)
	shop := receiver(t)
	c := r.config()
	c.Backstop = impatient
	r.hooked(&c, newHooks(t, shop.as("shop", "")))
	r.start = starter.New(r.client, starter.WithWebhooks(c.Webhooks.Has))
	n := r.up(c)
	r.until(n, ltp.Stable)
	end := r.outage()
	r.until(n, ltp.Unstable)
	r.decided(r.submit(order("L1")))
	shop.gets("L1", ltp.OrderDeferred)
	r.awaitRuns("L1", 3)
	end()
	m := shop.gets("L1", ltp.OrderDeferred, ltp.OrderConfirmed)
	assert.NotEqual(t, m[0].header.Get("webhook-id"), m[1].header.Get("webhook-id"))
	assert.Equal(t, m[0].order["accepted_at"], m[1].order["accepted_at"], "it was accepted once")
	r.delivered("L1")
	shop.gets("L1", ltp.OrderDeferred, ltp.OrderConfirmed)
	// Everything again has the same IDs, though it is read from runs of before.
	status, said := r.command("webhooks", "redeliver", "L1")
	require.Zero(t, status, said)
	assert.Contains(t, said, "what was not delivered is sent again")
	r.delivered("L1")
	shop.gets("L1", ltp.OrderDeferred, ltp.OrderConfirmed) // nothing is left
	status, said = r.command("webhooks", "redeliver", "L1", "--all")
	require.Zero(t, status, said)
	again := shop.gets("L1", ltp.OrderDeferred, ltp.OrderConfirmed, ltp.OrderDeferred, ltp.OrderConfirmed)
	for i := range m {
		assert.Equal(t, m[i].header.Get("webhook-id"), again[i+2].header.Get("webhook-id"))
		assert.Equal(t, m[i].body, again[i+2].body)
	}
	r.until(n, ltp.Stable)
	r.continued("L1")
}

// TestSecretAndURLOfAnEndpointMayChangeWhileItsMessagesWait.
func TestSecretAndURLOfAnEndpointMayChangeWhileItsMessagesWait(t *testing.T) {
	r := newRig(t)
	shop := receiver(t)
	shop.answers(http.StatusInternalServerError)
	file := newHooks(t, shop.as("shop", ""))
	_, _ = r.upWithWebhooks(file)
	r.submit(order("S1"))
	require.Eventually(t, func() bool { all, _ := shop.of("S1"); return len(all) >= 1 }, patience, 20*time.Millisecond)
	before := shop.as("shop", "")
	elsewhere := receiver(t)
	after := elsewhere.as("shop", "")
	after.Secrets = append(before.Secrets, after.Secrets...) // both, for as long as the receiver may have either
	file.hold(after)
	first := elsewhere.gets("S1", ltp.OrderConfirmed)
	assert.Len(t, strings.Fields(first[0].header.Get("webhook-signature")), 2)
	r.delivered("S1")
}

// TestEndpointThatAWorkerDoesNotKnowIsAwaited: each attempt knows of those before it that sent
// nothing, and the message goes out once the endpoint is known.
func TestEndpointThatAWorkerDoesNotKnowIsAwaited(t *testing.T) {
	r := newRig(t)
	shop, mail := receiver(t), receiver(t)
	shop.answers(http.StatusInternalServerError)
	file := newHooks(t, shop.as("shop", ""))
	_, _ = r.upWithWebhooks(file)
	r.submit(order("U1"))
	require.Eventually(t, func() bool { all, _ := shop.of("U1"); return len(all) >= 1 }, patience, 20*time.Millisecond)
	file.hold(mail.as("mail", ""))
	require.Eventually(t, func() bool {
		d, err := r.client.DescribeWorkflowExecution(r.ctx, ltp.DeliveryWorkflowID("U1"), "")
		if err != nil || len(d.GetPendingActivities()) != 1 {
			return false
		}
		var unsent struct{ Attempts int }
		details := d.GetPendingActivities()[0].GetHeartbeatDetails()
		return details != nil && payload.Converter().FromPayloads(details, &unsent) == nil && unsent.Attempts >= 2
	}, patience, 20*time.Millisecond)
	shop.answers(http.StatusOK)
	file.hold(mail.as("mail", ""), shop.as("shop", ""))
	shop.gets("U1", ltp.OrderConfirmed)
	r.delivered("U1")
}

// TestNothingIsSentToAPrivateAddress unless that is allowed; the order goes on, and operators
// see why.
func TestNothingIsSentToAPrivateAddress(t *testing.T) {
	r := newRig(t)
	hidden := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was reached") }))
	t.Cleanup(hidden.Close)
	file := newHooks(t, webhook.Endpoint{Name: "hidden", URL: hidden.URL + "/hooks/sesame", Secrets: []string{webhook.NewSecret()}})
	c := r.config()
	opened, err := webhook.Open(file.path, false, r.log)
	require.NoError(t, err)
	c.Webhooks = opened
	r.start = starter.New(r.client, starter.WithWebhooks(c.Webhooks.Has))
	n := r.up(c)
	r.until(n, ltp.Stable)
	r.submit(order("P1"))
	assert.Equal(t, ltp.Executed, r.ended("P1").State)
	var said string
	require.Eventually(t, func() bool {
		var status int
		status, said = r.command("webhooks", "list", "--webhooks", file.path)
		return status == 0 && strings.Contains(said, "P1")
	}, patience, 50*time.Millisecond, said)
	assert.Contains(t, said, "127.0.0.1 is not a public address")
	assert.NotContains(t, said, "whsec_")
	assert.NotContains(t, said, "sesame", "what stands behind the host may be secret")
	status, said := r.command("webhooks", "test", "--webhooks", file.path)
	assert.Equal(t, 1, status)
	assert.Contains(t, said, "127.0.0.1 is not a public address")
	assert.NotContains(t, said, "sesame")
}

// TestMessageThatWasGivenUpIsRedelivered under the ID that it had.
func TestMessageThatWasGivenUpIsRedelivered(t *testing.T) {
	r := newRig(t)
	shop := receiver(t)
	shop.answers(http.StatusGone)
	c := r.config()
	ops := r.admin(&c)
	file := newHooks(t, shop.as("shop", ""))
	r.hooked(&c, file)
	r.start = starter.New(r.client, starter.WithWebhooks(c.Webhooks.Has))
	n := r.up(c)
	r.until(n, ltp.Stable)
	r.submit(order("G1"))
	require.Eventually(t, func() bool { all, _ := shop.of("G1"); return len(all) == 1 }, patience, 20*time.Millisecond)
	list := func(more ...string) string {
		status, said := r.command(append([]string{"webhooks", "list", "--webhooks", file.path, "--webhooks-allow-private"}, more...)...)
		require.Zero(t, status, said)
		return said
	}
	require.Eventually(t, func() bool { return strings.Contains(list(), "G1") }, patience, 50*time.Millisecond)
	assert.Contains(t, list(), "given up  the endpoint answered 410")
	var listed struct {
		Endpoints []struct{ Name string }
		Troubles  []struct {
			Order   string
			GivenUp bool `json:"given_up"`
		}
	}
	require.NoError(t, json.Unmarshal([]byte(list("--format", "json")), &listed))
	assert.Equal(t, "shop", listed.Endpoints[0].Name)
	assert.Equal(t, "G1", listed.Troubles[0].Order)
	assert.True(t, listed.Troubles[0].GivenUp)
	response, err := http.Get(ops + "/metrics")
	require.NoError(t, err)
	defer response.Body.Close()
	measured, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	assert.Contains(t, string(measured), `ltp_webhook_deliveries_total{result="given_up"} 1`)
	shop.answers(http.StatusOK)
	status, said := r.command("webhooks", "redeliver", "--failed")
	require.Zero(t, status, said)
	assert.Contains(t, said, "G1: what was not delivered is sent again")
	shop.gets("G1", ltp.OrderConfirmed)
	all, taken := shop.of("G1")
	assert.Equal(t, all[0].header.Get("webhook-id"), taken[0].header.Get("webhook-id"))
	r.delivered("G1")
	require.Eventually(t, func() bool { return !strings.Contains(list(), "G1") }, patience, 50*time.Millisecond)
	status, said = r.command("webhooks", "redeliver", "--failed")
	assert.Zero(t, status, said)
	assert.Contains(t, said, "Nothing was given up.", "it was redelivered since")
	status, said = r.command("webhooks", "redeliver", "nobody")
	assert.Zero(t, status, said) // no Delivery is known of it: one is called, and finds no order
	r.delivered("nobody")
	status, said = r.command("webhooks", "test", "--webhooks", file.path, "--webhooks-allow-private", "shop")
	assert.Zero(t, status, said)
	assert.Contains(t, said, "shop: answered 200")
}

// TestWebhooksOfTenantsAreTheirOwn: one receives its own orders alone, under its own ids,
// and one without webhooks pays nothing for those of others.
func TestWebhooksOfTenantsAreTheirOwn(t *testing.T) {
	r := newRig(t)
	acme, globex := receiver(t), receiver(t)
	c := r.config()
	api := r.listen(&c)
	keys := newKeyring(t, nil)
	show := map[string]map[string]string{}
	for _, tenant := range []string{"acme", "globex", "initech", ""} {
		_, show[tenant] = keys.make(apikey.Key{Tenant: tenant, Role: ltp.CustomerRole})
	}
	r.keyed(&c, keys)
	r.hooked(&c, newHooks(t, acme.as("shop", "acme"), globex.as("shop", "globex")))
	n := r.up(c)
	r.until(n, ltp.Stable)
	for tenant, header := range show {
		response, o := do(t, "POST", api+"/orders", orderJSON("T1"), and(header, "Prefer", "wait=30"))
		require.Equal(t, http.StatusCreated, response.StatusCode, "%s: %v", tenant, o)
	}
	response, o := do(t, "POST", api+"/orders", orderJSON("T2"), and(show["globex"], "Prefer", "wait=30"))
	require.Equal(t, http.StatusCreated, response.StatusCode, "%v", o)
	acme.gets("T1", ltp.OrderConfirmed)
	globex.gets("T1", ltp.OrderConfirmed)
	globex.gets("T2", ltp.OrderConfirmed)
	for _, id := range []string{"acme/T1", "globex/T1", "globex/T2"} {
		r.delivered(id)
		assert.Equal(t, cost{events: 8, transitions: 2}, r.cost(id), id)
	}
	for _, id := range []string{"initech/T1", "T1"} {
		assert.Equal(t, cost{events: 7, transitions: 2}, r.cost(id), id)
		_, err := r.client.DescribeWorkflowExecution(r.ctx, ltp.DeliveryWorkflowID(id), "")
		assert.ErrorAs(t, err, new(*serviceerror.NotFound), id)
	}
	all, _ := acme.of("T2")
	assert.Empty(t, all)
	assert.Len(t, acme.all, 1)
	assert.Len(t, globex.all, 2)
}
