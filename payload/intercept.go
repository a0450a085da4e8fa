package payload

import (
	"context"
	"fmt"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/proxy"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// intercept encrypts what a request holds, and decrypts what the response does. Failures
// are folded into payloads before, and unfolded after that.
//
// It stands below the retries of the SDK and above nothing that looks into payloads. It
// works on a copy of the request: the SDK sends one again when an attempt fails, and what
// it holds may be in use by workflows of this process.
func (k *Keys) intercept(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if m, ok := req.(proto.Message); ok && k != nil {
		m = proto.Clone(m)
		if err := k.encode(ctx, m); err != nil {
			return unreadable(err)
		}
		req = m
	}
	return unreadable(k.inbound(ctx, method, req, reply, cc, invoke, opts...))
}

func (k *Keys) encode(ctx context.Context, m proto.Message) error {
	err := proxy.VisitFailures(ctx, m, proxy.VisitFailuresOptions{Visitor: func(_ *proxy.VisitFailuresContext, f *failurepb.Failure) error {
		return converter.EncodeCommonFailureAttributes(Converter(), f)
	}})
	if err != nil {
		return err
	}
	return proxy.VisitPayloads(ctx, m, proxy.VisitPayloadsOptions{
		SkipSearchAttributes: true,
		Visitor: func(_ *proxy.VisitPayloadsContext, all []*commonpb.Payload) ([]*commonpb.Payload, error) {
			return k.Encode(all)
		},
	})
}

// inbound makes the call. Payloads are in the details of errors, too: the interceptors of
// Temporal's API look there.
func (k *Keys) inbound(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	payloads, err := proxy.NewPayloadVisitorInterceptor(proxy.PayloadVisitorInterceptorOptions{Inbound: &proxy.VisitPayloadsOptions{
		SkipSearchAttributes: true,
		Visitor: func(_ *proxy.VisitPayloadsContext, all []*commonpb.Payload) ([]*commonpb.Payload, error) {
			return k.Decode(all)
		},
	}})
	if err != nil {
		return err
	}
	failures, err := proxy.NewFailureVisitorInterceptor(proxy.FailureVisitorInterceptorOptions{Inbound: &proxy.VisitFailuresOptions{
		Visitor: func(_ *proxy.VisitFailuresContext, f *failurepb.Failure) error {
			converter.DecodeCommonFailureAttributes(Converter(), f)
			return nil
		},
	}})
	if err != nil {
		return err
	}
	return failures(ctx, method, req, reply, cc, func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, opts ...grpc.CallOption) error {
		return payloads(ctx, method, req, reply, cc, func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, opts ...grpc.CallOption) error {
			if err := invoke(ctx, method, req, reply, cc, opts...); err != nil {
				return err
			}
			return unpack(req, reply)
		}, opts...)
	}, opts...)
}

// unreadable has the SDK give up on what it would get again: without a code it tries
// for a minute.
func unreadable(err error) error {
	if _, known := status.FromError(err); known {
		return err
	}
	return status.Error(codes.FailedPrecondition, err.Error())
}

// unpack reads the events of a history that the server sends as it stores them, which a
// setting of the server makes it do.
func unpack(req, reply any) error {
	r, ok := reply.(*workflowservice.GetWorkflowExecutionHistoryResponse)
	if !ok || len(r.GetRawHistory()) == 0 {
		return nil
	}
	all := &historypb.History{}
	for _, blob := range r.GetRawHistory() {
		if blob.GetEncodingType() != enumspb.ENCODING_TYPE_PROTO3 {
			return fmt.Errorf("a history is encoded as %s, which is not known", blob.GetEncodingType())
		}
		if err := (proto.UnmarshalOptions{Merge: true}).Unmarshal(blob.GetData(), all); err != nil {
			return fmt.Errorf("read a raw history: %w", err)
		}
	}
	if q, ok := req.(*workflowservice.GetWorkflowExecutionHistoryRequest); ok && q.GetHistoryEventFilterType() == enumspb.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT && len(all.Events) > 1 {
		all.Events = all.Events[len(all.Events)-1:] // it sends the batch that holds it
	}
	r.History, r.RawHistory = all, nil
	return nil
}
