package audit

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/ltp-node/ltp/internal/words"
	"github.com/ltp-node/ltp/trace"
)

// sequences looks whether orders of the same ordering key acted one after the other.
// Which of two was acknowledged first is not in any history, so that is not judged.
type sequences struct{ keys map[string][]tenure }

// tenure is when an order acted: from its first execution to its end, which is zero
// while there is none.
type tenure struct {
	order    string
	from, to time.Time
}

func newSequences() sequences { return sequences{keys: map[string][]tenure{}} }

func (s *sequences) see(t trace.OrderTrace) {
	if key := t.Order.OrderingKey; key != "" && len(t.Executions) > 0 {
		s.keys[key] = append(s.keys[key], tenure{t.Order.ID, t.Executions[0].TaskAt, t.EndedAt})
	}
}

// judge adds to the claim about who goes first.
func (s *sequences) judge(c *Claim) {
	if len(s.keys) == 0 {
		return
	}
	orders := 0
	for _, key := range slices.Sorted(maps.Keys(s.keys)) {
		acted := s.keys[key]
		orders += len(acted)
		slices.SortFunc(acted, func(a, b tenure) int { return cmp.Or(a.from.Compare(b.from), cmp.Compare(a.order, b.order)) })
		for i := 1; i < len(acted); i++ {
			if before := acted[i-1]; before.to.IsZero() || acted[i].from.Before(before.to) {
				c.breach(acted[i].order, "it acted while order %s of the same ordering key had not ended", before.order)
			}
		}
	}
	c.Figures["in_sequence"], c.Figures["ordering_keys"] = int64(orders), int64(len(s.keys))
	if c.Verdict != Broken {
		c.add("%s of %s acted one after the other", words.Plural(orders, "order"), words.Plural(len(s.keys), "ordering key"))
	}
}
