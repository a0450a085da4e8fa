package starter

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"pgregory.net/rapid"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/payload"
)

func TestFilterIsAQuery(t *testing.T) {
	at := time.Date(2026, 11, 26, 10, 0, 0, 5e8, time.FixedZone("", 7200))
	const all, ofC17 = "WorkflowType='Order'", " AND LtpCustomer IN ('c-17')"
	for want, f := range map[string]Filter{
		all + " AND ExecutionStatus!='ContinuedAsNew'":                                                           {AllTenants: true},
		all + " AND ExecutionStatus!='ContinuedAsNew' AND LtpTenant IS NULL":                                     {},
		all + " AND ExecutionStatus!='ContinuedAsNew' AND LtpTenant='acme'":                                      {Tenant: "acme"},
		all + " AND ExecutionStatus!='ContinuedAsNew' AND LtpTenant IS NULL" + ofC17:                             {Customer: "c-17"},
		all + " AND ExecutionStatus!='ContinuedAsNew' AND LtpTenant='acme'" + ofC17:                              {Customer: "c-17", Tenant: "acme"},
		all + " AND ExecutionStatus!='ContinuedAsNew'" + ofC17:                                                   {Customer: "c-17", AllTenants: true},
		all + " AND ExecutionStatus!='ContinuedAsNew' AND LtpCustomer IN ('" + ltp.CustomerKey(`' OR '\`) + "')": {Customer: `' OR '\`, AllTenants: true},
		all + " AND ExecutionStatus!='ContinuedAsNew' AND ExecutionStatus='Running' AND LtpReason='BACKLOG'":     {Reason: ltp.ReasonBacklog, AllTenants: true},
		all + " AND ExecutionStatus='Running' AND LtpState='PARKED' AND LtpTenant IS NULL AND ExecutionStatus='Running' AND LtpReason='PARKED'": {
			State: ltp.Parked, Reason: ltp.ReasonParked,
		},
		all + " AND ExecutionStatus='Canceled' AND StartTime>='2026-11-26T08:00:00.5Z' AND StartTime<'2026-11-26T08:00:01.5Z'": {
			State: ltp.Cancelled, Since: at, Until: at.Add(time.Second), AllTenants: true,
		},
	} {
		q, err := f.query(New(nil).customer)
		require.NoError(t, err)
		assert.Equal(t, want, q)
	}
	for field, f := range map[string]Filter{
		"state": {State: "LOST"}, "customer": {Customer: "\xff"}, "until": {Since: at, Until: at}, "reason": {Reason: "OK"}, "tenant": {Tenant: "x' OR '"},
	} {
		_, err := f.query(New(nil).customer)
		var invalid *ltp.InvalidError
		require.ErrorAs(t, err, &invalid)
		assert.Equal(t, field, invalid.Field)
	}
	_, err := Filter{State: ltp.Executed, Reason: ltp.ReasonBacklog}.query(nil)
	assert.Error(t, err, "what has ended waits for nothing")
}

// paged is a Temporal with two pages of nothing, which keeps the tokens that it gets.
type paged struct {
	client.Client
	got []string
}

func (p *paged) ListWorkflow(_ context.Context, r *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error) {
	p.got = append(p.got, string(r.GetNextPageToken()))
	return &workflowservice.ListWorkflowExecutionsResponse{NextPageToken: []byte("second")}, nil
}

// TestTemporalGetsItsOwnPageTokensOnly: of the same listing, and from whoever has the key.
func TestTemporalGetsItsOwnPageTokensOnly(t *testing.T) {
	p := &paged{}
	s := New(p, WithPageKey([]byte("one")))
	f := Filter{State: ltp.Deferred, Customer: "c-17"}
	page, err := s.List(t.Context(), f)
	require.NoError(t, err)
	next := f
	next.PageToken = page.NextPageToken
	_, err = New(p, WithPageKey([]byte("one"))).List(t.Context(), next)
	require.NoError(t, err)
	assert.Equal(t, []string{"", "second"}, p.got)

	other := next
	other.Customer = "c-18"
	query, err := f.query(New(nil).customer)
	require.NoError(t, err)
	byHand := sha256.Sum256([]byte(query + "garbage"))
	forged := func(token string) Filter {
		f := next
		f.PageToken = token
		return f
	}
	for _, f := range []Filter{
		other,
		forged(next.PageToken[1:]), forged("A" + next.PageToken[1:]), forged(next.PageToken + "AAAA"), forged("e30"), forged(" "), forged("a+b="),
		forged(base64.RawURLEncoding.EncodeToString(append(byHand[:sealLength], "garbage"...))),
		forged(base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("\x00", 64)))),
	} {
		_, err := s.List(t.Context(), f)
		assert.ErrorIs(t, err, errPageToken)
	}
	for _, stranger := range []*Starter{New(p), New(p, WithPageKey([]byte("two")))} {
		_, err := stranger.List(t.Context(), next)
		assert.ErrorIs(t, err, errPageToken)
	}
	assert.Len(t, p.got, 2, "Temporal was not asked")
}

func TestPageTokenIsOfOneListing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPages()
		query, token := rapid.String().Draw(t, "query"), rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "token")
		sealed := p.sealed(query, token)
		got, err := p.unsealed(query, sealed)
		require.NoError(t, err)
		assert.Equal(t, token, got)
		if other := rapid.String().Draw(t, "other"); other != query {
			_, err := p.unsealed(other, sealed)
			assert.Error(t, err)
		}
		if forged := rapid.String().Draw(t, "forged"); forged != sealed && forged != "" {
			_, err := p.unsealed(query, forged)
			assert.Error(t, err)
		}
	})
}

// TestCustomerIsFoundUnderEveryKey: under those that orders were accepted with, and as what was
// written before there were keys.
func TestCustomerIsFoundUnderEveryKey(t *testing.T) {
	line := func(id string) string {
		line, err := payload.NewKey(id)
		require.NoError(t, err)
		return line + "\n"
	}
	first, second := line("first"), line("second")
	starter := func(lines string) *Starter {
		keys, err := payload.ParseKeys([]byte(lines))
		require.NoError(t, err)
		return New(nil, WithKeys(keys))
	}
	written := starter(first).customer("c-17")
	assert.Len(t, written, 2)
	assert.NotContains(t, strings.TrimPrefix(written[0], "hmac-"), "c-17") // "hmac-17…" would hold it by chance
	assert.Equal(t, "c-17", written[1])
	rotated := starter(second + first).customer("c-17")
	assert.NotEqual(t, written[0], rotated[0])
	assert.Equal(t, written, rotated[1:])
	assert.NotEqual(t, written[0], starter(first).customer("c-18")[0])
}

// TestOrderIsOfItsCustomerAlone: of another's nobody says that it is there.
func TestOrderIsOfItsCustomerAlone(t *testing.T) {
	line, err := payload.NewKey("first")
	require.NoError(t, err)
	keys, err := payload.ParseKeys([]byte(line))
	require.NoError(t, err)
	for name, with := range map[string][]Option{"plain": nil, "encrypted": {WithKeys(keys)}} {
		r := &runs{t: t}
		s := New(r, with...)
		assert.ErrorIs(t, s.OfCustomer(t.Context(), "A2", "c-17"), ErrNotFound, name)
		r.info = []*workflowpb.WorkflowExecutionInfo{run("run-1", time.Now(), enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING,
			&commonpb.SearchAttributes{IndexedFields: map[string]*commonpb.Payload{ltp.CustomerAttribute: payloadOf(t, s.customer("c-17")[0])}})}
		assert.NoError(t, s.OfCustomer(t.Context(), "A2", "c-17"), name)
		assert.ErrorIs(t, s.OfCustomer(t.Context(), "A2", "c-18"), ErrNotFound, name)
		r.info[0].SearchAttributes = nil
		assert.ErrorIs(t, s.OfCustomer(t.Context(), "A2", "c-17"), ErrNotFound, name)
		assert.Empty(t, r.read, "no history was read")
	}
}
