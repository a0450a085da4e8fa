package tests

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/demo"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/starter"
)

// TestAnOutageOfSecondsLosesAndRepeatsNoOrder is the incident at a small scale, by the demo that users run.
func TestAnOutageOfSecondsLosesAndRepeatsNoOrder(t *testing.T) {
	r := newRig(t)
	c := r.config()
	url := r.listen(&c)
	n := r.up(c)
	report, err := demo.Run(r.Ctx, demo.Config{
		Client: r.Client, Namespace: r.Server.Namespace(), Board: n.Board, DB: n.DB, Fault: demo.Lock(r.Orders, "ltp"), APIURL: url, Meter: r.meter,
		Orders: 150, Outage: 15 * time.Second,
	})
	require.NoError(t, err)
	for _, v := range report.Guarantees {
		assert.Truef(t, v.Held, "%s: %s", v.Guarantee, v.Evidence)
	}
	assert.NotEmpty(t, report.Guarantees)
	o := report.Orders
	assert.Equal(t, o.Submitted, o.Accepted)
	assert.Zero(t, o.Errors)
	assert.Zero(t, o.Pending)
	assert.Equal(t, o.Accepted, o.Executed)
	assert.Equal(t, o.Executed, report.OrderDB.Rows)
	assert.Zero(t, report.OrderDB.Duplicates)
	assert.Zero(t, report.OrderDB.Missing)
	assert.Zero(t, report.OrderDB.WritesBegunWhileUnfit)
	assert.Greater(t, o.Deferred, 50)
	var states []ltp.State
	for _, tr := range report.Timeline {
		states = append(states, tr.State)
	}
	require.GreaterOrEqual(t, len(states), 4, states)
	assert.Equal(t, []ltp.State{ltp.Stable, ltp.Unstable, ltp.Recovering, ltp.Stable}, states[len(states)-4:])
	assert.Contains(t, report.Timeline[len(report.Timeline)-3].Reason, "DB Write Latency > 1500ms")
}

// TestCustomersSeeTheirOrdersPendingDuringAnOutage is what a customer sees, with curl's eyes.
func TestCustomersSeeTheirOrdersPendingDuringAnOutage(t *testing.T) {
	r := newRig(t)
	c := r.config()
	url, admin := r.listen(&c), r.admin(&c)
	n := r.up(c)
	r.Until(n.Board, ltp.Stable)

	response, body := do(t, "POST", url+"/orders", ordertest.JSON("A1"), map[string]string{"Prefer": "wait=20"})
	assert.Equal(t, http.StatusCreated, response.StatusCode)
	assert.Equal(t, ltp.MessageConfirmed, body["message"])

	end := r.Outage()
	r.Until(n.Board, ltp.Unstable)
	response, body = do(t, "POST", url+"/orders", ordertest.JSON("A2"), map[string]string{"Prefer": "wait=20"})
	assert.Equal(t, http.StatusAccepted, response.StatusCode)
	assert.Equal(t, "/orders/A2", response.Header.Get("Location"))
	assert.Equal(t, "Order Received - Pending Confirmation", body["message"])
	assert.Equal(t, "DEFERRED", body["state"])
	assert.Equal(t, "DEFER", body["decision"])
	assert.Equal(t, "SYSTEM_UNSTABLE", body["reason"])
	assert.Equal(t, "Will retry when state == STABLE", body["commitment"])

	// The customer refreshes frantically; somebody else uses the same id.
	response, body = do(t, "POST", url+"/orders", ordertest.JSON("A2"), nil)
	assert.Equal(t, http.StatusAccepted, response.StatusCode)
	assert.Equal(t, "A2", body["id"])
	response, _ = do(t, "POST", url+"/orders", `{"id":"A2","customer":"other","currency":"USD","lines":[{"sku":"x","quantity":1,"unit_amount_minor":1}]}`, nil)
	assert.Equal(t, http.StatusUnprocessableEntity, response.StatusCode)

	// One is cancelled while it waits.
	do(t, "POST", url+"/orders", ordertest.JSON("A3"), map[string]string{"Prefer": "wait=20"})
	response, body = do(t, "DELETE", url+"/orders/A3", "", nil)
	assert.Equal(t, http.StatusOK, response.StatusCode)
	assert.Equal(t, "CANCELLED", body["state"])

	response, body = look(t, admin+"/orientation/"+ltp.DefaultComponent)
	assert.Equal(t, http.StatusOK, response.StatusCode)
	assert.Equal(t, "UNSTABLE", body["state"])

	end()
	r.Ended("A2")
	response, body = do(t, "GET", url+"/orders/A2", "", nil)
	assert.Equal(t, http.StatusOK, response.StatusCode)
	assert.Equal(t, "EXECUTED", body["state"])
	assert.Equal(t, ltp.MessageConfirmed, body["message"])
	_, err := r.OpenDB().Row(r.Ctx, "A3")
	assert.Error(t, err, "a cancelled order is not in the order database")
}

// TestOrdersAreAcceptedFoundAndListedWithoutAWorker: with every worker down, an order is accepted,
// found and listed.
func TestOrdersAreAcceptedFoundAndListedWithoutAWorker(t *testing.T) {
	r := newRig(t)
	n := r.up(r.config())
	r.Until(n.Board, ltp.Stable)
	end := r.Outage()
	r.Until(n.Board, ltp.Unstable)
	r.Decided(r.Submit("B1"))
	n.Stop()

	st, err := r.Start.Get(r.Ctx, "B1")
	require.NoError(t, err)
	assert.Equal(t, ltp.Deferred, st.State)
	assert.Equal(t, ltp.ReasonUnstable, st.Reason)

	r.Submit("B2")
	st, err = r.Start.Get(r.Ctx, "B2")
	require.NoError(t, err)
	assert.Equal(t, ltp.Deferred, st.State, "the door knew what it waits for")
	assert.Equal(t, ltp.ReasonUnstable, st.Reason)
	end()

	r.up(r.config())
	assert.Equal(t, ltp.Executed, r.Ended("B1").State)
	assert.Equal(t, ltp.Executed, r.Ended("B2").State)
}

// TestOrdersDeferredWhileRecoveryIsBroadcastAreNotStranded: orders keep arriving
// from before the recovery until after it. A single sweep of the visibility store
// strands some of them.
func TestOrdersDeferredWhileRecoveryIsBroadcastAreNotStranded(t *testing.T) {
	r := newRig(t)
	n := r.up(r.config())
	r.Until(n.Board, ltp.Stable)
	end := r.Outage()
	r.Until(n.Board, ltp.Unstable)

	const orders = 200
	submitted := make(chan string, orders)
	go func() {
		defer close(submitted)
		for i := range orders {
			id := fmt.Sprintf("C-%03d", i)
			if _, err := r.Start.Submit(r.Ctx, ordertest.New(id)); err != nil {
				t.Errorf("%s: %v", id, err)
				return
			}
			if i == orders/2 {
				end()
			}
			submitted <- id
		}
	}()
	began := time.Now()
	for id := range submitted {
		st := r.Ended(id)
		assert.Equal(t, ltp.Executed, st.State)
		assert.Lessf(t, st.EndedAt.Sub(began), 90*time.Second, "%s waited for its backstop", id)
	}
	tally, err := r.OpenDB().Tally(r.Ctx, "C-")
	require.NoError(t, err)
	assert.EqualValues(t, orders, tally.Orders)
}

// TestOperatorHoldDefersAndFreezeRefuses: an operator's hold wins over a healthy
// database.
func TestOperatorHoldDefersAndFreezeRefuses(t *testing.T) {
	r := newRig(t)
	n := r.up(r.config())
	r.Until(n.Board, ltp.Stable)
	ask := func(update string, request any) {
		t.Helper()
		require.NoError(t, r.Operator(update, request))
	}
	assert.Error(t, r.Operator(ltp.HoldUpdate, ltp.Hold{By: "ann"}), "a hold without a why")

	ask(ltp.HoldUpdate, ltp.Hold{By: "ann", Why: "migration"})
	r.Until(n.Board, ltp.Unstable)
	st := r.Decided(r.Submit("D1"))
	assert.Equal(t, ltp.Deferred, st.State)

	ask(ltp.HoldUpdate, ltp.Hold{By: "ann", Why: "no more", Freeze: true})
	early := 0 // accepted before the door learnt of the freeze
	refused := func() bool {
		_, err := r.Start.Submit(r.Ctx, ordertest.New(fmt.Sprintf("D2-%d", early)))
		early++
		return errors.Is(err, starter.ErrFrozen)
	}
	require.Eventually(t, refused, time.Minute, 50*time.Millisecond)

	ask(ltp.ReleaseUpdate, ltp.Release{By: "bob", Why: "done"})
	assert.Equal(t, ltp.Executed, r.Ended("D1").State)
	for i := range early - 1 {
		assert.Equal(t, ltp.Executed, r.Ended(fmt.Sprintf("D2-%d", i)).State, "what was accepted kept waiting")
	}
	assert.Error(t, r.Operator(ltp.ReleaseUpdate, ltp.Release{By: "bob", Why: "again"}), "nothing is held")
}

// TestOrderThatTheDatabaseRefusesIsRejected: a rule of the order database refuses an order for good.
func TestOrderThatTheDatabaseRefusesIsRejected(t *testing.T) {
	r := newRig(t)
	r.exec(`CREATE TRIGGER no_anvils BEFORE INSERT ON orders WHEN NEW.body LIKE '%anvil%' BEGIN SELECT RAISE(ABORT, 'we sell no anvils'); END`)
	n := r.up(r.config())
	r.Until(n.Board, ltp.Stable)
	r.Submit("E1", ordertest.Article("anvil", 2, 6000))
	st := r.Ended("E1")
	assert.Equal(t, ltp.Rejected, st.State)
	assert.Equal(t, ltp.Reject, st.Decision)
	assert.Contains(t, st.Detail, "we sell no anvils")
}

// TestOrderThatExpiresWhileItWaitsIsNeverExecuted: an order whose deadline passes is not executed later.
func TestOrderThatExpiresWhileItWaitsIsNeverExecuted(t *testing.T) {
	r := newRig(t)
	n := r.up(r.config())
	r.Until(n.Board, ltp.Stable)
	end := r.Outage()
	r.Until(n.Board, ltp.Unstable)
	r.Submit("F1", ordertest.Deadline(time.Now().Add(2*time.Second)))
	assert.Equal(t, ltp.Expired, r.Ended("F1").State)
	end()
	r.Until(n.Board, ltp.Stable)
	_, err := r.OpenDB().Row(r.Ctx, "F1")
	assert.Error(t, err)
}

// TestUnknownComponentIsRefusedAtTheDoor: components are known, not guessed.
func TestUnknownComponentIsRefusedAtTheDoor(t *testing.T) {
	r := newRig(t)
	r.up(r.config())
	o := ordertest.New("G1")
	o.DependsOn = []string{"payments"}
	_, err := r.Start.Submit(r.Ctx, o)
	assert.ErrorIs(t, err, starter.ErrComponent)
	_, err = r.Start.Get(r.Ctx, "G1")
	assert.ErrorIs(t, err, starter.ErrNotFound, "nothing was started")
}
