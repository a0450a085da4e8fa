package ltp_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ltp-node/ltp"
)

func TestPoliciesThatCannotWorkAreRefused(t *testing.T) {
	require.NoError(t, policy().Validate())
	for name, spoil := range map[string]func(*ltp.Policy){
		"negative dwell":  func(p *ltp.Policy) { p.Dwell = -1 },
		"cap below dwell": func(p *ltp.Policy) { p.MaxDwell = p.Dwell - 1 },
		"no window":       func(p *ltp.Policy) { p.FlapWindow = 0 },
		"no grace":        func(p *ltp.Policy) { p.Grace = 0 },
		"endless grace":   func(p *ltp.Policy) { p.Grace = ltp.MaxGrace + 1 },
	} {
		t.Run(name, func(t *testing.T) {
			p := policy()
			spoil(&p)
			assert.Error(t, p.Validate())
			w := p.Change()
			w.By, w.Why = "ann", "to see"
			assert.Error(t, w.Validate(policy()), "nor is it made by a change")
		})
	}
}

func TestAChangeOfPolicyLeavesWhatItDoesNotName(t *testing.T) {
	w := ltp.PolicyChange{Dwell: new(30 * time.Second), Grace: new(5 * time.Second), By: "ann", Why: "it flaps"}
	require.NoError(t, w.Validate(policy()))
	next := policy().Next(w)
	want := policy()
	want.Dwell, want.Grace = 30*time.Second, 5*time.Second
	assert.Equal(t, want, next)
	assert.Equal(t, "dwell 2s → 30s, grace 10s → 5s", policy().Difference(next))
	assert.Empty(t, next.Difference(next.Next(w)), "and said again, nothing")
	assert.Equal(t, "set dwell 30s, grace 5s", w.String())
	assert.Equal(t, "dwell 2s, max dwell 2m, flap window 10m, grace 10s", policy().String())
}

func TestAChangeOfPolicySaysWhoWhyAndWhat(t *testing.T) {
	dwell := new(time.Second)
	for says, w := range map[string]ltp.PolicyChange{
		"who":                   {Dwell: dwell, Why: "x"},
		"and why":               {Dwell: dwell, By: "ann"},
		"what is to change":     {By: "ann", Why: "x"},
		"shorter than dwell 3m": {Dwell: new(3 * time.Minute), By: "ann", Why: "x"},
	} {
		assert.ErrorContains(t, w.Validate(policy()), says)
	}
}

func TestPolicyInJSONHasReadableDurations(t *testing.T) {
	text, err := json.Marshal(policy())
	require.NoError(t, err)
	assert.JSONEq(t, `{"dwell":"2s","max_dwell":"2m","flap_window":"10m","grace":"10s"}`, string(text))
	text, err = json.Marshal(ltp.PolicyChange{Dwell: new(30 * time.Second), By: "ann", Why: "it flaps"})
	require.NoError(t, err)
	assert.JSONEq(t, `{"dwell":"30s","by":"ann","why":"it flaps"}`, string(text))

	var p ltp.Policy
	assert.Error(t, json.Unmarshal([]byte(`{"dwell":"soon"}`), &p))
	assert.Error(t, json.Unmarshal([]byte(`{"dwell":2000000000}`), &p))
	rapid.Check(t, func(t *rapid.T) {
		d := func(name string) time.Duration { return time.Duration(rapid.Int64().Draw(t, name)) }
		p := ltp.Policy{Dwell: d("dwell"), MaxDwell: d("max"), FlapWindow: d("window"), Grace: d("grace")}
		text, err := json.Marshal(p)
		require.NoError(t, err)
		var again ltp.Policy
		require.NoError(t, json.Unmarshal(text, &again))
		assert.Equal(t, p, again)
	})
}
