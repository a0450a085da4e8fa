package api

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/starter"
)

var quiet = slog.New(slog.DiscardHandler)

func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := Listen("localhost:0", Access{}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln
}

// post sends an order over the network.
func post(ln net.Listener, prefer string) (code int, body string, err error) {
	r, err := http.NewRequest("POST", fmt.Sprintf("http://%s/orders", ln.Addr()), strings.NewReader(ordertest.JSON("A2")))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Prefer", prefer)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(response.Body)
	return response.StatusCode, string(data), err
}

func TestTakenPortIsAnErrorThatSaysWhatToDo(t *testing.T) {
	addr := listen(t).Addr().String()
	_, err := Listen(addr, Access{}, quiet)
	if err == nil || !strings.Contains(err.Error(), addr+" is taken by another process: stop that one, or choose another address") {
		t.Errorf("said %v", err)
	}
	if _, err := Listen("localhost:http:80", Access{}, quiet); err == nil || !strings.Contains(err.Error(), "give an address such as localhost:8080") {
		t.Errorf("said %v", err)
	}
}

// entered is a desk that signals when somebody waits for an order.
type entered struct {
	*desk
	waits chan struct{}
}

func (e entered) Await(ctx context.Context, sub starter.Submission) (starter.Status, error) {
	e.waits <- struct{}{}
	return e.desk.Await(ctx, sub)
}

func TestServerThatStopsAnswersWhatWaits(t *testing.T) {
	ln := listen(t)
	d := entered{newDesk(), make(chan struct{})}
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error)
	go func() { stopped <- Serve(ctx, ln, New(Config{Starter: d, Board: observed(ltp.Stable)}), quiet) }()
	type answered struct {
		code int
		body string
		err  error
	}
	answers := make(chan answered)
	go func() {
		code, body, err := post(ln, "wait=30")
		answers <- answered{code, body, err}
	}()
	<-d.waits
	begun := time.Now()
	stop()
	if a := <-answers; a.err != nil || a.code != 202 || !strings.Contains(a.body, ltp.MessagePending) {
		t.Errorf("answered %+v", a)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("stopping took %s", took)
	}
	if _, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		t.Error("still listens")
	}
}

func TestServerThatCannotServeSaysSo(t *testing.T) {
	ln := listen(t)
	_ = ln.Close()
	if err := Serve(t.Context(), ln, http.NotFoundHandler(), quiet); err == nil || !strings.Contains(err.Error(), ln.Addr().String()) {
		t.Errorf("said %v", err)
	}
}

func TestClientMayWaitLongerThanItMayTakeToSend(t *testing.T) {
	d := newDesk()
	d.settle, d.after = starter.Status{State: ltp.Executed}, 400*time.Millisecond
	ln := listen(t)
	srv := newServer(t.Context(), New(Config{Starter: d, Board: observed(ltp.Stable)}), quiet)
	srv.ReadTimeout = 100 * time.Millisecond
	go func() { _ = srv.Serve(ln) }()
	t.Cleanup(func() { _ = srv.Close() })
	if code, body, err := post(ln, "wait=20"); code != 201 {
		t.Errorf("answered %d %s %v", code, body, err)
	}
}

func TestBodyThatDoesNotArriveInTimeIsAProblem(t *testing.T) {
	d := newDesk()
	ln := listen(t)
	srv := newServer(t.Context(), New(Config{Starter: d, Board: observed(ltp.Stable)}), quiet)
	srv.ReadTimeout = 100 * time.Millisecond
	go func() { _ = srv.Serve(ln) }()
	t.Cleanup(func() { _ = srv.Close() })
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, "POST /orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n{")
	answer, _ := io.ReadAll(c)
	if !strings.HasPrefix(string(answer), "HTTP/1.1 408 ") || !strings.Contains(string(answer), requestTimeout.path()) {
		t.Errorf("answered %s", answer)
	}
	if d.starts() != 0 {
		t.Error("the order was accepted")
	}
}
