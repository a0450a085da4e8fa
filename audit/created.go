package audit

import (
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/words"
	"github.com/ltp-node/ltp/orderdb"
)

// created compares when rows say that they were created, by the order database's clock,
// with the attempts that wrote them, by Temporal's.
//
// A clock that is off is off by as much for all rows, as long as one server writes them:
// between two outages. Rows that no such clock explains, and that say they were created
// while the component was unfit, were moved there.
type created struct {
	states states
	clocks clocks
	// offsets are, by the number of outages before, between what a clock that explains all
	// rows may be ahead.
	offsets map[int]*offset
	unfit   []suspect
}

type offset struct{ least, most time.Duration }

// suspect is a row that says it was created while the component was unfit.
type suspect struct {
	order   string
	at      time.Time
	by      time.Duration
	outages int
}

func newCreated(s states) *created { return &created{states: s, offsets: map[int]*offset{}} }

func (c *created) see(e orderdb.Entry, k *known) {
	if k.task.IsZero() || k.recorded.IsZero() {
		return // nobody knows when it was written
	}
	n := c.states.outages(k.recorded)
	least, most := e.CreatedAt.Sub(k.recorded), e.CreatedAt.Sub(k.task)
	if o := c.offsets[n]; o == nil {
		c.offsets[n] = &offset{least, most}
	} else {
		o.least, o.most = max(o.least, least), min(o.most, most)
	}
	faults := ltp.Times{Task: k.task, Recorded: k.recorded, Created: e.CreatedAt}.Check()
	if len(faults) == 0 {
		return
	}
	if _, unfit := c.states.unfitSince(e.CreatedAt); unfit {
		c.unfit = append(c.unfit, suspect{e.ID, e.CreatedAt, faults[0].By, n})
	}
	c.clocks.differ(faults)
}

func (c *created) judge(cl *Claim) {
	for _, s := range c.unfit {
		if o := c.offsets[s.outages]; o.least-o.most > ltp.ClockBound {
			cl.breach(s.order, "its row says that it was created at %s UTC, while the component was unfit, %s from the attempt that wrote it, and other rows agree with theirs",
				words.Time(s.at), words.Lasted(s.by.Abs()))
		}
	}
	c.clocks.judge(cl, "row")
}
