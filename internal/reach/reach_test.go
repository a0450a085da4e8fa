package reach_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"github.com/ltp-node/ltp/internal/embedded"
	"github.com/ltp-node/ltp/internal/link"
	"github.com/ltp-node/ltp/internal/reach"
)

const patience = time.Minute

// TestTemporalThatIsAwayIsNoticedAndItsReturnToo: a Temporal that is away is known to be away at once, and one that is back to
// be back; a connection that went silent is replaced, also under a long poll.
func TestTemporalThatIsAwayIsNoticedAndItsReturnToo(t *testing.T) {
	server, err := embedded.Start(t.Context(), embedded.Options{
		StateDir: t.TempDir(), Progress: func(s embedded.Step) { t.Log(s) },
		Client: client.Options{Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler))},
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Stop() })
	l, err := link.New(server.Address())
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })

	r := reach.New()
	assert.False(t, r.Away())
	assert.False(t, (*reach.Reach)(nil).Away())
	o := client.Options{HostPort: l.Address(), Namespace: server.Namespace(), Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler))}
	r.Watch(&o)
	c, err := client.Dial(o)
	require.NoError(t, err)
	t.Cleanup(c.Close)

	run, err := server.Client().ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "w", TaskQueue: "nobody"}, "W")
	require.NoError(t, err)
	ask := func(ctx context.Context) error {
		_, err := c.DescribeWorkflowExecution(ctx, run.GetID(), "")
		return err
	}
	asking, stop := context.WithCancel(t.Context())
	asked := make(chan struct{})
	go func() { // as a board does
		defer close(asked)
		for asking.Err() == nil {
			ctx, cancel := context.WithTimeout(asking, 5*time.Second)
			_ = ask(ctx)
			cancel()
			time.Sleep(10 * time.Millisecond)
		}
	}()
	t.Cleanup(func() { stop(); <-asked })
	require.NoError(t, ask(t.Context()))

	polled := make(chan error, 1)
	go func() {
		events := c.GetWorkflowHistory(t.Context(), run.GetID(), "", true, enumspb.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT)
		_, err := events.Next()
		polled <- err
	}()

	l.Cut()
	require.Eventually(t, r.Away, patience, time.Millisecond)
	l.Mend()
	require.Eventually(t, func() bool { return !r.Away() }, patience, time.Millisecond)

	// The connections of before hang, and new ones work.
	l.HangOpen()
	begun := time.Now()
	require.NoError(t, ask(t.Context()))
	t.Logf("answered after %s of silence", time.Since(begun).Round(time.Millisecond))
	require.NoError(t, server.Client().TerminateWorkflow(t.Context(), run.GetID(), "", "over"))
	require.NoError(t, <-polled)
}
