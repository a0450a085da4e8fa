package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/starter"
)

func TestSubmissionIsAnsweredByWhereTheOrderIs(t *testing.T) {
	deferred := starter.Status{State: ltp.Deferred, Decision: ltp.Defer, Reason: ltp.ReasonUnstable, Commitment: ltp.Commitment}
	for name, c := range map[string]struct {
		settle starter.Status
		code   int
		kind   *kind
		says   []string
	}{
		"executed": {starter.Status{State: ltp.Executed, Decision: ltp.Execute, Reason: ltp.ReasonOK}, 201, nil,
			[]string{`"message":"Order Confirmed"`, `"decision":"EXECUTE"`}},
		"deferred": {deferred, 202, nil,
			[]string{`"message":"Order Received - Pending Confirmation"`, `"decision":"DEFER"`, `"reason":"SYSTEM_UNSTABLE"`, `"commitment":"Will retry when state == STABLE"`}},
		"not routed": {starter.Status{}, 202, nil,
			[]string{`"state":"ACCEPTED"`, `"message":"Order Received - Pending Confirmation"`}},
		"rejected": {starter.Status{State: ltp.Rejected, Detail: "credit limit of c-17 exceeded"}, 422, orderRejected,
			[]string{"credit limit of c-17 exceeded. Change the order", `"id":"A2"`, `"state":"REJECTED"`}},
		"expired": {starter.Status{State: ltp.Expired, Detail: "deadline passed"}, 409, orderEnded,
			[]string{"The order ended EXPIRED: deadline passed. To order again", `"id":"A2"`, `"state":"EXPIRED"`}},
		"cancelled":  {starter.Status{State: ltp.Cancelled}, 409, orderEnded, []string{`"state":"CANCELLED"`}},
		"terminated": {starter.Status{State: ltp.Terminated}, 409, orderEnded, []string{`"state":"TERMINATED"`}},
	} {
		for _, again := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, repeated %t", name, again), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					d := newDesk()
					d.settle = c.settle
					h := handler(d)
					got := ask(t, h, request("POST", "/orders", ordertest.JSON("A2")))
					if again {
						got = ask(t, h, request("POST", "/orders", ordertest.JSON("A2")))
					}
					got.wants(t, c.code, c.kind)
					for _, s := range c.says {
						if !strings.Contains(got.text, s) {
							t.Errorf("%s does not say %s", got.text, s)
						}
					}
					if l := got.Header.Get("Location"); l != "/orders/A2" {
						t.Errorf("Location: %q", l)
					}
					if s := got.Header.Get("Server-Timing"); !regexp.MustCompile(`^accept;dur=\d+\.\d$`).MatchString(s) {
						t.Errorf("Server-Timing: %q", s)
					}
					if replayed := got.Header.Get("Idempotency-Replayed") == "true"; replayed != again {
						t.Errorf("Idempotency-Replayed is %t of a submission that is repeated: %t", replayed, again)
					}
					if d.starts() != 1 {
						t.Errorf("%d orders were accepted", d.starts())
					}
				})
			})
		}
	}
}

func TestRepeatOfADeferredOrderThatWentOnIsAnsweredByWhereItStands(t *testing.T) {
	d := newDesk()
	d.settle = starter.Status{State: ltp.Deferred}
	h := handler(d)
	ask(t, h, request("POST", "/orders", ordertest.JSON("A2"))).wants(t, 202, nil)
	d.put("A2", starter.Status{State: ltp.Executed})
	ask(t, h, request("POST", "/orders", ordertest.JSON("A2"))).wants(t, 201, nil)
}

func TestAnswerWaitsAsLongAsTheClientPrefers(t *testing.T) {
	for name, c := range map[string]struct {
		prefer  []string
		waits   time.Duration
		applied string
	}{
		"no preference":             {nil, time.Second, ""},
		"wait":                      {[]string{"wait=5"}, 5 * time.Second, "wait=5"},
		"no wait":                   {[]string{"wait=0"}, 0, "wait=0"},
		"quoted":                    {[]string{`wait="7"`}, 7 * time.Second, "wait=7"},
		"spaced, capitals":          {[]string{" WAIT = 3 "}, 3 * time.Second, "wait=3"},
		"more than granted":         {[]string{"wait=86400"}, MaxWait, "wait=30"},
		"more than a number":        {[]string{"wait=99999999999999999999"}, MaxWait, "wait=30"},
		"respond-async":             {[]string{"respond-async"}, 0, "respond-async"},
		"async in capitals":         {[]string{"Respond-Async"}, 0, "respond-async"},
		"async after a wait":        {[]string{"respond-async, wait=10"}, 10 * time.Second, "respond-async, wait=10"},
		"in several headers":        {[]string{"handling=lenient", "wait=4"}, 4 * time.Second, "wait=4"},
		"among others":              {[]string{`return=minimal;foo="a,wait=9", , wait=2; x=y`}, 2 * time.Second, "wait=2"},
		"the first counts":          {[]string{"wait=2, wait=9", "wait=8"}, 2 * time.Second, "wait=2"},
		"unknown":                   {[]string{"depth-noroot"}, time.Second, ""},
		"negative":                  {[]string{"wait=-1"}, time.Second, ""},
		"a fraction":                {[]string{"wait=1.5"}, time.Second, ""},
		"no number":                 {[]string{"wait"}, time.Second, ""},
		"words":                     {[]string{"wait=long"}, time.Second, ""},
		"open quote":                {[]string{`wait="7`}, time.Second, ""},
		"invalid wait, with async":  {[]string{"wait=soon, respond-async"}, 0, "respond-async"},
		"a quoted escape":           {[]string{`foo="\",wait=9", wait=1`}, time.Second, "wait=1"},
		"empty":                     {[]string{""}, time.Second, ""},
		"nothing but punctuation":   {[]string{`,;="`}, time.Second, ""},
		"a name that only contains": {[]string{"await=9"}, time.Second, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := request("POST", "/orders", ordertest.JSON("A2"))
				r.Header["Prefer"] = c.prefer
				begun := time.Now()
				got := ask(t, handler(newDesk()), r)
				got.wants(t, 202, nil)
				if waited := time.Since(begun); waited != c.waits {
					t.Errorf("waited %s, want %s", waited, c.waits)
				}
				if applied := got.Header.Get("Preference-Applied"); applied != c.applied {
					t.Errorf("Preference-Applied: %q, want %q", applied, c.applied)
				}
			})
		})
	}
}

func TestAnswerComesAsSoonAsTheOrderIsDeferred(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk()
		d.settle, d.after = starter.Status{State: ltp.Deferred}, 20*time.Millisecond
		begun := time.Now()
		ask(t, handler(d), request("POST", "/orders", ordertest.JSON("A2"), "Prefer", "wait=30")).wants(t, 202, nil)
		if waited := time.Since(begun); waited != d.after {
			t.Errorf("waited %s after the order was deferred at %s", waited, d.after)
		}
	})
}

// TestOrderThatTheDoorDefersIsAnsweredAtOnce: also a client who does not want to wait
// learns that the order is deferred.
func TestOrderThatTheDoorDefersIsAnsweredAtOnce(t *testing.T) {
	for _, prefer := range []string{"", "wait=30", "respond-async"} {
		synctest.Test(t, func(t *testing.T) {
			d := newDesk()
			d.deferred = &ltp.Wait{Component: "orders-db", Epoch: 4, Reason: ltp.ReasonUnstable}
			begun := time.Now()
			got := ask(t, handler(d), request("POST", "/orders", ordertest.JSON("A2"), "Prefer", prefer))
			got.wants(t, 202, nil)
			if waited := time.Since(begun); waited != 0 {
				t.Errorf("%q: waited %s", prefer, waited)
			}
			for _, s := range []string{`"state":"DEFERRED"`, `"reason":"SYSTEM_UNSTABLE"`, `"commitment":"Will retry when state == STABLE"`} {
				if !strings.Contains(got.text, s) {
					t.Errorf("%q: %s does not say %s", prefer, got.text, s)
				}
			}
		})
	}
}

func TestOrderIsNamedByIDOrKeyOrUs(t *testing.T) {
	keyed := regexp.MustCompile(`^key-[0-9a-f]{32}$`)
	made := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	for name, c := range map[string]struct {
		id, key string
		want    *regexp.Regexp
	}{
		"id only":            {"A2", "", regexp.MustCompile(`^A2$`)},
		"id and the same":    {"A2", "A2", regexp.MustCompile(`^A2$`)},
		"the same in quotes": {"A2", `"A2"`, regexp.MustCompile(`^A2$`)},
		"key only":           {"", "k/1", keyed},
		"longest key":        {"", strings.Repeat("k", 255), keyed},
		"longest in quotes":  {"", `"` + strings.Repeat("k", 255) + `"`, keyed},
		"key that is no id":  {"", "../../x y%00?", keyed},
		"neither":            {"", "", made},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk()
			d.settle = starter.Status{State: ltp.Executed}
			got := ask(t, handler(d), request("POST", "/orders", ordertest.JSON(c.id), "Idempotency-Key", c.key))
			got.wants(t, 201, nil)
			if !c.want.MatchString(got.status.OrderID) || ltp.ValidID(got.status.OrderID) != nil {
				t.Errorf("the order is named %q", got.status.OrderID)
			}
			if l := got.Header.Get("Location"); l != "/orders/"+got.status.OrderID {
				t.Errorf("Location: %q", l)
			}
		})
	}
}

func TestKeyNamesTheSameOrderEveryTime(t *testing.T) {
	d := newDesk()
	d.settle = starter.Status{State: ltp.Executed}
	h := handler(d)
	first := ask(t, h, request("POST", "/orders", ordertest.JSON(""), "Idempotency-Key", `"8e03978e"`))
	again := ask(t, h, request("POST", "/orders", ordertest.JSON(""), "Idempotency-Key", "8e03978e")) // quotes are not part of a key
	if first.status.OrderID != again.status.OrderID || first.text != again.text || d.starts() != 1 {
		t.Errorf("%d orders: %s, then %s", d.starts(), first.text, again.text)
	}
	other := strings.Replace(ordertest.JSON(""), "book", "coffee", 1)
	ask(t, h, request("POST", "/orders", other, "Idempotency-Key", "8e03978e")).wants(t, 422, orderConflict)
	if d.starts() != 1 {
		t.Errorf("%d orders", d.starts())
	}
}

func TestKeysThatCannotBeUsedAreRefused(t *testing.T) {
	for name, keys := range map[string][]string{
		"empty":         {""},
		"empty quotes":  {`""`},
		"too long":      {strings.Repeat("k", 256)},
		"open quote":    {`"k`},
		"after quotes":  {`"k";a=1`},
		"open escape":   {`"k\`},
		"not printable": {"k\x01"},
		"not ASCII":     {"ключ"},
		"two":           {"k", "l"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk()
			r := request("POST", "/orders", ordertest.JSON(""))
			r.Header["Idempotency-Key"] = keys
			got := ask(t, handler(d), r)
			got.wants(t, 400, invalidRequest)
			if got.Field != "Idempotency-Key" || d.starts() != 0 {
				t.Errorf("field %q, %d orders accepted", got.Field, d.starts())
			}
		})
	}
}

func TestKeyThatDiffersFromTheIDIsRefused(t *testing.T) {
	d := newDesk()
	got := ask(t, handler(d), request("POST", "/orders", ordertest.JSON("A2"), "Idempotency-Key", "k-1"))
	got.wants(t, 400, keyAndID)
	if d.starts() != 0 {
		t.Error("the order was accepted")
	}
}

func TestConcurrentRepeatsAreOneOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk()
		d.settle, d.after = starter.Status{State: ltp.Executed}, 100*time.Millisecond
		h := handler(d)
		answers := make(chan answer)
		const clients = 8
		for range clients {
			go func() { answers <- ask(t, h, request("POST", "/orders", ordertest.JSON(""), "Idempotency-Key", "k-1")) }()
		}
		replayed := 0
		for range clients {
			a := <-answers
			a.wants(t, 201, nil)
			if a.Header.Get("Idempotency-Replayed") != "" {
				replayed++
			}
		}
		if d.starts() != 1 || replayed != clients-1 {
			t.Errorf("%d orders, %d of %d answers replayed", d.starts(), replayed, clients)
		}
	})
}

func TestErrorsOfASubmissionArePromises(t *testing.T) {
	for name, c := range map[string]struct {
		err        error
		code       int
		kind       *kind
		retryAfter string
		says       string
	}{
		"unknown component": {fmt.Errorf("%w: %s", starter.ErrComponent, "fax"), 422, unknownComponent, "", `"fax"`},
		"not started": {fmt.Errorf("%w: nobody has watched orders-db so far: start ltp worker", starter.ErrNotStarted), 503, notStarted, "30",
			"The order node has not been started yet. The order was not accepted"},
		"frozen": {fmt.Errorf("%w: %s", starter.ErrFrozen, "Held by ada: moving the database"), 503, intakeFrozen, "30",
			"Held by ada: moving the database. The order was not accepted"},
		"unreachable": {fmt.Errorf("accept order A2: %w: %w", starter.ErrUnreachable, errors.New("dial tcp 10.0.0.7:7233")), 503, unreachable, "2",
			"Send it again with the id A2"},
		"anything else": {errors.New("pq: password authentication failed for user ltp"), 500, internalError, "", "not promised"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk()
			d.err = c.err
			got := ask(t, handler(d), request("POST", "/orders", ordertest.JSON("A2")))
			got.wants(t, c.code, c.kind)
			if ra := got.Header.Get("Retry-After"); ra != c.retryAfter {
				t.Errorf("Retry-After: %q, want %q", ra, c.retryAfter)
			}
			if !strings.Contains(got.Detail, c.says) || got.OrderID != "A2" {
				t.Errorf("%s does not say %s of A2", got.text, c.says)
			}
			for _, internal := range []string{"10.0.0.7", "password", "dial", "ltp worker"} {
				if strings.Contains(got.text, internal) {
					t.Errorf("shows internals: %s", got.text)
				}
			}
			for _, promise := range []string{"Location", "Server-Timing", "Preference-Applied"} {
				if v := got.Header.Get(promise); v != "" {
					t.Errorf("%s: %s on an order that is not promised", promise, v)
				}
			}
		})
	}
}

func TestMadeUpIDIsToldWhenTheAnswerOfTemporalIsLost(t *testing.T) {
	d := newDesk()
	d.err = starter.ErrUnreachable
	got := ask(t, handler(d), request("POST", "/orders", ordertest.JSON("")))
	got.wants(t, 503, unreachable)
	if ltp.ValidID(got.OrderID) != nil || !strings.Contains(got.Detail, got.OrderID) {
		t.Errorf("the client cannot repeat the order: %s", got.text)
	}
}

// unfollowable is a desk that loses sight of what it accepted.
type unfollowable struct{ *desk }

func (unfollowable) Await(context.Context, starter.Submission) (starter.Status, error) {
	return starter.Status{}, errors.New("event 5: outcome: unexpected end of JSON input")
}

func TestAcceptedOrderThatCannotBeFollowedIsStillAccepted(t *testing.T) {
	h := New(Config{Starter: unfollowable{newDesk()}, Board: observed(ltp.Stable)})
	got := ask(t, h, request("POST", "/orders", ordertest.JSON("A2")))
	got.wants(t, 202, nil)
	if got.status.OrderID != "A2" || got.status.State != ltp.Accepted || strings.Contains(got.text, "accepted_at") {
		t.Errorf("answered %s", got.text)
	}
}

func TestPanicIsAProblem(t *testing.T) {
	h := New(Config{Starter: nil, Board: observed(ltp.Stable)})
	got := ask(t, h, request("POST", "/orders", ordertest.JSON("A2")))
	got.wants(t, 500, internalError)
	if strings.Contains(got.text, "nil pointer") {
		t.Errorf("shows internals: %s", got.text)
	}
}

func TestPanicAfterTheAnswerBeganBreaksTheConnection(t *testing.T) {
	a := New(Config{Starter: newDesk(), Board: observed(ltp.Stable)}).(*api)
	a.mux.HandleFunc("GET /half", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("half an ans"))
		panic("no")
	})
	defer func() {
		if v := recover(); v != http.ErrAbortHandler {
			t.Errorf("panicked with %v", v)
		}
	}()
	a.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/half", nil))
}
