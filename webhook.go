package ltp

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// WebhookEvent is what a webhook says of an order.
type WebhookEvent string

// The events of orders.
const (
	OrderDeferred  WebhookEvent = "order.deferred"
	OrderParked    WebhookEvent = "order.parked"
	OrderConfirmed WebhookEvent = "order.confirmed"
	OrderRejected  WebhookEvent = "order.rejected"
	OrderCancelled WebhookEvent = "order.cancelled"
	OrderExpired   WebhookEvent = "order.expired"
)

// WebhookTest is the event of a message that somebody sends to try an endpoint. It is of no
// order.
const WebhookTest WebhookEvent = "webhook.test"

// WebhookEvents are all events of orders.
func WebhookEvents() []WebhookEvent {
	return []WebhookEvent{OrderDeferred, OrderParked, OrderConfirmed, OrderRejected, OrderCancelled, OrderExpired}
}

// WebhookEventOf is the event of an order that is in a state now, and empty where webhooks
// tell nothing of that state.
func WebhookEventOf(s OrderState) WebhookEvent {
	switch s {
	case Deferred:
		return OrderDeferred
	case Parked:
		return OrderParked
	case Executed:
		return OrderConfirmed
	case Rejected:
		return OrderRejected
	case Cancelled:
		return OrderCancelled
	case Expired:
		return OrderExpired
	}
	return ""
}

// Final reports whether the event is the last of an order.
func (e WebhookEvent) Final() bool { return e != OrderDeferred && e != OrderParked }

// Announcing is how far an order has come with its announcements.
type Announcing struct {
	// Count is how many announcements were made, and State the state that the last one had.
	Count int        `json:"count,omitempty"`
	State OrderState `json:"state,omitempty"`
}

// announces is the announcement of a state that an order has come to, and nil where
// webhooks do not receive it: they had that state last, or the order merely awaits
// its turn, which takes a moment for an order that nobody stands before.
func (a Announcing) announces(orderID string, s OrderState, w Wait) *Announcement {
	event := WebhookEventOf(s)
	if event == "" || s == a.State || w.Reason == ReasonAwaitsTurn {
		return nil
	}
	return &Announcement{OrderID: orderID, N: a.Count + 1, Event: event, Wait: w}
}

// Announcement is one event of an order that its webhooks are to receive. It is recorded
// in the history of the order: the Delivery reads it there, and sends nothing else.
type Announcement struct {
	OrderID string `json:"order_id"`
	// N counts the announcements of an order, from 1.
	N     int          `json:"n"`
	Event WebhookEvent `json:"event"`
	// Wait is what an order waits for that has not ended.
	Wait Wait `json:"wait,omitzero"`
	// Missed says that the Delivery could not be reached: the next announcement of the order
	// hands this one over, too.
	Missed bool `json:"missed,omitempty"`
}

// Message is one announcement as endpoints receive it.
type Message struct {
	N int `json:"n"`
	// ID is the webhook-id: the same each time that the message is sent.
	ID    string       `json:"id"`
	Event WebhookEvent `json:"event"`
	Body  []byte       `json:"body"`
}

// DeliveryInput is the argument of the Delivery of an order's messages.
type DeliveryInput struct {
	OrderID string `json:"order_id"`
}

// AnnouncementsInput asks for the messages of an order's announcements. From and To are
// their numbers; 0 is the first, and the last that there is.
type AnnouncementsInput struct {
	OrderID string `json:"order_id"`
	From    int    `json:"from,omitempty"`
	To      int    `json:"to,omitempty"`
	// Waited is for how long it has been asked in vain: see UnknownFor.
	Waited time.Duration `json:"waited,omitempty"`
}

// Addressed is a message and the names of the endpoints that it is for.
type Addressed struct {
	Message   Message  `json:"message"`
	Endpoints []string `json:"endpoints"`
}

// Announcements answers an AnnouncementsInput.
type Announcements struct {
	// Read is the number of the last announcement that is recorded.
	Read     int         `json:"read"`
	Messages []Addressed `json:"messages,omitempty"`
	// Gone says that Temporal has no such order, or not any more.
	Gone bool `json:"gone,omitempty"`
}

// SendInput asks for a message to be sent to an endpoint.
type SendInput struct {
	OrderID  string  `json:"order_id"`
	Endpoint string  `json:"endpoint"`
	Message  Message `json:"message"`
	// Until is when it is given up.
	Until time.Time `json:"until"`
}

// Sent is what became of a message. Status is that of the last answer, 0 where there was
// none. GivenUp says why it is not sent any more; empty is that it was delivered.
type Sent struct {
	Status  int    `json:"status,omitempty"`
	GivenUp string `json:"given_up,omitempty"`
	// Gone says that the endpoint wants no more messages of this order.
	Gone bool `json:"gone,omitempty"`
}

// GiveUpInput gives up the announcements of an order from a number to another, which could not
// be read; both are 0 where nobody knows how many they are.
type GiveUpInput struct {
	OrderID string `json:"order_id"`
	From    int    `json:"from,omitempty"`
	To      int    `json:"to,omitempty"`
	Why     string `json:"why"`
}

// DeliveryItem is one message for one endpoint; or for all, with no endpoint, where the
// announcement could not be read. N is 0 where it is unknown which those are.
type DeliveryItem struct {
	Endpoint string       `json:"endpoint"`
	N        int          `json:"n"`
	Event    WebhookEvent `json:"event,omitempty"`
	// Why is why it was given up.
	Why string `json:"why,omitempty"`
}

// Same reports whether two are of the same message and endpoint.
func (i DeliveryItem) Same(other DeliveryItem) bool {
	return i.Endpoint == other.Endpoint && i.N == other.N
}

// Supersedes reports whether what became of i is the latest of what another one is of.
func (i DeliveryItem) Supersedes(other DeliveryItem) bool {
	return i.Same(other) || other.Endpoint == "" && (other.N == i.N || other.N == 0)
}

// DeliveryReport is what became of the messages of an order in one run of its Delivery.
type DeliveryReport struct {
	Delivered []DeliveryItem `json:"delivered,omitempty"`
	GivenUp   []DeliveryItem `json:"given_up,omitempty"`
}

// Undelivered is the type of the application error with which a Delivery ends that gave
// messages up. Its detail is the DeliveryReport, as it is of one that was cancelled.
const Undelivered = "Undelivered"

// AttemptID is the ID of the activity that sends a message to an endpoint: what waits is found
// by it, without reading a payload.
func AttemptID(endpoint string, m Message) string {
	return fmt.Sprintf("%s/%s/%d", endpoint, m.Event, m.N)
}

// ReadAttemptID is the endpoint and the event of an AttemptID.
func ReadAttemptID(id string) (endpoint string, e WebhookEvent) {
	endpoint, rest, _ := strings.Cut(id, "/")
	event, _, _ := strings.Cut(rest, "/")
	return endpoint, WebhookEvent(event)
}

// Redelivery asks a Delivery to send again. What waits for its next attempt is sent at once.
type Redelivery struct {
	// All is every message of the order, delivered or not; Items are single ones.
	All   bool           `json:"all,omitempty"`
	Items []DeliveryItem `json:"items,omitempty"`
	// Undelivered is all that this Delivery has not delivered, and none before it, as Delivered
	// says: also what was announced without a call.
	Undelivered bool           `json:"undelivered,omitempty"`
	Delivered   []DeliveryItem `json:"delivered,omitempty"`
}

// Asks reports whether a message is to be sent to an endpoint again, of which this Delivery
// has delivered some.
func (r Redelivery) Asks(item DeliveryItem, delivered []DeliveryItem) bool {
	switch {
	case r.All:
		return true
	case r.Undelivered:
		return !slices.ContainsFunc(r.Delivered, item.Same) && !slices.ContainsFunc(delivered, item.Same)
	}
	return slices.ContainsFunc(r.Items, item.Same)
}

// Bounds of deliveries.
const (
	// DeliverFor is how long a message is tried to be delivered to an endpoint.
	DeliverFor = 72 * time.Hour
	// UnknownFor is for how long an endpoint may be unknown before a message is given up: the
	// file of one worker may come later than that of another.
	UnknownFor = 10 * time.Minute
	// lastUnsent bounds the wait after an attempt that did not come to send.
	lastUnsent = 45 * time.Second
	// firstRedeliver and lastRedeliver bound the wait before the next attempt, which doubles.
	firstRedeliver, lastRedeliver = time.Second, 10 * time.Minute
	// MaxRetryAfter is how long an endpoint can ask to be left alone.
	MaxRetryAfter = 24 * time.Hour
)

// RetryDelivery is how long to wait after so many attempts that failed, 1 or more. asked is
// for how long the endpoint has asked to be left alone; 0 is not. Part, from 0 to 1, is
// drawn by lot, so that messages that failed together do not come together again.
func RetryDelivery(attempts int, asked time.Duration, part float64) time.Duration {
	d := Doubled(firstRedeliver, lastRedeliver, attempts-1)
	d -= time.Duration(part * float64(d) / 4)
	return max(d, min(asked, MaxRetryAfter))
}

// RetryUnsent is how long to wait after so many attempts, 1 or more, that did not come to send
// anything. Part is as in RetryDelivery, and takes up to half.
func RetryUnsent(attempts int, part float64) time.Duration {
	d := Doubled(firstRedeliver, lastUnsent, attempts-1)
	return d - time.Duration(part*float64(d)/2)
}

// WebhookBody is the body of a message. Data is JSON.
type WebhookBody struct {
	Type      WebhookEvent    `json:"type"`
	Timestamp time.Time       `json:"timestamp"` // of the event
	Data      json.RawMessage `json:"data"`
}
