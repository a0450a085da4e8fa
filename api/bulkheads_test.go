package api

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/starter"
)

// held is a desk at which every order waits until it is let go, or given up.
type held struct {
	*desk
	came  chan struct{}
	letGo chan struct{}
	gone  chan struct{}
}

func newHeld() held {
	return held{newDesk(), make(chan struct{}, 999), make(chan struct{}), make(chan struct{}, 999)}
}

func (d held) Submit(ctx context.Context, o ltp.Order) (starter.Submission, error) {
	d.came <- struct{}{}
	select {
	case <-d.letGo:
		return d.desk.Submit(ctx, o)
	case <-ctx.Done():
		d.gone <- struct{}{}
		return starter.Submission{}, fmt.Errorf("%w: %w", starter.ErrUnreachable, ctx.Err())
	}
}

// TestRequestsOverTheBoundAreRefused: at once where too many wait already, else after a moment.
// What is under way is not touched.
func TestRequestsOverTheBoundAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newHeld()
		h := New(Config{Starter: d, Board: observed(ltp.Stable)})
		var done sync.WaitGroup
		codes := make(chan int, intakeAtOnce+intakeQueue)
		for i := range intakeAtOnce + intakeQueue {
			done.Go(func() {
				codes <- ask(t, h, request("POST", "/orders", ordertest.JSON(fmt.Sprint("A", i)), "Prefer", "respond-async")).StatusCode
			})
		}
		synctest.Wait()
		assert.Len(t, d.came, intakeAtOnce, "no more are on their way to Temporal")

		begun := time.Now()
		got := ask(t, h, request("POST", "/orders", ordertest.JSON("B1")))
		got.wants(t, http.StatusTooManyRequests, tooManyRequests)
		assert.Zero(t, time.Since(begun))
		after, err := strconv.Atoi(got.Header.Get("Retry-After"))
		require.NoError(t, err)
		assert.GreaterOrEqual(t, after, 2)
		assert.LessOrEqual(t, after, 4)
		ask(t, h, request("GET", "/orders/A2", "")).wants(t, 404, orderNotFound)

		time.Sleep(intakePatience)
		synctest.Wait()
		for range intakeQueue {
			assert.Equal(t, http.StatusTooManyRequests, <-codes, "who waited for so long")
		}
		close(d.letGo)
		done.Wait()
		for range intakeAtOnce {
			assert.Equal(t, http.StatusAccepted, <-codes)
		}
		assert.Equal(t, intakeAtOnce, d.starts())
		ask(t, h, request("POST", "/orders", ordertest.JSON("B1"), "Prefer", "respond-async")).wants(t, 202, nil)
	})
}

// TestTemporalThatIsKnownToBeAwayIsNotAsked.
func TestTemporalThatIsKnownToBeAwayIsNotAsked(t *testing.T) {
	away := true
	d := newDesk()
	h := New(Config{Starter: d, Board: observed(ltp.Stable), Away: func() bool { return away }})
	for _, r := range []*http.Request{
		request("POST", "/orders", ordertest.JSON("A1")), request("GET", "/orders", ""), request("GET", "/orders/A1", ""), request("DELETE", "/orders/A1", ""),
	} {
		got := ask(t, h, r)
		got.wants(t, http.StatusServiceUnavailable, unreachable)
		assert.NotEmpty(t, got.Header.Get("Retry-After"))
	}
	assert.Zero(t, d.starts())
	ask(t, h, request("GET", "/readyz", "")).wants(t, 200, nil)
	away = false
	ask(t, h, request("POST", "/orders", ordertest.JSON("A1"))).wants(t, 202, nil)
}

// listening is the address of a server on the handler.
func listening(t *testing.T, h http.Handler) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, ln, h, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() { stop(); assert.NoError(t, <-ended) })
	return ln.Addr().String()
}

// posts sends an order over a connection of its own.
func posts(t *testing.T, address string) *net.TCPConn {
	c, err := net.Dial("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	sendOrder(t, c)
	return c.(*net.TCPConn)
}

// sendOrder writes the request of an order, and closes nothing.
func sendOrder(t *testing.T, c io.Writer) {
	t.Helper()
	body := ordertest.JSON("A1")
	_, err := fmt.Fprintf(c, "POST /orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nPrefer: respond-async\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	require.NoError(t, err)
}

// TestWorkIsGivenUpWithItsClient: nothing was promised to a client that has reset its
// connection.
func TestWorkIsGivenUpWithItsClient(t *testing.T) {
	d := newHeld()
	c := posts(t, listening(t, New(Config{Starter: d, Board: observed(ltp.Stable)})))
	<-d.came
	require.NoError(t, c.SetLinger(0))
	require.NoError(t, c.Close())
	<-d.gone
	assert.Zero(t, d.starts())
}

// late is a desk whose orders are durable and not in line.
type late struct{ *desk }

func (d late) Submit(ctx context.Context, o ltp.Order) (starter.Submission, error) {
	sub, err := d.desk.Submit(ctx, o)
	sub.NotInLine = true
	return sub, err
}

// TestOrderThatIsNotInLineYetIsPromised, and the answer says what it is not.
func TestOrderThatIsNotInLineYetIsPromised(t *testing.T) {
	got := ask(t, New(Config{Starter: late{newDesk()}, Board: observed(ltp.Stable)}), request("POST", "/orders", ordertest.JSON("A1")))
	got.wants(t, 202, nil)
	assert.Contains(t, got.text, "not yet in line")
}

// TestHotOrderingKeySlowsItsOwnOrdersAlone: of a key that everybody orders under, a few are accepted at
// once and some wait, in no room of others. What is over that is refused before anything is
// started.
func TestHotOrderingKeySlowsItsOwnOrdersAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newHeld()
		h := New(Config{Starter: d, Board: observed(ltp.Stable)})
		of := func(id, key string) *http.Request {
			return request("POST", "/orders", strings.Replace(ordertest.JSON(id), "{", `{"ordering_key":"`+key+`",`, 1), "Prefer", "respond-async")
		}
		const hot = 300
		var done sync.WaitGroup
		codes := make(chan int, hot)
		for i := range hot {
			done.Go(func() { codes <- ask(t, h, of(fmt.Sprint("H", i), "hot")).StatusCode })
		}
		synctest.Wait()
		assert.Len(t, d.came, keyAtOnce)
		assert.Len(t, codes, hot-keyAtOnce-keyQueue, "refused at once")
		got := ask(t, h, of("H", "hot"))
		got.wants(t, http.StatusTooManyRequests, tooManyRequests)
		assert.Equal(t, "/ordering_key", got.Field)
		assert.NotEmpty(t, got.Header.Get("Retry-After"))

		for i := range intakeAtOnce - keyAtOnce {
			done.Go(func() {
				assert.Equal(t, http.StatusAccepted, ask(t, h, of(fmt.Sprint("C", i), fmt.Sprint("cold-", i))).StatusCode)
			})
		}
		synctest.Wait()
		assert.Len(t, d.came, intakeAtOnce, "others have all the room that is left")

		time.Sleep(queueTime)
		synctest.Wait()
		assert.Len(t, codes, hot-keyAtOnce, "who waited for a second")
		for range hot - keyAtOnce {
			assert.Equal(t, http.StatusTooManyRequests, <-codes)
		}
		close(d.letGo)
		done.Wait()
		for range keyAtOnce {
			assert.Equal(t, http.StatusAccepted, <-codes)
		}
	})
}

// TestUnknownParametersAreRefused: a list that ignores one shows everybody's orders.
func TestUnknownParametersAreRefused(t *testing.T) {
	for _, query := range []string{"customer_id=c-17", "limit=5", "foo=1", "State=DEFERRED", "state=DEFERRED&state=PARKED", "page_size=5&page_size=5"} {
		got := ask(t, handler(newDesk()), request("GET", "/orders?"+query, ""))
		got.wants(t, 400, invalidRequest)
		assert.NotEmpty(t, got.Field)
	}
}

// slowLists is a desk at which a listing takes a second.
type slowLists struct{ *desk }

func (d slowLists) List(ctx context.Context, f starter.Filter) (starter.Page, error) {
	time.Sleep(time.Second)
	return d.desk.List(ctx, f)
}

// TestListingsLeaveRoomForOrders: however many ask, Temporal is free of listings for most of
// the time.
func TestListingsLeaveRoomForOrders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Config{Starter: slowLists{newDesk()}, Board: observed(ltp.Stable)})
		begun := time.Now()
		var listed int
		for time.Since(begun) < time.Minute {
			if ask(t, h, request("GET", "/orders", "")).StatusCode == 200 {
				listed++
			}
		}
		assert.InDelta(t, 60/(1+listsRest), listed, 1)
		time.Sleep(time.Minute)
	})
}
