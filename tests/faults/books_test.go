package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/orderdb"
	"github.com/ltp-node/ltp/trace"
)

// books are kept of every order: what its customer has read, and what became of it.
type books struct {
	*rig
	url      string // of the order API, whichever process it is
	customer sync.WaitGroup
	stop     context.CancelFunc
	ctx      context.Context

	mu      sync.Mutex
	entries map[string]*entry
}

// entry is one order.
type entry struct {
	promised  bool           // the customer has read that it is accepted
	cancelled bool           // the customer has read that it is cancelled
	ended     ltp.OrderState // as first seen; it must stay so
	traced    bool
	parked    bool
	refused   bool // the order database refuses it for good
}

func (r *rig) books(url string) *books {
	ctx, stop := context.WithCancel(r.Ctx)
	b := &books{rig: r, url: url, ctx: ctx, stop: stop, entries: map[string]*entry{}}
	r.T.Cleanup(func() { stop(); b.customer.Wait() })
	return b
}

// wish is what a customer wants.
type wish struct {
	id   string
	body string
	// cancel takes the order back, once struck is closed; nil is at once.
	cancel bool
	struck <-chan struct{}
}

// poison is part of the ID of an order that keeps failing by its own fault, and of no other.
const poison = "poison"

// refusedSKU is an article that the order database refuses for good.
const refusedSKU = "anvil"

// wishes makes n orders: some of high risk, some with a deadline or a priority, some
// that their customers cancel, some that the order database refuses.
// Half of those are taken back when struck is closed, and half of the deadlines pass
// within moments.
func wishes(random *rand.Rand, prefix string, n int, struck <-chan struct{}) (all []wish) {
	for i := range n {
		w := wish{id: fmt.Sprintf("%s-%03d", prefix, i), cancel: random.IntN(5) == 0}
		if random.IntN(2) == 0 {
			w.struck = struck
		}
		line := map[string]any{"sku": "book", "quantity": 1 + random.IntN(3), "unit_amount_minor": 100 * random.IntN(50)}
		o := map[string]any{"id": w.id, "customer": fmt.Sprintf("c-%d", random.IntN(20)), "currency": "USD", "lines": []any{line}}
		if random.IntN(12) == 0 {
			line["sku"] = refusedSKU
		}
		if random.IntN(6) == 0 {
			o["risk"] = ltp.HighRisk
		}
		if random.IntN(5) == 0 {
			unit := []time.Duration{time.Second, 100 * time.Millisecond}[random.IntN(2)]
			o["deadline"] = time.Now().Add(time.Duration(1+random.IntN(20)) * unit).UTC().Format(time.RFC3339Nano)
		}
		if random.IntN(4) == 0 {
			o["ordering_key"] = fmt.Sprintf("key-%d", random.IntN(5))
		}
		if random.IntN(3) == 0 {
			o["priority"] = 1 + random.IntN(ltp.LastPriority)
		}
		data, err := json.Marshal(o)
		if err != nil {
			panic(err)
		}
		w.body = string(data)
		all = append(all, w)
	}
	return all
}

// submit has each order sent by a customer of its own, who asks again until there is
// an answer, however long the order node is away.
func (b *books) submit(all []wish) {
	for _, w := range all {
		b.mu.Lock()
		b.entries[w.id] = &entry{refused: strings.Contains(w.body, refusedSKU)}
		b.mu.Unlock()
		b.customer.Go(func() { b.attend(w) })
	}
}

func (b *books) attend(w wish) {
	a, ok := b.insist(w.id, http.MethodPost, b.url+"/orders", w.body)
	if !ok {
		return
	}
	switch a.status {
	case http.StatusCreated, http.StatusAccepted, http.StatusConflict, http.StatusUnprocessableEntity:
		if a.ID != w.id || strings.HasSuffix(a.Type, "/order-conflict") {
			b.T.Errorf("%s was answered %+v", w.id, a)
		}
		b.note(w.id, func(e *entry) { e.promised = true })
	default:
		b.T.Errorf("%s was answered %+v", w.id, a)
		return
	}
	if !w.cancel {
		return
	}
	if w.struck != nil {
		select {
		case <-w.struck:
		case <-b.ctx.Done():
			return
		}
	}
	if a, ok = b.insist(w.id, http.MethodDelete, b.url+"/orders/"+w.id, ""); ok && a.State == ltp.Cancelled {
		b.note(w.id, func(e *entry) { e.cancelled = true })
	}
}

// insist asks until there is an answer that says what became of it, and false when the
// test has ended first.
func (b *books) insist(id, method, url, body string) (answer, bool) {
	const pause = 100 * time.Millisecond // a customer's finger on the key
	for {
		a, err := ask(b.ctx, method, url, body, nil)
		if err == nil && a.status < 500 {
			return a, true
		}
		select {
		case <-b.ctx.Done():
			return answer{}, false
		case <-time.After(pause):
		}
	}
}

func (b *books) note(id string, change func(*entry)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(b.entries[id])
}

// promised are the orders that were promised, and those of them not known to have
// ended.
func (b *books) promised() (all, open []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, e := range b.entries {
		if !e.promised {
			continue
		}
		all = append(all, id)
		if e.ended == "" {
			open = append(open, id)
		}
	}
	return all, open
}

// accepting waits until one of the orders was promised, where somebody can promise it.
func (b *books) accepting(all []wish) {
	const moment = 2 * time.Second // intake may be frozen, and Temporal slow
	for end := time.Now().Add(moment); time.Now().Before(end); time.Sleep(look) {
		b.mu.Lock()
		some := slices.ContainsFunc(all, func(w wish) bool { return b.entries[w.id].promised })
		b.mu.Unlock()
		if some {
			return
		}
	}
}

// settled waits until everything that was promised has ended, or is parked.
func (b *books) settled() {
	b.T.Helper()
	b.Eventually("all orders have ended", func() bool {
		b.count()
		_, open := b.promised()
		return !slices.ContainsFunc(open, func(id string) bool {
			b.mu.Lock()
			defer b.mu.Unlock()
			return !b.entries[id].parked
		})
	})
}

// count looks where every promised order is: each is in one of the states that there
// are, and stays in it once it has ended.
func (b *books) count() (are map[ltp.OrderState]int) {
	b.T.Helper()
	all, open := b.promised()
	are = map[ltp.OrderState]int{}
	for _, id := range open {
		st, err := b.Start.Get(b.rig.Ctx, id)
		require.NoErrorf(b.T, err, "%s was promised", id)
		switch st.State {
		case ltp.Accepted, ltp.Deferred:
			are[st.State]++
		case ltp.Parked:
			are[st.State]++
			assert.Containsf(b.T, id, poison, "an order pays for a fault that others share: %+v", st.Parked)
			b.note(id, func(e *entry) { e.parked = true })
		case ltp.Executed, ltp.Rejected, ltp.Cancelled, ltp.Expired:
			b.note(id, func(e *entry) { e.ended = st.State })
		default:
			assert.Failf(b.T, "an order was ended by force", "%s is %s", id, st.State)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range all {
		if e := b.entries[id]; e.ended != "" {
			are[e.ended]++
			assert.False(b.T, e.ended == ltp.Rejected && !e.refused, "%s is REJECTED, and pays for a fault that others share", id)
			assert.False(b.T, e.cancelled && e.ended != ltp.Cancelled, "the customer has read that %s is cancelled, and it is %s", id, e.ended)
		}
	}
	total := 0
	for _, n := range are {
		total += n
	}
	assert.Len(b.T, all, total, "accepted = executed + rejected + cancelled + expired + parked + pending: %v", are)
	return are
}

// check holds the promises: what was accepted is executed, rejected, cancelled,
// expired or pending; the rows are those of executed orders, each once, besides those
// whose write is in doubt; no write was begun while unfit.
func (b *books) check() {
	b.T.Helper()
	are := b.count()
	executed := map[string]bool{} // before the rows are read
	b.mu.Lock()
	for id, e := range b.entries {
		executed[id] = e.ended == ltp.Executed
	}
	b.mu.Unlock()
	rows := b.rows()
	inDoubt := 0
	for id := range rows {
		known, sent := executed[id]
		switch {
		case !sent:
			assert.Failf(b.T, "nobody ordered it", "%s is in the order database", id)
		case !known && b.inDoubt(id):
			inDoubt++
		}
	}
	unfit, stories := b.unfit(), b.stories()
	for _, story := range stories {
		if story.State() == ltp.Executed {
			b.receipted(story, b.rowsWith(story.Order.ID, rows))
		}
	}
	for id, was := range executed {
		if _, there := rows[id]; was {
			assert.True(b.T, there, "%s is executed, and not in the order database", id)
		}
	}
	for _, breach := range append(breaches(unfit, stories), unfenced(unfit, rows)...) {
		assert.Fail(b.T, breach)
	}
	b.T.Logf("  %v, %d rows, %d of them in doubt", are, len(rows), inDoubt)
}

// rowsWith are the rows as they were read, or as they are where one has come since.
func (b *books) rowsWith(id string, rows map[string]orderdb.Entry) map[string]orderdb.Entry {
	if _, there := rows[id]; there {
		return rows
	}
	return b.rows()
}

// inDoubt judges a row whose order was not known to be executed: it is by now, or it has
// not ended. What was done in a task that is lost stands in no history; the row's receipt
// names it, and the order ends with that.
func (b *books) inDoubt(id string) bool {
	b.T.Helper()
	story, err := b.Reader().Order(b.rig.Ctx, id)
	require.NoError(b.T, err)
	state := story.State()
	assert.Truef(b.T, state == ltp.Executed || !state.Final(), "%s is in the order database, and %s", id, state)
	return !state.Final()
}

// stories are the traces of the orders that have ended since the last time.
func (b *books) stories() (all []trace.OrderTrace) {
	b.T.Helper()
	b.mu.Lock()
	var ids []string
	for id, e := range b.entries {
		if e.ended != "" && !e.traced {
			e.traced = true
			ids = append(ids, id)
		}
	}
	b.mu.Unlock()
	for _, id := range ids {
		story, err := b.Reader().Order(b.rig.Ctx, id)
		if err != nil {
			require.NoErrorf(b.T, err, "the trace of %s\n%s", id, b.history(ltp.OrderWorkflowID(id)))
		}
		all = append(all, story)
	}
	return all
}
