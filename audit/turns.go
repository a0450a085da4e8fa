package audit

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/words"
	"github.com/ltp-node/ltp/trace"
)

// turns is the order in which the replay engine released what waited. Classes have turns
// of their own: one of a lower number goes before the others whenever it comes. What an
// operator expedited goes before all, and is counted only.
type turns struct {
	c         Claim
	queues    map[queue][]turn
	expedited int64
}

// queue is what was released in one epoch of one class.
type queue struct {
	epoch int64
	class int
}

type turn struct{ accepted, released time.Time }

// page is how far an order may be overtaken: what the replay engine lists at once.
const page = 500

func newTurns() turns {
	return turns{c: claim(FirstFirst, "First deferred, first released"), queues: map[queue][]turn{}}
}

func (s *turns) see(t trace.OrderTrace) {
	for i := 0; i+1 < len(t.Frames); i += 2 {
		if a := t.Frames[i+1].Response; !a.Admissible || t.Frames[i].Request.Woken != ltp.WokenBySignal {
			continue
		}
		if expedited(t, t.Frames[i].At) {
			s.expedited++
			return
		}
		q := queue{t.Frames[i+1].Response.Epoch, t.Order.Class()}
		s.queues[q] = append(s.queues[q], turn{t.AcceptedAt, t.Frames[i].At})
		return
	}
}

// expedited reports whether an operator had asked by then that the order goes first.
func expedited(t trace.OrderTrace, by time.Time) bool {
	return slices.ContainsFunc(t.Notes, func(n trace.Note) bool {
		return n.Kind == trace.NoteOperator && strings.HasPrefix(n.Text, "asked to release the order before all others") && !n.At.After(by)
	})
}

func (s *turns) claim() Claim {
	c := s.c
	released, most, classes := 0, 0, map[int]bool{}
	for q, all := range s.queues {
		released += len(all)
		classes[q.class] = true
		most = max(most, overtaken(all))
	}
	c.Figures["released"], c.Figures["overtaken"] = int64(released), int64(most)
	what := words.Plural(released, "order") + " released"
	if len(classes) > 1 {
		c.Figures["classes"] = int64(len(classes))
		what += " in " + words.Plural(len(classes), "class")
		what = strings.Replace(what, "classs", "classes", 1) + ", each by itself"
	}
	if s.expedited > 0 {
		c.Figures["expedited"] = s.expedited
		c.add("%s that an operator expedited went before all others", words.Plural(s.expedited, "order"))
	}
	switch {
	case released == 0:
		c.add("no order waited for a release")
	case most == 0:
		c.add("%s: every one in its turn", what)
	default:
		c.add("%s in the order of acceptance: none went more than %s before its turn (a page of the listing is %d)", what, words.Plural(most, "place"), page)
	}
	if most > page {
		c.breach("overtaking", "an order was released %d places before its turn", most)
	}
	return c
}

// overtaken is the largest number of places by which an order was released before its
// turn.
func overtaken(queue []turn) (most int) {
	slices.SortFunc(queue, func(a, b turn) int {
		return cmp.Or(a.accepted.Compare(b.accepted), a.released.Compare(b.released))
	})
	places := make([]int, len(queue))
	for i := range places {
		places[i] = i
	}
	slices.SortStableFunc(places, func(a, b int) int { return queue[a].released.Compare(queue[b].released) })
	for i, accepted := range places {
		most = max(most, accepted-i)
	}
	return most
}
