package marks_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/marks"
)

// indexed are search attributes as Temporal returns them.
func indexed(t *testing.T, sa temporal.SearchAttributes) *commonpb.SearchAttributes {
	t.Helper()
	fields := map[string]*commonpb.Payload{}
	for key, value := range sa.GetUntypedValues() {
		p, err := converter.GetDefaultDataConverter().ToPayload(value)
		require.NoError(t, err)
		fields[key.GetName()] = p
	}
	return &commonpb.SearchAttributes{IndexedFields: fields}
}

func values(updates ...temporal.SearchAttributeUpdate) map[string]any {
	all := map[string]any{}
	for key, value := range temporal.NewSearchAttributes(updates...).GetUntypedValues() {
		all[key.GetName()] = value
	}
	return all
}

func TestOrderIsFoundByItsCustomer(t *testing.T) {
	for _, m := range []*ltp.Mark{nil, {Wait: ltp.Wait{Reason: ltp.ReasonAwaitsTurn}}} {
		p := indexed(t, marks.AtStart("", "c-17", m)).GetIndexedFields()[ltp.CustomerAttribute]
		assert.Equal(t, `"c-17"`, string(p.GetData()))
	}
	state, m, err := marks.Read(indexed(t, marks.AtStart("", "c-17", nil)))
	require.NoError(t, err)
	assert.Empty(t, state)
	assert.Equal(t, ltp.Mark{Priority: ltp.DefaultPriority}, m)
}

// TestOrderIsFoundByItsTenant, and one of the default tenant by having none.
func TestOrderIsFoundByItsTenant(t *testing.T) {
	assert.Equal(t, `"acme"`, string(indexed(t, marks.AtStart("acme", "c-17", nil)).GetIndexedFields()[ltp.TenantAttribute].GetData()))
	assert.NotContains(t, indexed(t, marks.AtStart("", "c-17", nil)).GetIndexedFields(), ltp.TenantAttribute)
}

func TestMarkIsReadAsItWasWritten(t *testing.T) {
	unstable := ltp.Wait{Component: "payments", Epoch: 4, Reason: ltp.ReasonUnstable}
	for _, m := range []ltp.Mark{
		{Wait: unstable, Priority: ltp.DefaultPriority},
		{Wait: unstable, Priority: 1},
		{Wait: unstable, Priority: 0},
		{Wait: ltp.Wait{Reason: ltp.ReasonAwaitsTurn}, Priority: ltp.LastPriority},
	} {
		state, got, err := marks.Read(indexed(t, marks.AtStart("", "c-17", &m)))
		require.NoError(t, err)
		assert.Equal(t, ltp.Deferred, state)
		assert.Equal(t, m, got)
	}
}

// TestParkedOrderIsFoundByItsState, and under no component: no replay is to release it.
func TestParkedOrderIsFoundByItsState(t *testing.T) {
	before := ltp.Mark{Wait: ltp.Wait{Component: "orders-db", Epoch: 3, Reason: ltp.ReasonExecuteUnavailable}, Priority: 1}
	parked := ltp.Mark{Wait: ltp.Wait{Reason: ltp.ReasonParked}, Priority: 1}
	upsert := func(sa *temporal.SearchAttributes, now, before ltp.Mark) {
		for _, update := range marks.Attributes(now, before) {
			update(sa)
		}
	}
	sa := marks.AtStart("", "c-17", &before)
	park := func(sa *temporal.SearchAttributes) { upsert(sa, parked, before) }
	assert.Equal(t, map[string]any{ltp.CustomerAttribute: "c-17", ltp.StateAttribute: "PARKED", ltp.ReasonAttribute: "PARKED", ltp.PriorityAttribute: int64(1)}, values(sa.Copy(), park))
	state, got, err := marks.Read(indexed(t, temporal.NewSearchAttributes(sa.Copy(), park)))
	require.NoError(t, err)
	assert.Equal(t, ltp.Parked, state)
	assert.Equal(t, parked, got)
	retried := func(sa *temporal.SearchAttributes) { upsert(sa, before, parked) }
	assert.Equal(t, values(sa.Copy()), values(sa.Copy(), park, retried), "it waits again")
}

func TestOrderWithoutSearchAttributesHasNoState(t *testing.T) {
	state, m, err := marks.Read(nil)
	require.NoError(t, err)
	assert.Empty(t, state)
	assert.Equal(t, ltp.Mark{Priority: ltp.DefaultPriority}, m)
}

func TestPriorityIsWrittenOnlyWhereItChanges(t *testing.T) {
	m := ltp.Mark{Wait: ltp.Wait{Component: "orders-db", Epoch: 4, Reason: ltp.ReasonUnstable}, Priority: 1}
	assert.NotContains(t, values(marks.Attributes(m, m)...), ltp.PriorityAttribute)
	assert.Equal(t, int64(1), values(marks.Attributes(m, ltp.Mark{Priority: ltp.DefaultPriority})...)[ltp.PriorityAttribute])
	m.Priority = ltp.DefaultPriority
	assert.NotContains(t, marks.AtStart("", "c-17", &m).GetUntypedValues(), temporal.NewSearchAttributeKeyInt64(ltp.PriorityAttribute))
	assert.Equal(t, int64(0), values(marks.Attributes(ltp.Mark{Wait: m.Wait}, m)...)[ltp.PriorityAttribute], "expedited")
}

// TestOrderThatAwaitsItsTurnIsFoundUnderNoComponent: what was written before goes.
func TestOrderThatAwaitsItsTurnIsFoundUnderNoComponent(t *testing.T) {
	before := ltp.Mark{Wait: ltp.Wait{Component: "orders-db", Epoch: 4, Reason: ltp.ReasonUnstable}, Priority: ltp.DefaultPriority}
	after := ltp.Mark{Wait: ltp.Wait{Reason: ltp.ReasonAwaitsTurn}, Priority: ltp.DefaultPriority}
	got := values(marks.AtStart("", "c-17", &before).Copy(), func(sa *temporal.SearchAttributes) {
		for _, update := range marks.Attributes(after, before) {
			update(sa)
		}
	})
	assert.Equal(t, map[string]any{ltp.CustomerAttribute: "c-17", ltp.StateAttribute: "DEFERRED", ltp.ReasonAttribute: "AWAITS_TURN"}, got)
}

func TestEndOverwritesTheStateAlone(t *testing.T) {
	assert.Equal(t, map[string]any{ltp.StateAttribute: "EXPIRED"}, values(marks.Ended(ltp.Expired)))
}

func TestDamagedSearchAttributeIsAnError(t *testing.T) {
	p, err := converter.GetDefaultDataConverter().ToPayload("four")
	require.NoError(t, err)
	_, _, err = marks.Read(&commonpb.SearchAttributes{IndexedFields: map[string]*commonpb.Payload{ltp.EpochAttribute: p}})
	assert.ErrorContains(t, err, ltp.EpochAttribute)
}
