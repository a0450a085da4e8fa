package webhook

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
	"github.com/ltp-node/ltp/starter"
)

// Announced is what of a [starter.Starter] reads announcements.
type Announced interface {
	Announced(ctx context.Context, orderID string, from int) ([]starter.Announced, int, error)
}

// Recorded makes messages of what orders have announced. Messages of the same announcement
// are the same, letter for letter.
type Recorded struct{ Orders Announced }

var _ activities.Recorded = Recorded{}

// Messages implements [activities.Recorded].
func (r Recorded) Messages(ctx context.Context, orderID string, from, _ int) (all []ltp.Message, read int, err error) {
	announced, read, err := r.Orders.Announced(ctx, orderID, from)
	if err != nil {
		return nil, 0, err
	}
	for _, a := range announced {
		m, err := messageOf(orderID, a)
		if err != nil {
			return nil, 0, err
		}
		all = append(all, m)
	}
	return all, read, nil
}

// Gone implements [activities.Recorded].
func (Recorded) Gone(err error) bool { return errors.Is(err, starter.ErrNotFound) }

// messageOf is the message of an announcement. Its ID is a hash, since that of the order may
// be given again once Temporal has forgotten it.
func messageOf(orderID string, a starter.Announced) (ltp.Message, error) {
	st := a.Status
	_, st.OrderID = ltp.SplitID(orderID)
	body, err := bodyOf(a.Event, a.At, starter.CustomerView(st))
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%d", orderID, a.Run, a.N))
	return ltp.Message{N: a.N, ID: "msg_" + hex.EncodeToString(sum[:16]), Event: a.Event, Body: body}, err
}

func bodyOf(event ltp.WebhookEvent, at time.Time, data any) ([]byte, error) {
	said, err := encoded(data)
	if err != nil {
		return nil, err
	}
	return encoded(ltp.WebhookBody{Type: event, Timestamp: at.UTC().Truncate(time.Millisecond), Data: said})
}

// encoded is JSON in which HTML stands as it is.
func encoded(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// TestMessage is a message by which somebody tries an endpoint.
func TestMessage(endpoint string, now time.Time) (ltp.Message, error) {
	body, err := bodyOf(ltp.WebhookTest, now, map[string]string{"endpoint": endpoint})
	return ltp.Message{ID: "msg_test_" + strings.ToLower(rand.Text()), Event: ltp.WebhookTest, Body: body}, err
}
