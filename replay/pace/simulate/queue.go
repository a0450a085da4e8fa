package simulate

import (
	"time"

	"github.com/ltp-node/ltp/replay/pace"
)

// kind is what happens at an event.
type kind uint8

const (
	resume kind = iota // the release goes on
	probe              // the observer's write
	arrive             // a new order, while the component is fit
	ask                // an order asks for a connection
	retry              // an order whose write failed tries again
	done               // a write returns
	answer             // the engine learns what became of a release
	giveUp             // nobody waits for an answer any longer
	fail               // the database fails
	back               // the database is back
)

// order is one on its way.
type order struct {
	released time.Duration
	begun    time.Duration // when its write began
	sample   int           // number of the release that awaits its answer, 0 if none does
	tries    int
	life     int  // of the database, when the write began
	waited   bool // it was deferred once
}

// event is something that will happen.
type event struct {
	at    time.Duration
	n     uint64 // of events at the same time, the earlier goes first
	kind  kind
	run   int // the number of the release, or of falls, that it belongs to
	order order
	took  pace.Sample // of an answer
}

// queue holds what will happen, the next at its top.
type queue struct {
	heap []event
	n    uint64
}

func (e event) before(other event) bool {
	return e.at < other.at || (e.at == other.at && e.n < other.n)
}

func (q *queue) push(e event) {
	q.n++
	e.n = q.n
	q.heap = append(q.heap, e)
	i := len(q.heap) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !e.before(q.heap[parent]) {
			break
		}
		q.heap[i] = q.heap[parent]
		i = parent
	}
	q.heap[i] = e
}

func (q *queue) pop() event {
	top := q.heap[0]
	last := q.heap[len(q.heap)-1]
	q.heap = q.heap[:len(q.heap)-1]
	if len(q.heap) == 0 {
		return top
	}
	i := 0
	for {
		child := 2*i + 1
		if child >= len(q.heap) {
			break
		}
		if right := child + 1; right < len(q.heap) && q.heap[right].before(q.heap[child]) {
			child = right
		}
		if !q.heap[child].before(last) {
			break
		}
		q.heap[i] = q.heap[child]
		i = child
	}
	q.heap[i] = last
	return top
}
