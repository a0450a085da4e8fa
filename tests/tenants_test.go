package tests

import (
	"bufio"
	"database/sql"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/apikey"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/node"
	"github.com/ltp-node/ltp/starter"
	"github.com/ltp-node/ltp/tests/harness"
)

// keyring is a file of keys of the test's.
type keyring struct {
	t    *testing.T
	file string
}

func newKeyring(t *testing.T, tenants map[string]ltp.Bounds) keyring {
	t.Helper()
	k := keyring{t, filepath.Join(t.TempDir(), "api.keys")}
	require.NoError(t, apikey.Change(k.file, func(f *apikey.File) error { f.Tenants = tenants; return nil }))
	return k
}

// keyed has a node ask for the keys of a file.
func (r *rig) keyed(c *node.Config, k keyring) {
	r.T.Helper()
	keys, err := apikey.Open(k.file, r.log)
	require.NoError(r.T, err)
	c.Auth = keys
}

// make makes a key, and returns its ID and the header that shows it.
func (k keyring) make(key apikey.Key) (id string, show map[string]string) {
	k.t.Helper()
	require.NoError(k.t, apikey.Change(k.file, func(f *apikey.File) error {
		made, secret, err := f.Create(key, time.Now())
		id, show = made.ID, map[string]string{"Authorization": "Bearer " + secret}
		return err
	}))
	return id, show
}

// and is a header with one more field.
func and(header map[string]string, name, value string) map[string]string {
	all := map[string]string{name: value}
	for k, v := range header {
		all[k] = v
	}
	return all
}

// TestTenantsDoNotTouchOneAnother: what they call the same is not the same, and what is one's
// is not there for the other. The default tenant is one of them.
func TestTenantsDoNotTouchOneAnother(t *testing.T) {
	r := newRig(t)
	c := r.config()
	api := r.listen(&c)
	keys := newKeyring(t, nil)
	tenants := []string{"acme", "globex", ""}
	show := map[string]map[string]string{}
	for _, tenant := range tenants {
		_, show[tenant] = keys.make(apikey.Key{Tenant: tenant, Role: ltp.CustomerRole})
	}
	r.keyed(&c, keys)
	n := r.up(c)
	r.Until(n.Board, ltp.Stable)
	wait := func(tenant string) map[string]string { return and(show[tenant], "Prefer", "wait=30") }

	// The same id, with other content each.
	for i, tenant := range tenants {
		response, o := do(t, "POST", api+"/orders", ordertest.JSON("A1", ordertest.Article("book", 2, int64(6000+i))), wait(tenant))
		require.Equal(t, http.StatusCreated, response.StatusCode, "%v", o)
		assert.Equal(t, "/orders/A1", response.Header.Get("Location"))
		assert.Equal(t, "A1", o["id"])
	}
	// The same Idempotency-Key, whose id nobody can take beforehand.
	bare := ordertest.JSON("")
	response, o := do(t, "POST", api+"/orders", bare, and(wait("acme"), "Idempotency-Key", "secret-1"))
	require.Equal(t, http.StatusCreated, response.StatusCode, "%v", o)
	taken := o["id"].(string)
	response, o = do(t, "POST", api+"/orders", ordertest.JSON(taken, ordertest.Customer("mallory")), wait("globex"))
	assert.Equal(t, http.StatusBadRequest, response.StatusCode, "%v", o)
	assert.Equal(t, "id", o["field"])
	response, o = do(t, "POST", api+"/orders", bare, and(wait(""), "Idempotency-Key", "secret-1"))
	require.Equal(t, http.StatusCreated, response.StatusCode, "another's order took the key: %v", o)
	assert.Empty(t, response.Header.Get("Idempotency-Replayed"))
	assert.Equal(t, taken, o["id"])

	// What is one's is not there for the others.
	response, o = do(t, "POST", api+"/orders", ordertest.JSON("acme-1"), wait("acme"))
	require.Equal(t, http.StatusCreated, response.StatusCode, "%v", o)
	for _, tenant := range []string{"globex", ""} {
		for _, path := range []string{"/orders/acme-1", "/orders/acme-1/events"} {
			response, o = do(t, "GET", api+path, "", show[tenant])
			assert.Equal(t, http.StatusNotFound, response.StatusCode, "%s: %v", path, o)
			assert.NotContains(t, fmt.Sprint(o), "acme/")
		}
		response, _ = do(t, "DELETE", api+"/orders/acme-1", "", show[tenant])
		assert.Equal(t, http.StatusNotFound, response.StatusCode)
		response, _ = do(t, "GET", api+"/orders/acme%2FA1", "", show[tenant])
		assert.Equal(t, http.StatusBadRequest, response.StatusCode)
		response, _ = do(t, "POST", api+"/orders", ordertest.JSON("acme/acme-1"), show[tenant])
		assert.Equal(t, http.StatusBadRequest, response.StatusCode)
	}
	response, _ = do(t, "GET", api+"/orders/acme-1", "", nil)
	assert.Equal(t, http.StatusUnauthorized, response.StatusCode)
	response, stream := do(t, "GET", api+"/orders/acme-1/events", "", show["acme"])
	assert.Equal(t, http.StatusOK, response.StatusCode, "%v", stream)

	// The same ordering key: one tenant's order that waits holds up none of another's.
	r.Hold("see who waits")
	r.Until(n.Board, ltp.Unstable)
	lined := func(id string) string { return ordertest.JSON(id, ordertest.OrderingKey("alice")) }
	for _, tenant := range []string{"globex", "acme"} {
		response, o = do(t, "POST", api+"/orders", lined("L1"), show[tenant])
		require.Equal(t, http.StatusAccepted, response.StatusCode, "%v", o)
	}
	require.Eventually(t, func() bool {
		_, o := do(t, "GET", api+"/orders/L1", "", show["acme"])
		return o["reason"] == "SYSTEM_UNSTABLE"
	}, patience, 50*time.Millisecond, "it does not stand behind the other tenant's")
	for _, tenant := range []string{"acme", "globex"} {
		seen, err := r.Client.DescribeWorkflowExecution(r.Ctx, ltp.SequenceWorkflowID(tenant+"/alice"), "")
		require.NoError(t, err)
		assert.NotNil(t, seen)
	}
	response, _ = do(t, "DELETE", api+"/orders/L1", "", wait("globex"))
	assert.Equal(t, http.StatusOK, response.StatusCode)
	_, o = do(t, "GET", api+"/orders/L1", "", show["acme"])
	assert.Equal(t, "DEFERRED", o["state"], "the other tenant cancelled its own: %v", o)

	// Lists, and their tokens.
	own := map[string][]string{"acme": {"A1", taken, "acme-1", "L1"}, "globex": {"A1", "L1"}, "": {"A1", taken}}
	for _, tenant := range tenants {
		require.Eventually(t, func() bool { return assert.ObjectsAreEqual(len(own[tenant]), len(r.listedAs(api, "", show[tenant]))) }, patience, 50*time.Millisecond)
		assert.ElementsMatch(t, own[tenant], r.listedAs(api, "", show[tenant]), tenant)
	}
	assert.Equal(t, []string{"L1"}, r.listedAs(api, "state=DEFERRED", show["acme"]))
	assert.Empty(t, r.listedAs(api, "state=DEFERRED", show["globex"]))
	for _, tenant := range tenants {
		_, page := do(t, "GET", api+"/orders?page_size=1", "", show[tenant])
		token, _ := page["next_page_token"].(string)
		require.NotEmpty(t, token)
		for _, other := range tenants {
			response, page = do(t, "GET", api+"/orders?page_size=1&page_token="+token, "", show[other])
			want := http.StatusBadRequest
			if other == tenant {
				want = http.StatusOK
			}
			assert.Equal(t, want, response.StatusCode, "the token of %q with the key of %q: %v", tenant, other, page)
		}
	}

	// Operators call orders by their full IDs, with the key of nobody.
	status, said := r.command("inspect", "acme/A1")
	assert.Zero(t, status, said)
	assert.Contains(t, said, "acme/A1")
	status, said = r.command("orders", "list")
	assert.Zero(t, status, said)
	for _, id := range []string{"acme/A1", "globex/A1", "acme/L1", " A1 "} {
		assert.Contains(t, " "+strings.ReplaceAll(said, "\n", " \n "), id)
	}
	r.Release()
	r.Ended("acme/L1")
	r.Until(n.Board, ltp.Stable)
	r.verified()
	for id, want := range map[string]int64{"acme/A1": 12000, "globex/A1": 12002, "A1": 12004} {
		assert.Equal(t, want, r.amount(id), "a row of its own")
	}
}

// listedAs are the ids of a listing as the key shown has it.
func (r *rig) listedAs(api, query string, show map[string]string) (ids []string) {
	r.T.Helper()
	response, answer := do(r.T, "GET", api+"/orders?"+query, "", show)
	require.Equal(r.T, http.StatusOK, response.StatusCode, "%v", answer)
	for _, o := range answer["orders"].([]any) {
		ids = append(ids, o.(map[string]any)["id"].(string))
	}
	return ids
}

// TestCustomerOfATenantSeesTheirOrdersAlone, and support sees those of all customers.
func TestCustomerOfATenantSeesTheirOrdersAlone(t *testing.T) {
	r := newRig(t)
	c := r.config()
	api := r.listen(&c)
	keys := newKeyring(t, nil)
	_, mine := keys.make(apikey.Key{Tenant: "acme", Role: ltp.CustomerRole, Customer: "c-17"})
	_, others := keys.make(apikey.Key{Tenant: "acme", Role: ltp.CustomerRole, Customer: "c-18"})
	_, support := keys.make(apikey.Key{Tenant: "acme", Role: ltp.SupportRole})
	r.keyed(&c, keys)
	n := r.up(c)
	r.Until(n.Board, ltp.Stable)
	r.Hold("keep them")
	r.Until(n.Board, ltp.Unstable)
	response, o := do(t, "POST", api+"/orders", ordertest.JSON("B1"), mine)
	require.Equal(t, http.StatusAccepted, response.StatusCode, "%v", o)
	response, o = do(t, "POST", api+"/orders", ordertest.JSON("B2", ordertest.Customer("c-18")), others)
	require.Equal(t, http.StatusAccepted, response.StatusCode, "%v", o)
	response, o = do(t, "POST", api+"/orders", ordertest.JSON("B3"), others)
	assert.Equal(t, http.StatusForbidden, response.StatusCode)
	assert.Equal(t, "/customer", o["field"])
	response, _ = do(t, "POST", api+"/orders", ordertest.JSON("B3"), support)
	assert.Equal(t, http.StatusForbidden, response.StatusCode)

	for path, method := range map[string]string{"/orders/B1": "GET", "/orders/B1/events": "GET", "/orders/B1?": "DELETE"} {
		response, o = do(t, method, api+path, "", others)
		assert.Equal(t, http.StatusNotFound, response.StatusCode, "%s %s: %v", method, path, o)
	}
	response, o = do(t, "GET", api+"/orders/B1", "", mine)
	assert.Equal(t, http.StatusOK, response.StatusCode)
	assert.NotContains(t, o, "cancel_requested")
	require.Eventually(t, func() bool { return len(r.listedAs(api, "", support)) == 2 }, patience, 50*time.Millisecond)
	assert.Equal(t, []string{"B1"}, r.listedAs(api, "", mine))
	assert.Equal(t, []string{"B2"}, r.listedAs(api, "customer=c-18", others))
	assert.Equal(t, []string{"B1"}, r.listedAs(api, "customer="+url.QueryEscape("c-17"), support))
	response, _ = do(t, "GET", api+"/orders?customer=c-17", "", others)
	assert.Equal(t, http.StatusForbidden, response.StatusCode)

	// A stream says what the order is called here.
	request, err := http.NewRequestWithContext(r.Ctx, "GET", api+"/orders/B1/events", nil)
	require.NoError(t, err)
	request.Header.Set("Authorization", mine["Authorization"])
	stream, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer stream.Body.Close()
	response, o = do(t, "DELETE", api+"/orders/B1", "", and(support, "Prefer", "wait=30"))
	assert.Equal(t, http.StatusOK, response.StatusCode, "%v", o)
	placed := 0
	for lines := bufio.NewScanner(stream.Body); lines.Scan(); {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			assert.Contains(t, data, `"id":"B1"`)
			placed++
		}
	}
	assert.GreaterOrEqual(t, placed, 2)
}

// TestKeyThatIsRevokedOpensNothing, and one that is made later does, without a restart.
func TestKeyThatIsRevokedOpensNothing(t *testing.T) {
	r := newRig(t)
	c := r.config()
	api, ops := r.listen(&c), r.admin(&c)
	keys := newKeyring(t, nil)
	id, show := keys.make(apikey.Key{Role: ltp.OperatorRole})
	r.keyed(&c, keys)
	r.up(c)
	status := func(show map[string]string) int {
		response, _ := do(t, "GET", api+"/orders", "", show)
		return response.StatusCode
	}
	require.Eventually(t, func() bool { return status(show) == http.StatusOK }, patience, 20*time.Millisecond)
	response, _ := exchange(t, heldTo(t, harness.AdminContract()), "GET", ops+"/orientation", "", show)
	assert.Equal(t, http.StatusOK, response.StatusCode)
	response, _ = look(t, ops+"/orientation")
	assert.Equal(t, http.StatusUnauthorized, response.StatusCode)
	code, said := r.command("keys", "revoke", "--keys", keys.file, id)
	require.Zero(t, code, said)
	_, later := keys.make(apikey.Key{Role: ltp.OperatorRole})
	require.Eventually(t, func() bool { return status(show) == http.StatusUnauthorized && status(later) == http.StatusOK }, patience, 20*time.Millisecond)
}

// TestRepeatOutlivesTheBounds that its order was accepted under; a new order does not.
func TestRepeatOutlivesTheBounds(t *testing.T) {
	r := newRig(t)
	c := r.config()
	api := r.listen(&c)
	keys := newKeyring(t, map[string]ltp.Bounds{"acme": {FirstPriority: 1}})
	_, show := keys.make(apikey.Key{Tenant: "acme", Role: ltp.CustomerRole})
	r.keyed(&c, keys)
	n := r.up(c)
	r.Until(n.Board, ltp.Stable)
	first := func(id string) string {
		return ordertest.JSON(id, ordertest.Priority(1), ordertest.OrderingKey("alice"))
	}
	response, o := do(t, "POST", api+"/orders", first("U1"), and(show, "Prefer", "wait=30"))
	require.Equal(t, http.StatusCreated, response.StatusCode, "%v", o)
	require.NoError(t, apikey.Change(keys.file, func(f *apikey.File) error { f.Tenants = nil; return nil }))
	tries := 0
	require.Eventually(t, func() bool {
		tries++
		response, _ := do(t, "POST", api+"/orders", first(fmt.Sprint("N", tries)), show)
		return response.StatusCode == http.StatusForbidden
	}, patience, 50*time.Millisecond, "until the file has been read")
	response, o = do(t, "POST", api+"/orders", first("U1"), show)
	assert.Equal(t, http.StatusCreated, response.StatusCode, "%v", o)
	assert.Equal(t, "true", response.Header.Get("Idempotency-Replayed"))
	response, o = do(t, "POST", api+"/orders", strings.Replace(first("U1"), "6000", "6001", 1), show)
	assert.Equal(t, http.StatusForbidden, response.StatusCode, "%v", o)
}

// TestDefaultTenantIsAsWithoutKeys: its orders are called as they are.
func TestDefaultTenantIsAsWithoutKeys(t *testing.T) {
	r := newRig(t)
	c := r.config()
	api := r.listen(&c)
	n := r.up(c)
	r.Until(n.Board, ltp.Stable)
	r.Submit("D1")
	r.Submit("acme/D1")
	r.Ended("D1")
	r.Ended("acme/D1")
	require.Eventually(t, func() bool {
		all, err := r.Start.List(r.Ctx, starter.Filter{AllTenants: true})
		return err == nil && len(all.Orders) == 2
	}, patience, 50*time.Millisecond)
	assert.Equal(t, []string{"D1"}, r.listedAs(api, "", nil))
	of, err := r.Start.List(r.Ctx, starter.Filter{Tenant: "acme"})
	require.NoError(t, err)
	require.Len(t, of.Orders, 1)
	assert.Equal(t, "acme/D1", of.Orders[0].OrderID)
}

// amount is what the row of an order says.
func (r *rig) amount(id string) (minor int64) {
	db, err := sql.Open("sqlite", "file:"+r.Orders+"?_pragma=busy_timeout(10000)")
	require.NoError(r.T, err)
	defer db.Close()
	require.NoError(r.T, db.QueryRowContext(r.Ctx, "SELECT amount_minor FROM orders WHERE id = ?", id).Scan(&minor), id)
	return minor
}
