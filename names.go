package ltp

import (
	"fmt"
	"strings"
)

// DefaultComponent is what an order depends on when it names nothing else.
const DefaultComponent = "orders-db"

// The task queues. Orientation and Replay have one of their own, so that a burst
// of orders never delays the news that a component is unfit.
const (
	OrderQueue   = "ltp-orders"
	ControlQueue = "ltp-control"
	// WebhookQueue is that of deliveries, whose endpoints may be slow.
	WebhookQueue = "ltp-webhooks"
)

// ObserveQueue is where the observers of a component wait for the one Observe
// activity; whoever takes it is the active observer.
func ObserveQueue(component string) string { return "ltp-observe-" + component }

// The workflow types.
const (
	OrderWorkflow       = "Order"
	OrientationWorkflow = "Orientation"
	ReplayWorkflow      = "Replay"
	SequenceWorkflow    = "Sequence"
	DeliveryWorkflow    = "Delivery"
)

// OrderWorkflowID is the workflow ID of an order.
func OrderWorkflowID(orderID string) string { return "order/" + orderID }

// OrderID is the order whose workflow ID is given, and false when it is not the
// ID of an order's workflow.
func OrderID(workflowID string) (string, bool) { return strings.CutPrefix(workflowID, "order/") }

// OrientationWorkflowID is the workflow ID of a component's orientation.
func OrientationWorkflowID(component string) string { return "orientation/" + component }

// ReplayWorkflowID is the workflow ID of the replay of one recovery.
func ReplayWorkflowID(component string, epoch int64) string {
	return fmt.Sprintf("replay/%s/%d", component, epoch)
}

// SequenceWorkflowID is the workflow ID of the line in which the orders of one ordering
// key stand.
func SequenceWorkflowID(key string) string { return "sequence/" + key }

// DeliveryWorkflowID is the workflow ID of the Delivery of an order's webhooks.
func DeliveryWorkflowID(orderID string) string { return "delivery/" + orderID }

// DeliveryOrderID is the order of a Delivery, and false when the ID is of none.
func DeliveryOrderID(workflowID string) (string, bool) {
	return strings.CutPrefix(workflowID, "delivery/")
}

// The signals and updates, by their Temporal names.
const (
	StabilityUpdate     = "stability"   // to an Order that waits: a Stability; answered by an Answer
	StabilitySignal     = "stability"   // to an Order that waits: a Stability, without an answer
	ObservationSignal   = "observation" // to an Orientation: an observer's Observation
	DrainedSignal       = "drained"     // to an Orientation: the epoch whose backlog is drained
	FailingSignal       = "failing"     // to an Orientation: a worker's FailedWrites
	BacklogSignal       = "backlog"     // to an Orientation: a worker's Backlog
	HoldUpdate          = "hold"        // to an Orientation: an operator's Hold
	ReleaseUpdate       = "release"     // to an Orientation: an operator's Release
	ReplayControlUpdate = "steer"       // to an Orientation: a ReplayControlChange
	PolicyUpdate        = "policy"      // to an Orientation: an operator's PolicyChange
	ExpediteSignal      = "expedite"    // to an Order: be released before all others
	InstructionSignal   = "instruction" // to an Order that is parked: an operator's Instruction
	AnnouncedSignal     = "announced"   // to a Delivery: the number of an order's Announcement
	RedeliverSignal     = "redeliver"   // to a Delivery: an operator's Redelivery
	PassSignal          = "pass"        // to an Order that waits for a component that is held: an operator's Pass
)

// The search attributes of orders. All have their customer, and their tenant where it is not
// the default one; the others are set when an
// order is deferred and when it ends otherwise than EXECUTED. They are an index for people
// and sweeps: history holds the truth.
const (
	StateAttribute     = "LtpState"     // Keyword: DEFERRED, PARKED, REJECTED, EXPIRED
	ComponentAttribute = "LtpComponent" // Keyword: the component that it waits for
	EpochAttribute     = "LtpEpoch"     // Int: the epoch that it was deferred under
	ReasonAttribute    = "LtpReason"    // Keyword: why
	CustomerAttribute  = "LtpCustomer"  // Keyword: its CustomerKey
	TenantAttribute    = "LtpTenant"    // Keyword: its tenant
	PriorityAttribute  = "LtpPriority"  // Int: its class where that is not DefaultPriority; 0 is expedited
)

// The memo fields.
const (
	OrientationMemo   = "orientation" // of an Orientation: the Orientation in force
	ReplayControlMemo = "steering"    // of an Orientation: the ReplayControl in force; histories have the older word
	PolicyMemo        = "policy"      // of an Orientation: the Policy in force
	ContentMemo       = "content"     // of an Order: Order.ContentHash, to tell a repeat from a conflict
	ExecutionMemo     = "execution"   // of an Order: the activity of the user's that executes it; missing without one
	ParkedMemo        = "parked"      // of an Order: the Parking in force, or the last one
)
