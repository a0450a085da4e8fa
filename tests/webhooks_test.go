package tests

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/apikey"
	"github.com/ltp-node/ltp/audit"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/node"
	"github.com/ltp-node/ltp/payload"
	"github.com/ltp-node/ltp/starter"
	"github.com/ltp-node/ltp/tests/harness"
	"github.com/ltp-node/ltp/webhook"
)

// endpoint is the system of a tenant that receives webhooks.
type endpoint struct {
	*harness.Endpoint
	t *testing.T
}

func receiver(t *testing.T) endpoint {
	t.Helper()
	return endpoint{harness.NewEndpoint(t), t}
}

// gets waits until the endpoint has taken messages of an order, and requires that they are
// these, in this order.
func (e endpoint) gets(orderID string, want ...ltp.WebhookEvent) (taken []harness.Message) {
	e.t.Helper()
	require.Eventually(e.t, func() bool {
		_, taken = e.Of(orderID)
		return len(taken) >= len(want)
	}, patience, 20*time.Millisecond, "%s: %v", orderID, want)
	var got []ltp.WebhookEvent
	for _, m := range taken {
		got = append(got, m.Type)
	}
	require.Equal(e.t, want, got, orderID)
	return taken
}

// hooked has a node send webhooks, to addresses of this machine too.
func (r *rig) hooked(c *node.Config, h harness.EndpointFile) {
	r.T.Helper()
	opened, err := webhook.Open(h.Path, true, r.log)
	require.NoError(r.T, err)
	c.Webhooks = opened
}

// upWithWebhooks runs a node with webhooks until the order database counts as fit. Orders that
// the rig submits are marked for them.
func (r *rig) upWithWebhooks(h harness.EndpointFile) (node.Config, *node.Node) {
	r.T.Helper()
	c := r.config()
	r.hooked(&c, h)
	r.Start = starter.New(r.Client, starter.WithWebhooks(c.Webhooks.Has))
	n := r.up(c)
	r.Until(n.Board, ltp.Stable)
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
	shop.Key = key
	to := shop.As("shop", "")
	to.Secrets = append(to.Secrets, private)
	c := r.config()
	api := r.listen(&c)
	r.hooked(&c, harness.NewEndpointFile(t, to, mail.As("mail", "", ltp.OrderConfirmed)))
	n := r.up(c)
	r.Until(n.Board, ltp.Stable)
	response, o := do(t, "POST", api+"/orders", ordertest.JSON("W1"), map[string]string{"Prefer": "wait=30"})
	require.Equal(t, http.StatusCreated, response.StatusCode, "%v", o)
	taken := shop.gets("W1", ltp.OrderConfirmed)
	_, now := do(t, "GET", api+"/orders/W1", "", nil)
	assert.Equal(t, now, taken[0].Order, "the order as GET shows it")

	end := r.Outage()
	r.Until(n.Board, ltp.Unstable)
	response, o = do(t, "POST", api+"/orders", ordertest.JSON("W2"), nil)
	require.Equal(t, http.StatusAccepted, response.StatusCode, "%v", o)
	shop.gets("W2", ltp.OrderDeferred)
	end()
	taken = shop.gets("W2", ltp.OrderDeferred, ltp.OrderConfirmed)
	assert.Equal(t, "DEFERRED", taken[0].Order["state"])
	assert.Equal(t, "SYSTEM_UNSTABLE", taken[0].Order["reason"])
	assert.Equal(t, "EXECUTED", taken[1].Order["state"])
	assert.Equal(t, "RECOVERY_CONFIRMED", taken[1].Order["reason"])
	assert.NotEqual(t, taken[0].ID(), taken[1].ID())
	assert.Len(t, mail.gets("W1", ltp.OrderConfirmed), 1)
	mail.gets("W2", ltp.OrderConfirmed)
	r.Until(n.Board, ltp.Stable)
	r.verified()
	assert.Contains(t, r.shows("W2"), "EXECUTED")
}

// TestEndpointThatIsDownGetsItsMessagesInTurn once it is up, whatever becomes of workers
// meanwhile; it holds up neither the order nor another endpoint.
func TestEndpointThatIsDownGetsItsMessagesInTurn(t *testing.T) {
	r := newRig(t)
	down, up := receiver(t), receiver(t)
	down.Status(http.StatusInternalServerError)
	c, n := r.upWithWebhooks(harness.NewEndpointFile(t, down.As("down", ""), up.As("up", "")))
	end := r.Outage()
	r.Until(n.Board, ltp.Unstable)
	r.Decided(r.Submit("D1"))
	up.gets("D1", ltp.OrderDeferred)
	end()
	assert.Equal(t, ltp.Executed, r.Ended("D1").State)
	up.gets("D1", ltp.OrderDeferred, ltp.OrderConfirmed)
	require.Eventually(t, func() bool { all, _ := down.Of("D1"); return len(all) >= 2 }, patience, 20*time.Millisecond)
	n.Stop()
	again := r.up(c)
	down.Status(http.StatusOK)
	down.gets("D1", ltp.OrderDeferred, ltp.OrderConfirmed)
	all, taken := down.Of("D1")
	for _, m := range all[:len(all)-1] {
		assert.Equal(t, ltp.OrderDeferred, m.Type, "the next waits for the one before")
		assert.Equal(t, taken[0].ID(), m.ID())
		assert.Equal(t, taken[0].Body, m.Body, "the same each time")
	}
	up.gets("D1", ltp.OrderDeferred, ltp.OrderConfirmed)
	r.delivered("D1")
	r.Until(again.Board, ltp.Stable)
	assert.Equal(t, audit.Held, r.audited(0, "--orders-db", r.Orders).Verdict)
}

// delivered waits until the Delivery of an order has ended, with everything delivered.
func (r *rig) delivered(orderID string) {
	r.T.Helper()
	ctx, cancel := context.WithTimeout(r.Ctx, patience)
	defer cancel()
	require.NoError(r.T, r.Client.GetWorkflow(ctx, ltp.DeliveryWorkflowID(orderID), "").Get(ctx, nil))
}

// TestWebhooksTellEveryEnd, and that an order is parked.
func TestWebhooksTellEveryEnd(t *testing.T) {
	r := newRig(t)
	r.exec(`CREATE TRIGGER no_anvils BEFORE INSERT ON orders WHEN NEW.body LIKE '%anvil%' BEGIN SELECT RAISE(ABORT, 'we sell no anvils'); END`)
	r.exec(`CREATE TRIGGER poison BEFORE INSERT ON orders WHEN NEW.id = 'E-parked' BEGIN SELECT json_extract('{', '$.a'); END`)
	shop := receiver(t)
	_, n := r.upWithWebhooks(harness.NewEndpointFile(t, shop.As("shop", "")))
	r.Submit("E-rejected", ordertest.Article("anvil", 2, 6000))
	m := shop.gets("E-rejected", ltp.OrderRejected)
	assert.Contains(t, m[0].Order["detail"], "we sell no anvils")

	r.Submit("E-parked")
	r.becomes("E-parked", ltp.Parked)
	m = shop.gets("E-parked", ltp.OrderDeferred, ltp.OrderParked)
	assert.Equal(t, "PARKED", m[1].Order["state"])
	assert.NotContains(t, m[1].Order, "detail", "what it fails with is for operators")
	assert.NotContains(t, m[1].Order, "parked")
	require.NoError(t, r.Start.Instruct(r.Ctx, "E-parked", ltp.Instruction{Do: ltp.DoReject, By: "ann", Why: "no such article"}))
	shop.gets("E-parked", ltp.OrderDeferred, ltp.OrderParked, ltp.OrderRejected)

	end := r.Outage()
	r.Until(n.Board, ltp.Unstable)
	// it is deferred before that
	r.Submit("E-expired", ordertest.Deadline(time.Now().Add(20*time.Second)))
	shop.gets("E-expired", ltp.OrderDeferred)
	r.Submit("E-cancelled")
	shop.gets("E-cancelled", ltp.OrderDeferred)
	require.NoError(t, r.Start.Cancel(r.Ctx, "E-cancelled"))
	shop.gets("E-cancelled", ltp.OrderDeferred, ltp.OrderCancelled)
	shop.gets("E-expired", ltp.OrderDeferred, ltp.OrderExpired)
	end()
	for _, id := range []string{"E-rejected", "E-parked", "E-expired", "E-cancelled"} {
		r.delivered(id)
	}
	r.Until(n.Board, ltp.Stable)
	assert.Equal(t, audit.Held, r.audited(0, "--orders-db", r.Orders).Verdict)
	r.verified()
}

// TestOrderOfLongLifeAnnouncesEachStateOnce: it continues as new again and again meanwhile.
func TestOrderOfLongLifeAnnouncesEachStateOnce(t *testing.T) {
	r := newRig(t, shortHistories)
	shop := receiver(t)
	c := r.config()
	c.Backstop = impatient
	r.hooked(&c, harness.NewEndpointFile(t, shop.As("shop", "")))
	r.Start = starter.New(r.Client, starter.WithWebhooks(c.Webhooks.Has))
	n := r.up(c)
	r.Until(n.Board, ltp.Stable)
	end := r.Outage()
	r.Until(n.Board, ltp.Unstable)
	r.Decided(r.Submit("L1"))
	shop.gets("L1", ltp.OrderDeferred)
	r.awaitRuns("L1", 3)
	end()
	m := shop.gets("L1", ltp.OrderDeferred, ltp.OrderConfirmed)
	assert.NotEqual(t, m[0].ID(), m[1].ID())
	assert.Equal(t, m[0].Order["accepted_at"], m[1].Order["accepted_at"], "it was accepted once")
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
		assert.Equal(t, m[i].ID(), again[i+2].ID())
		assert.Equal(t, m[i].Body, again[i+2].Body)
	}
	r.Until(n.Board, ltp.Stable)
	r.continued("L1")
}

// TestSecretAndURLOfAnEndpointMayChangeWhileItsMessagesWait.
func TestSecretAndURLOfAnEndpointMayChangeWhileItsMessagesWait(t *testing.T) {
	r := newRig(t)
	shop := receiver(t)
	shop.Status(http.StatusInternalServerError)
	file := harness.NewEndpointFile(t, shop.As("shop", ""))
	_, _ = r.upWithWebhooks(file)
	r.Submit("S1")
	require.Eventually(t, func() bool { all, _ := shop.Of("S1"); return len(all) >= 1 }, patience, 20*time.Millisecond)
	before := shop.As("shop", "")
	elsewhere := receiver(t)
	after := elsewhere.As("shop", "")
	after.Secrets = append(before.Secrets, after.Secrets...) // both, for as long as the receiver may have either
	file.Hold(after)
	first := elsewhere.gets("S1", ltp.OrderConfirmed)
	assert.Len(t, strings.Fields(first[0].Header.Get("webhook-signature")), 2)
	r.delivered("S1")
}

// TestEndpointThatAWorkerDoesNotKnowIsAwaited: each attempt knows of those before it that sent
// nothing, and the message goes out once the endpoint is known.
func TestEndpointThatAWorkerDoesNotKnowIsAwaited(t *testing.T) {
	r := newRig(t)
	shop, mail := receiver(t), receiver(t)
	shop.Status(http.StatusInternalServerError)
	file := harness.NewEndpointFile(t, shop.As("shop", ""))
	_, _ = r.upWithWebhooks(file)
	r.Submit("U1")
	require.Eventually(t, func() bool { all, _ := shop.Of("U1"); return len(all) >= 1 }, patience, 20*time.Millisecond)
	file.Hold(mail.As("mail", ""))
	require.Eventually(t, func() bool {
		d, err := r.Client.DescribeWorkflowExecution(r.Ctx, ltp.DeliveryWorkflowID("U1"), "")
		if err != nil || len(d.GetPendingActivities()) != 1 {
			return false
		}
		var unsent struct{ Attempts int }
		details := d.GetPendingActivities()[0].GetHeartbeatDetails()
		return details != nil && payload.Converter().FromPayloads(details, &unsent) == nil && unsent.Attempts >= 2
	}, patience, 20*time.Millisecond)
	shop.Status(http.StatusOK)
	file.Hold(mail.As("mail", ""), shop.As("shop", ""))
	shop.gets("U1", ltp.OrderConfirmed)
	r.delivered("U1")
}

// TestNothingIsSentToAPrivateAddress unless that is allowed; the order goes on, and operators
// see why.
func TestNothingIsSentToAPrivateAddress(t *testing.T) {
	r := newRig(t)
	hidden := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was reached") }))
	t.Cleanup(hidden.Close)
	file := harness.NewEndpointFile(t, webhook.Endpoint{Name: "hidden", URL: hidden.URL + "/hooks/sesame", Secrets: []string{webhook.NewSecret()}})
	c := r.config()
	opened, err := webhook.Open(file.Path, false, r.log)
	require.NoError(t, err)
	c.Webhooks = opened
	r.Start = starter.New(r.Client, starter.WithWebhooks(c.Webhooks.Has))
	n := r.up(c)
	r.Until(n.Board, ltp.Stable)
	r.Submit("P1")
	assert.Equal(t, ltp.Executed, r.Ended("P1").State)
	var said string
	require.Eventually(t, func() bool {
		var status int
		status, said = r.command("webhooks", "list", "--webhooks", file.Path)
		return status == 0 && strings.Contains(said, "P1")
	}, patience, 50*time.Millisecond, said)
	assert.Contains(t, said, "127.0.0.1 is not a public address")
	assert.NotContains(t, said, "whsec_")
	assert.NotContains(t, said, "sesame", "what stands behind the host may be secret")
	status, said := r.command("webhooks", "test", "--webhooks", file.Path)
	assert.Equal(t, 1, status)
	assert.Contains(t, said, "127.0.0.1 is not a public address")
	assert.NotContains(t, said, "sesame")
}

// TestMessageThatWasGivenUpIsRedelivered under the ID that it had.
func TestMessageThatWasGivenUpIsRedelivered(t *testing.T) {
	r := newRig(t)
	shop := receiver(t)
	shop.Status(http.StatusGone)
	c := r.config()
	ops := r.admin(&c)
	file := harness.NewEndpointFile(t, shop.As("shop", ""))
	r.hooked(&c, file)
	r.Start = starter.New(r.Client, starter.WithWebhooks(c.Webhooks.Has))
	n := r.up(c)
	r.Until(n.Board, ltp.Stable)
	r.Submit("G1")
	require.Eventually(t, func() bool { all, _ := shop.Of("G1"); return len(all) == 1 }, patience, 20*time.Millisecond)
	list := func(more ...string) string {
		status, said := r.command(append([]string{"webhooks", "list", "--webhooks", file.Path, "--webhooks-allow-private"}, more...)...)
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
	shop.Status(http.StatusOK)
	status, said := r.command("webhooks", "redeliver", "--failed")
	require.Zero(t, status, said)
	assert.Contains(t, said, "G1: what was not delivered is sent again")
	shop.gets("G1", ltp.OrderConfirmed)
	all, taken := shop.Of("G1")
	assert.Equal(t, all[0].ID(), taken[0].ID())
	r.delivered("G1")
	require.Eventually(t, func() bool { return !strings.Contains(list(), "G1") }, patience, 50*time.Millisecond)
	status, said = r.command("webhooks", "redeliver", "--failed")
	assert.Zero(t, status, said)
	assert.Contains(t, said, "Nothing was given up.", "it was redelivered since")
	status, said = r.command("webhooks", "redeliver", "nobody")
	assert.Zero(t, status, said) // no Delivery is known of it: one is called, and finds no order
	r.delivered("nobody")
	status, said = r.command("webhooks", "test", "--webhooks", file.Path, "--webhooks-allow-private", "shop")
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
	r.hooked(&c, harness.NewEndpointFile(t, acme.As("shop", "acme"), globex.As("shop", "globex")))
	n := r.up(c)
	r.Until(n.Board, ltp.Stable)
	for tenant, header := range show {
		response, o := do(t, "POST", api+"/orders", ordertest.JSON("T1"), and(header, "Prefer", "wait=30"))
		require.Equal(t, http.StatusCreated, response.StatusCode, "%s: %v", tenant, o)
	}
	response, o := do(t, "POST", api+"/orders", ordertest.JSON("T2"), and(show["globex"], "Prefer", "wait=30"))
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
		_, err := r.Client.DescribeWorkflowExecution(r.Ctx, ltp.DeliveryWorkflowID(id), "")
		assert.ErrorAs(t, err, new(*serviceerror.NotFound), id)
	}
	all, _ := acme.Of("T2")
	assert.Empty(t, all)
	assert.Len(t, acme.All(), 1)
	assert.Len(t, globex.All(), 2)
}
