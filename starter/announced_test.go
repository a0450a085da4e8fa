package starter

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/ltp-node/ltp"
)

// TestMissedAnnouncementsAreHandedOverWithTheNext, those of earlier runs too.
func TestMissedAnnouncementsAreHandedOverWithTheNext(t *testing.T) {
	run := func(missed ...bool) (r announcing) {
		for i, m := range missed {
			r.all = append(r.all, Announced{Announcement: ltp.Announcement{N: i + 1, Missed: m}})
		}
		return r
	}
	for name, c := range map[string]struct {
		run  announcing
		from int
		want []int
		more bool // an earlier run may have some
	}{
		"the latest alone":            {run(false, false, false), 3, []int{3}, false},
		"with what was missed":        {run(false, true, true, false), 4, []int{2, 3, 4}, false},
		"what was missed before that": {run(true, false, false), 3, []int{3}, false},
		"all":                         {run(false, true), 1, []int{1, 2}, true},
		"a run without any":           {run(), 1, nil, true},
		"all were missed":             {run(true, true), 2, []int{1, 2}, true},
	} {
		kept, more := c.run.from(c.from)
		var got []int
		for _, a := range kept {
			got = append(got, a.N)
		}
		assert.Equal(t, c.want, got, name)
		assert.Equal(t, c.more, more, name)
	}
}
