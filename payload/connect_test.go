package payload_test

import (
	"bytes"
	"context"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	commandpb "go.temporal.io/api/command/v1"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	historypb "go.temporal.io/api/history/v1"
	protocolpb "go.temporal.io/api/protocol/v1"
	querypb "go.temporal.io/api/query/v1"
	sdkpb "go.temporal.io/api/sdk/v1"
	updatepb "go.temporal.io/api/update/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/ltp-node/ltp/payload"
)

// frontend stands in for Temporal: it keeps what it is sent, and answers what it is set to.
type frontend struct {
	workflowservice.UnimplementedWorkflowServiceServer
	mu      sync.Mutex
	sent    []proto.Message
	busy    int // how many requests to refuse first
	asked   int // how many requests there were for the history
	history *workflowservice.GetWorkflowExecutionHistoryResponse
	task    *workflowservice.PollWorkflowTaskQueueResponse
}

func (f *frontend) keep(m proto.Message) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent = append(f.sent, m)
	if f.busy > 0 {
		f.busy--
		return status.Error(codes.Unavailable, "busy")
	}
	return nil
}

func (f *frontend) StartWorkflowExecution(_ context.Context, r *workflowservice.StartWorkflowExecutionRequest) (*workflowservice.StartWorkflowExecutionResponse, error) {
	return &workflowservice.StartWorkflowExecutionResponse{RunId: "run"}, f.keep(r)
}

func (f *frontend) RespondWorkflowTaskCompleted(_ context.Context, r *workflowservice.RespondWorkflowTaskCompletedRequest) (*workflowservice.RespondWorkflowTaskCompletedResponse, error) {
	return &workflowservice.RespondWorkflowTaskCompletedResponse{}, f.keep(r)
}

func (f *frontend) GetWorkflowExecutionHistory(context.Context, *workflowservice.GetWorkflowExecutionHistoryRequest) (*workflowservice.GetWorkflowExecutionHistoryResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	return proto.Clone(f.history).(*workflowservice.GetWorkflowExecutionHistoryResponse), nil
}

func (f *frontend) PollWorkflowTaskQueue(context.Context, *workflowservice.PollWorkflowTaskQueueRequest) (*workflowservice.PollWorkflowTaskQueueResponse, error) {
	return proto.Clone(f.task).(*workflowservice.PollWorkflowTaskQueueResponse), nil
}

func (f *frontend) GetSystemInfo(context.Context, *workflowservice.GetSystemInfoRequest) (*workflowservice.GetSystemInfoResponse, error) {
	return &workflowservice.GetSystemInfoResponse{Capabilities: &workflowservice.GetSystemInfoResponse_Capabilities{}}, nil
}

// dial serves f, and connects to it with keys.
func dial(t *testing.T, f *frontend, k *payload.Keys) client.Client {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := grpc.NewServer()
	workflowservice.RegisterWorkflowServiceServer(s, f)
	go func() { _ = s.Serve(ln) }()
	t.Cleanup(s.Stop)
	o := client.Options{HostPort: ln.Addr().String()}
	payload.Connect(&o, k)
	c, err := client.Dial(o)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

const secret = "c-17 of Lisbon"

// TestStartIsEncrypted: the input, the memo, the header and the summary of a workflow;
// search attributes stay. What is sent again is encrypted once.
func TestStartIsEncrypted(t *testing.T) {
	k := keysOf(t, newKey(t, "one"))
	f := &frontend{busy: 2}
	c := dial(t, f, k)
	_, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: "order/A1", TaskQueue: "q", Memo: map[string]any{"content": secret}, StaticSummary: secret, StaticDetails: secret,
		TypedSearchAttributes: temporal.NewSearchAttributes(temporal.NewSearchAttributeKeyKeyword("LtpState").ValueSet("DEFERRED")),
	}, "Order", secret)
	require.NoError(t, err)
	require.Len(t, f.sent, 3, "it was refused twice")
	for _, m := range f.sent {
		r := m.(*workflowservice.StartWorkflowExecutionRequest)
		data, err := proto.Marshal(r)
		require.NoError(t, err)
		assert.NotContains(t, string(data), "Lisbon")
		assert.Equal(t, `"DEFERRED"`, string(r.GetSearchAttributes().GetIndexedFields()["LtpState"].GetData()))
		for _, p := range []*commonpb.Payload{
			r.GetInput().GetPayloads()[0], r.GetMemo().GetFields()["content"], r.GetUserMetadata().GetSummary(), r.GetUserMetadata().GetDetails(),
		} {
			plain, err := k.Decode([]*commonpb.Payload{p})
			require.NoError(t, err)
			var read string
			require.NoError(t, payload.Converter().FromPayload(plain[0], &read))
			assert.Equal(t, secret, read)
		}
	}
}

// completed is an answer to a workflow task that says the secret in every way.
func completed(t *testing.T) *workflowservice.RespondWorkflowTaskCompletedRequest {
	p := payloadOf(t, secret)
	all := &commonpb.Payloads{Payloads: []*commonpb.Payload{p}}
	failure := &failurepb.Failure{
		Message: secret, StackTrace: secret, Cause: &failurepb.Failure{Message: secret},
		FailureInfo: &failurepb.Failure_ApplicationFailureInfo{ApplicationFailureInfo: &failurepb.ApplicationFailureInfo{Type: "Rejected", Details: all}},
	}
	rejection, err := anypb.New(&updatepb.Rejection{RejectedRequest: &updatepb.Request{Input: &updatepb.Input{Args: all}}, Failure: failure})
	require.NoError(t, err)
	answer, err := anypb.New(&updatepb.Response{Outcome: &updatepb.Outcome{Value: &updatepb.Outcome_Success{Success: all}}})
	require.NoError(t, err)
	memo := &commonpb.Memo{Fields: map[string]*commonpb.Payload{"parked": p}}
	named := &sdkpb.UserMetadata{Summary: p, Details: p}
	return &workflowservice.RespondWorkflowTaskCompletedRequest{
		Namespace:    "default",
		Messages:     []*protocolpb.Message{{Body: rejection}, {Body: answer}},
		QueryResults: map[string]*querypb.WorkflowQueryResult{"q": {Answer: all, Failure: failure}},
		Commands: []*commandpb.Command{
			{Attributes: &commandpb.Command_RecordMarkerCommandAttributes{RecordMarkerCommandAttributes: &commandpb.RecordMarkerCommandAttributes{
				MarkerName: "LocalActivity", Details: map[string]*commonpb.Payloads{"data": all}, Failure: failure}}},
			{UserMetadata: named, Attributes: &commandpb.Command_StartTimerCommandAttributes{StartTimerCommandAttributes: &commandpb.StartTimerCommandAttributes{TimerId: "1"}}},
			{UserMetadata: named, Attributes: &commandpb.Command_ScheduleActivityTaskCommandAttributes{ScheduleActivityTaskCommandAttributes: &commandpb.ScheduleActivityTaskCommandAttributes{
				Input: all, Header: &commonpb.Header{Fields: map[string]*commonpb.Payload{"h": p}}}}},
			{Attributes: &commandpb.Command_ModifyWorkflowPropertiesCommandAttributes{ModifyWorkflowPropertiesCommandAttributes: &commandpb.ModifyWorkflowPropertiesCommandAttributes{UpsertedMemo: memo}}},
			{Attributes: &commandpb.Command_SignalExternalWorkflowExecutionCommandAttributes{SignalExternalWorkflowExecutionCommandAttributes: &commandpb.SignalExternalWorkflowExecutionCommandAttributes{Input: all}}},
			{Attributes: &commandpb.Command_StartChildWorkflowExecutionCommandAttributes{StartChildWorkflowExecutionCommandAttributes: &commandpb.StartChildWorkflowExecutionCommandAttributes{Input: all, Memo: memo}}},
			{Attributes: &commandpb.Command_ContinueAsNewWorkflowExecutionCommandAttributes{ContinueAsNewWorkflowExecutionCommandAttributes: &commandpb.ContinueAsNewWorkflowExecutionCommandAttributes{
				Input: all, Memo: memo, LastCompletionResult: all, Failure: failure}}},
			{Attributes: &commandpb.Command_CompleteWorkflowExecutionCommandAttributes{CompleteWorkflowExecutionCommandAttributes: &commandpb.CompleteWorkflowExecutionCommandAttributes{Result: all}}},
			{Attributes: &commandpb.Command_FailWorkflowExecutionCommandAttributes{FailWorkflowExecutionCommandAttributes: &commandpb.FailWorkflowExecutionCommandAttributes{Failure: failure}}},
			{Attributes: &commandpb.Command_CancelWorkflowExecutionCommandAttributes{CancelWorkflowExecutionCommandAttributes: &commandpb.CancelWorkflowExecutionCommandAttributes{Details: all}}},
		},
	}
}

// TestTaskIsEncrypted: whatever a worker answers, in commands and in updates, with failures
// and all they say; and the worker's own request is not touched.
func TestTaskIsEncrypted(t *testing.T) {
	f := &frontend{}
	c := dial(t, f, keysOf(t, newKey(t, "one")))
	r := completed(t)
	before := proto.Clone(r)
	_, err := c.WorkflowService().RespondWorkflowTaskCompleted(t.Context(), r)
	require.NoError(t, err)
	assert.True(t, proto.Equal(before, r), "workflows of this process may use what it holds")
	data, err := proto.Marshal(f.sent[0])
	require.NoError(t, err)
	assert.NotContains(t, string(data), "Lisbon")
	assert.Contains(t, string(data), "Rejected", "the type of a failure is for Temporal to retry by")
	plain, err := proto.Marshal(r)
	require.NoError(t, err)
	assert.Greater(t, bytes.Count(plain, []byte("Lisbon")), 30, "there was much to hide")
}

// history is one as Temporal keeps it of an order that failed.
func history(t *testing.T, k *payload.Keys) *historypb.History {
	t.Helper()
	input := payloadOf(t, secret)
	if k != nil {
		input = encrypt(t, k, input)
	}
	failure := &failurepb.Failure{Message: secret}
	if k != nil {
		failure.Message = "Encoded failure"
		failure.EncodedAttributes = encrypt(t, k, payloadOf(t, map[string]string{"message": secret, "stack_trace": "at line 1"}))
	}
	return &historypb.History{Events: []*historypb.HistoryEvent{
		{EventId: 1, EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED, Attributes: &historypb.HistoryEvent_WorkflowExecutionStartedEventAttributes{
			WorkflowExecutionStartedEventAttributes: &historypb.WorkflowExecutionStartedEventAttributes{Input: &commonpb.Payloads{Payloads: []*commonpb.Payload{input}}}}},
		{EventId: 2, EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED, Attributes: &historypb.HistoryEvent_WorkflowExecutionFailedEventAttributes{
			WorkflowExecutionFailedEventAttributes: &historypb.WorkflowExecutionFailedEventAttributes{Failure: failure}}},
	}}
}

// read reads a history as whoever reads one does.
func read(t *testing.T, c client.Client, filter enumspb.HistoryEventFilterType) (events []*historypb.HistoryEvent, err error) {
	t.Helper()
	for all := c.GetWorkflowHistory(t.Context(), "order/A1", "run", false, filter); all.HasNext(); {
		e, err := all.Next()
		if err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, nil
}

// TestHistoryIsDecrypted, also one that the server sends as it stores it, and one from
// before there was a key.
func TestHistoryIsDecrypted(t *testing.T) {
	k := keysOf(t, newKey(t, "one"))
	whole := enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT
	for name, h := range map[string]*historypb.History{"encrypted": history(t, k), "plain": history(t, nil)} {
		var blobs []*commonpb.DataBlob
		for _, e := range h.Events {
			data, err := proto.Marshal(&historypb.History{Events: []*historypb.HistoryEvent{e}})
			require.NoError(t, err)
			blobs = append(blobs, &commonpb.DataBlob{EncodingType: enumspb.ENCODING_TYPE_PROTO3, Data: data})
		}
		for form, response := range map[string]*workflowservice.GetWorkflowExecutionHistoryResponse{
			"events": {History: h}, "raw": {RawHistory: blobs},
		} {
			t.Run(name+" "+form, func(t *testing.T) {
				c := dial(t, &frontend{history: response}, k)
				events, err := read(t, c, whole)
				require.NoError(t, err)
				require.Len(t, events, 2)
				assert.Equal(t, `"`+secret+`"`, string(events[0].GetWorkflowExecutionStartedEventAttributes().GetInput().GetPayloads()[0].GetData()))
				assert.Equal(t, secret, events[1].GetWorkflowExecutionFailedEventAttributes().GetFailure().GetMessage())
				if form == "raw" {
					last, err := read(t, c, enumspb.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT)
					require.NoError(t, err)
					require.Len(t, last, 1)
					assert.EqualValues(t, 2, last[0].GetEventId())
				}
			})
		}
	}
}

// TestWithoutTheKeyNothingIsHandedOver: neither a history to a reader nor a task to a
// worker, who would fail the workflow. The answer comes at once, and names the key.
func TestWithoutTheKeyNothingIsHandedOver(t *testing.T) {
	h := history(t, keysOf(t, newKey(t, "one")))
	f := &frontend{
		history: &workflowservice.GetWorkflowExecutionHistoryResponse{History: h},
		task:    &workflowservice.PollWorkflowTaskQueueResponse{TaskToken: []byte("t"), History: h, WorkflowType: &commonpb.WorkflowType{Name: "Order"}},
	}
	for name, k := range map[string]*payload.Keys{"no key": nil, "another key": keysOf(t, newKey(t, "two"))} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, f, k)
			f.asked = 0
			_, err := read(t, c, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
			require.ErrorContains(t, err, `payload key "one"`)
			assert.Equal(t, 1, f.asked, "to ask again would help nobody")
			assert.NotContains(t, err.Error(), "\n", "it is a sentence")
			_, err = c.WorkflowService().PollWorkflowTaskQueue(t.Context(), &workflowservice.PollWorkflowTaskQueueRequest{Namespace: "default"})
			require.ErrorContains(t, err, `payload key "one"`)
		})
	}
}
