package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
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

// streamed is the answer to a request for a stream.
func streamed(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

var eventLines = regexp.MustCompile(`id: ([0-9a-f]{16})\nevent: order\ndata: (\{[^\n]*\})\n\n`)

func TestOrderIsFollowedToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk()
		d.put("A2", starter.Status{State: ltp.Deferred, Decision: ltp.Defer, Reason: ltp.ReasonUnstable})
		time.AfterFunc(3*time.Second, func() { d.put("A2", starter.Status{State: ltp.Executed, Decision: ltp.Execute}) })
		h := handler(d)
		begun := time.Now()
		w := streamed(h, request("GET", "/orders/A2/events", ""))
		assert.Equal(t, 200, w.Code)
		assert.Equal(t, "text/event-stream", w.Header().Get("Content-Type"))
		assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
		assert.Less(t, time.Since(begun), streamBeat)
		assert.True(t, w.Flushed)
		body := w.Body.String()
		assert.True(t, strings.HasPrefix(body, "retry: 2000\n\n"))
		events := eventLines.FindAllStringSubmatch(body, -1)
		require.Len(t, events, 2, body)
		assert.Contains(t, events[0][2], `"state":"DEFERRED"`)
		assert.Contains(t, events[1][2], `"state":"EXECUTED"`)
		assert.Equal(t, len(body), len("retry: 2000\n\n")+len(events[0][0])+len(events[1][0]), "nothing else")

		again := streamed(h, request("GET", "/orders/A2/events", "", "Last-Event-ID", events[0][1]))
		assert.Equal(t, [][]string{events[1]}, eventLines.FindAllStringSubmatch(again.Body.String(), -1))
		over := streamed(h, request("GET", "/orders/A2/events", "", "Last-Event-ID", events[1][1]))
		assert.Equal(t, http.StatusNoContent, over.Code, "a browser stops to ask")
	})
}

func TestStreamThatHasNothingToSaySaysThatItIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk()
		d.put("A2", starter.Status{State: ltp.Deferred})
		begun := time.Now()
		w := streamed(handler(d), request("GET", "/orders/A2/events", ""))
		assert.Equal(t, streamTime, time.Since(begun).Round(time.Second), "then the client connects anew")
		assert.InDelta(t, int(streamTime/streamBeat), strings.Count(w.Body.String(), ":\n\n"), 1)
		assert.Len(t, eventLines.FindAllString(w.Body.String(), -1), 1)
	})
}

// TestStreamsCostNobodyElseAnything: what is over their bound comes again later, and one
// whose client goes makes room.
func TestStreamsCostNobodyElseAnything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk()
		d.put("A2", starter.Status{State: ltp.Deferred})
		h := handler(d)
		empty := fullHouse(t, h, "/orders/A2/events")
		got := ask(t, h, request("GET", "/orders/A2/events", ""))
		got.wants(t, http.StatusTooManyRequests, tooManyRequests)
		assert.NotEmpty(t, got.Header.Get("Retry-After"))
		ask(t, h, request("GET", "/orders/A2", "")).wants(t, 200, nil)
		ask(t, h, request("POST", "/orders", ordertest.JSON("A3"), "Prefer", "respond-async")).wants(t, 202, nil)
		empty()
		d.put("A2", starter.Status{State: ltp.Executed})
		assert.Equal(t, 200, streamed(h, request("GET", "/orders/A2/events", "")).Code)
	})
}

func TestOrderThatCannotBeFollowedIsAProblem(t *testing.T) {
	d := newDesk()
	ask(t, handler(d), request("GET", "/orders/A9/events", "")).wants(t, 404, orderNotFound)
	ask(t, handler(d), request("GET", "/orders/-/events", "")).wants(t, 400, invalidRequest)
	d.err = fmt.Errorf("%w: %w", starter.ErrUnreachable, errors.New("away"))
	ask(t, handler(d), request("GET", "/orders/A2/events", "")).wants(t, 503, unreachable)
}

// TestLookUpWaitsForAChange, for as long as the client prefers, and not for one that cannot
// come.
func TestLookUpWaitsForAChange(t *testing.T) {
	for name, c := range map[string]struct {
		prefer string
		before ltp.OrderState
		waits  time.Duration
		state  ltp.OrderState
	}{
		"not asked to":   {"", ltp.Deferred, 0, ltp.Deferred},
		"it changes":     {"wait=10", ltp.Deferred, 3 * time.Second, ltp.Executed},
		"it does not":    {"wait=2", ltp.Deferred, 2 * time.Second, ltp.Deferred},
		"it has ended":   {"wait=10", ltp.Cancelled, 0, ltp.Cancelled},
		"nothing to ask": {"respond-async", ltp.Deferred, 0, ltp.Deferred},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk()
				d.put("A2", starter.Status{State: c.before})
				if c.before == ltp.Deferred {
					time.AfterFunc(3*time.Second, func() { d.put("A2", starter.Status{State: ltp.Executed}) })
				}
				var headers []string
				if c.prefer != "" {
					headers = []string{"Prefer", c.prefer}
				}
				begun := time.Now()
				got := ask(t, handler(d), request("GET", "/orders/A2", "", headers...))
				got.wants(t, 200, nil)
				assert.Equal(t, c.waits, time.Since(begun).Round(100*time.Millisecond))
				assert.Equal(t, c.state, got.status.State)
				assert.Equal(t, c.prefer, got.Header.Get("Preference-Applied"))
				time.Sleep(3 * time.Second)
			})
		})
	}
}

// TestHeadersOfAStreamAreNoStream: whoever asks for them alone waits for no order.
func TestHeadersOfAStreamAreNoStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk()
		d.put("A2", starter.Status{State: ltp.Deferred})
		begun := time.Now()
		w := streamed(handler(d), request("HEAD", "/orders/A2/events", ""))
		assert.Equal(t, 200, w.Code)
		assert.Equal(t, "text/event-stream", w.Header().Get("Content-Type"))
		assert.Zero(t, time.Since(begun))
	})
}

// fullHouse has as many follow an order as may, one after the other, since many look-ups at
// once would find no room either. empty has them go, and returns when they have.
func fullHouse(t *testing.T, h http.Handler, path string, header ...string) (empty func()) {
	t.Helper()
	ctx, gone := context.WithCancel(t.Context())
	var done sync.WaitGroup
	for range followersAtOnce {
		done.Go(func() { streamed(h, request("GET", path, "", header...).WithContext(ctx)) })
		synctest.Wait()
	}
	return func() { gone(); done.Wait() }
}

// TestLookUpThatFindsNoRoomToWaitSaysSo, by naming no preference that was applied.
func TestLookUpThatFindsNoRoomToWaitSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk()
		d.put("A2", starter.Status{State: ltp.Deferred})
		h := handler(d)
		empty := fullHouse(t, h, "/orders/A2", "Prefer", "wait=30")
		begun := time.Now()
		got := ask(t, h, request("GET", "/orders/A2", "", "Prefer", "wait=10"))
		got.wants(t, 200, nil)
		assert.Zero(t, time.Since(begun))
		assert.Empty(t, got.Header.Get("Preference-Applied"))
		posted := ask(t, h, request("POST", "/orders", ordertest.JSON("A3"), "Prefer", "wait=2"))
		posted.wants(t, 202, nil)
		assert.Equal(t, 2*time.Second, time.Since(begun), "whose orders are new wait as they like")
		empty()
	})
}

// TestStreamEndsWithItsClient: one that closes its connection makes room at once.
func TestStreamEndsWithItsClient(t *testing.T) {
	d := newDesk()
	d.put("A2", starter.Status{State: ltp.Deferred})
	h := handler(d)
	over := make(chan struct{})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Serve(ctx, ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(w, r)
			close(over)
		}), slog.New(slog.DiscardHandler))
	}()
	t.Cleanup(func() {
		stop()
		assert.NoError(t, <-ended)
	})
	c, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	_, err = fmt.Fprintf(c, "GET /orders/A2/events HTTP/1.1\r\nHost: ltp\r\n\r\n")
	require.NoError(t, err)
	_, err = c.Read(make([]byte, 1))
	require.NoError(t, err)
	require.NoError(t, c.Close())
	<-over
}

// TestEventsTellThePlaceInTheBacklog, again when it has changed, and under the same id.
func TestEventsTellThePlaceInTheBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk()
		d.put("A2", starter.Status{State: ltp.Deferred})
		d.place = &ltp.Place{Ahead: 312}
		moves := func(to *ltp.Place) func() {
			return func() { d.mu.Lock(); defer d.mu.Unlock(); d.place = to }
		}
		time.AfterFunc(streamBeat/2, moves(&ltp.Place{Ahead: 40, ExpectedAt: acceptedAt}))
		time.AfterFunc(2*streamBeat+streamBeat/2, moves(nil))
		time.AfterFunc(4*streamBeat+streamBeat/2, func() { d.put("A2", starter.Status{State: ltp.Executed}) })
		got := ask(t, handler(d), request("GET", "/orders/A2/events", ""))
		got.wants(t, 200, nil)
		var sent, ids []string
		for line := range strings.Lines(got.text) {
			if data, ok := strings.CutPrefix(line, "data: "); ok {
				var st starter.Status
				require.NoError(t, json.Unmarshal([]byte(data), &st))
				sent = append(sent, fmt.Sprintf("%s %v", st.State, st.Backlog))
			}
			if id, ok := strings.CutPrefix(line, "id: "); ok {
				ids = append(ids, id)
			}
		}
		assert.Equal(t, []string{
			fmt.Sprintf("DEFERRED %v", &ltp.Place{Ahead: 312}), fmt.Sprintf("DEFERRED %v", &ltp.Place{Ahead: 40, ExpectedAt: acceptedAt}), "EXECUTED <nil>",
		}, sent)
		assert.Equal(t, ids[0], ids[1])
		assert.NotEqual(t, ids[1], ids[2])
		assert.Equal(t, 3, strings.Count(got.text, "\n:\n"), "beats at which nothing has changed")
	})
}
