package longpoll_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"google.golang.org/grpc"

	"github.com/ltp-node/ltp/internal/embedded"
	"github.com/ltp-node/ltp/internal/longpoll"
)

// TestWaitOfLessThanASecondAsksOnce: a real server, a workflow that nobody runs, and
// somebody who waits for its end for a while.
func TestWaitOfLessThanASecondAsksOnce(t *testing.T) {
	var asked atomic.Int64
	count := func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		if method == "/temporal.api.workflowservice.v1.WorkflowService/GetWorkflowExecutionHistory" {
			asked.Add(1)
		}
		return invoke(ctx, method, req, reply, cc, opts...)
	}
	server, err := embedded.Start(t.Context(), embedded.Options{
		Progress: func(s embedded.Step) { t.Log(s) },
		Client: client.Options{
			Logger:            log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
			ConnectionOptions: client.ConnectionOptions{DialOptions: []grpc.DialOption{grpc.WithUnaryInterceptor(count)}},
		},
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Stop() })
	run, err := server.Client().ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "waits", TaskQueue: "nobody"}, "Waits")
	require.NoError(t, err)

	ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
	defer cancel()
	polling, stop := longpoll.Patient(ctx)
	defer stop()
	assert.Error(t, run.Get(polling, nil))
	assert.ErrorIs(t, ctx.Err(), context.DeadlineExceeded, "it has waited for as long as it was to")
	assert.Equal(t, int64(1), asked.Load(), "requests")
}

func TestPatientEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		why := errors.New("somebody said so")
		ctx, end := context.WithCancelCause(context.WithValue(t.Context(), key{}, "kept"))
		limited, cancel := context.WithTimeout(ctx, time.Hour)
		defer cancel()
		patient, stop := longpoll.Patient(limited)
		defer stop()
		_, has := patient.Deadline()
		assert.False(t, has)
		assert.Equal(t, "kept", patient.Value(key{}))
		assert.NoError(t, patient.Err())
		end(why)
		<-patient.Done()
		assert.Equal(t, why, context.Cause(patient))

		limited, cancel = context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		patient, stop = longpoll.Patient(limited)
		defer stop()
		<-patient.Done()
		assert.Equal(t, context.DeadlineExceeded, context.Cause(patient))

		patient, stop = longpoll.Patient(t.Context())
		stop()
		assert.ErrorIs(t, patient.Err(), context.Canceled)
	})
}
