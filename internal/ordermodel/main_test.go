package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestRulesOfOneOrder searches the mended rules and the mended rules with one of them taken
// away, within bounds that take half a minute: one fall, one lost task, two attempts at
// once. `go run ./internal/ordermodel` searches all, and takes five.
func TestRulesOfOneOrder(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes half a minute")
	}
	const most = 330_000
	held, broken := 0, 0
	for _, sc := range scenarios(false) {
		if sc.Name == "MENDED, two components, the written one counts" || sc.Name == "two components, any may be the unfit one, one epoch" {
			continue // some hundred megabytes
		}
		rules = Mended
		bounds = Bounds{Components: 1, Slots: 2, Falls: 1, Faults: 1, Cancels: 1}
		if sc.Rules != nil {
			sc.Rules(&rules)
		}
		if sc.Wide != nil {
			sc.Wide(&bounds)
			bounds.Falls, bounds.Faults, bounds.Slots = min(bounds.Falls, 1), min(bounds.Faults, 1), min(bounds.Slots, 2)
		}
		r := search(most)
		if r.Partial {
			continue
		}
		var broke []string
		for _, p := range properties {
			if r.Broken[p] != nil {
				broke = append(broke, p)
			}
		}
		got := strings.Join(broke, " ")
		if sc.Break == "" {
			assert.Empty(t, got, sc.Name)
			held++
			continue
		}
		assert.Equal(t, sc.Break, got, "%s: the rule is needed", sc.Name)
		broken++
	}
	assert.GreaterOrEqual(t, held, 2, "the mended rules were searched")
	assert.GreaterOrEqual(t, broken, 5, "rules were taken away")
}
