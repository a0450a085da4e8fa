package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ltp-node/ltp"
)

// phase names a part of the demo, as in the report.
type phase string

const (
	phaseStable     phase = "stable"
	phaseOutage     phase = "outage"
	phaseRecovery   phase = "recovery"
	phaseResolution phase = "resolution"
)

// answer is what one client saw.
type answer struct {
	orderID string
	phase   phase
	at      time.Time
	accept  time.Duration // until the promise was durable, as the API says
	took    time.Duration
	status  int
	message string
	err     error
}

func (a answer) accepted() bool {
	return a.status == http.StatusAccepted || a.status == http.StatusCreated
}

// clients submit orders through the order API, each order by a client of its own.
type clients struct {
	url   string
	http  *http.Client
	run   string
	plain *Plain // gets the same orders; nil for none

	mu      sync.Mutex
	sent    int
	answers []answer
	wg      sync.WaitGroup
}

func newClients(url, run string, plain *Plain) *clients {
	return &clients{url: url, run: run, plain: plain, http: &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: 512, MaxIdleConns: 512},
		Timeout:   30 * time.Second,
	}}
}

// arrive submits n orders evenly over d, and returns when the last was submitted,
// whether or not it has been answered.
func (c *clients) arrive(ctx context.Context, p phase, n int, d time.Duration) error {
	begun := time.Now()
	for i := range n {
		if err := sleepUntil(ctx, begun.Add(d*time.Duration(i)/time.Duration(n))); err != nil {
			return err
		}
		c.mu.Lock()
		c.sent++
		number := c.sent
		c.mu.Unlock()
		o := c.order(number)
		c.wg.Go(func() { c.submit(p, o) })
		if c.plain != nil {
			c.plain.submit(ctx, o, p == phaseStable || p == phaseOutage)
		}
	}
	return sleepUntil(ctx, begun.Add(d))
}

func (c *clients) order(number int) ltp.Order {
	return ltp.Order{
		ID:       fmt.Sprintf("%s-%05d", c.run, number),
		Customer: fmt.Sprintf("customer-%d", number%97),
		Currency: "USD",
		Lines:    []ltp.Line{{SKU: "book", Quantity: int64(1 + number%3), UnitAmountMinor: int64(1000 + number%50*100)}},
	}
}

func (c *clients) submit(p phase, o ltp.Order) {
	a := answer{orderID: o.ID, phase: p, at: time.Now()}
	a.status, a.message, a.accept, a.err = c.post(o)
	a.took = time.Since(a.at)
	c.mu.Lock()
	c.answers = append(c.answers, a)
	c.mu.Unlock()
}

func (c *clients) post(o ltp.Order) (status int, message string, accept time.Duration, err error) {
	body, err := json.Marshal(o)
	if err != nil {
		return 0, "", 0, err
	}
	r, err := c.http.Post(c.url+"/orders", "application/json", bytes.NewReader(body))
	if err != nil {
		return 0, "", 0, err
	}
	defer r.Body.Close()
	content, err := io.ReadAll(r.Body)
	if err != nil {
		return r.StatusCode, "", 0, err
	}
	var said struct{ Message, Detail string }
	if err := json.Unmarshal(content, &said); err != nil {
		return r.StatusCode, "", 0, err
	}
	return r.StatusCode, said.Message + said.Detail, serverTiming(r.Header.Get("Server-Timing"), "accept"), nil
}

// serverTiming is the duration of a metric in a Server-Timing header.
func serverTiming(header, metric string) time.Duration {
	for entry := range strings.SplitSeq(header, ",") {
		name, parameters, _ := strings.Cut(strings.TrimSpace(entry), ";")
		if name != metric {
			continue
		}
		for parameter := range strings.SplitSeq(parameters, ";") {
			if value, ok := strings.CutPrefix(strings.TrimSpace(parameter), "dur="); ok {
				if ms, err := strconv.ParseFloat(value, 64); err == nil {
					return time.Duration(ms * float64(time.Millisecond))
				}
			}
		}
	}
	return 0
}

// tally is what the clients saw so far.
type tally struct{ sent, accepted, errors int }

func (c *clients) tally() tally {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := tally{sent: c.sent}
	for _, a := range c.answers {
		if a.accepted() {
			t.accepted++
		} else {
			t.errors++
		}
	}
	return t
}

// wait returns every answer, when all have come.
func (c *clients) wait() []answer {
	c.wg.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.answers
}

func sleepUntil(ctx context.Context, t time.Time) error {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
