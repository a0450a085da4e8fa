package trace_test

import (
	"context"
	"fmt"
	"os"

	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp/payload"
	"github.com/ltp-node/ltp/trace"
)

// The latest outage of a component, as ltp inspect shows it.
func Example() {
	ctx := context.Background()
	var options client.Options
	payload.Connect(&options, nil) // or with the keys that payloads are encrypted with
	c, err := client.Dial(options)
	if err != nil {
		panic(err)
	}
	defer c.Close()

	reader := trace.NewReader(c, client.DefaultNamespace)
	orientation, err := reader.Orientation(ctx, "orders-db")
	if err != nil {
		panic(err)
	}
	incident, ok := trace.Latest(trace.Incidents(orientation))
	if !ok {
		fmt.Println("nothing has happened yet")
		return
	}
	orders, err := reader.Orders(ctx, incident.Window())
	if err != nil {
		panic(err)
	}
	timeline := trace.NewTimeline(orientation, incident, orders, incident.Window())
	if err := trace.WriteTimeline(os.Stdout, timeline, trace.Options{Width: 80}); err != nil {
		panic(err)
	}
}

// The frames of one order, from a history that was exported as JSON.
func ExampleOrderFrames() {
	file, err := os.Open("order-A2.json") // temporal workflow show -w order/A2 --output json
	if err != nil {
		panic(err)
	}
	defer file.Close()
	events, err := trace.ReadJSON(file)
	if err != nil {
		panic(err)
	}
	order, err := trace.OrderFrames(events)
	if err != nil {
		panic(err) // a *trace.DamageError: the history is not whole
	}
	fmt.Println(order.State(), len(order.Frames))
}

func ExampleWriteOrder() {
	o := deferred("A2", day("14:30:10"), "UNSTABLE", 4)
	order, err := trace.OrderFrames(o.Events)
	if err != nil {
		panic(err)
	}
	if err := trace.WriteOrder(os.Stdout, order, trace.Options{}); err != nil {
		panic(err)
	}
	// Output:
	// Order A2                                                                DEFERRED
	// 120.00 USD for c-17, depends on orders-db
	// accepted 2024-05-20 14:30:10.000 UTC
	//
	//   14:30:10.000  accepted        Order Received - Pending Confirmation
	//   14:30:10.000  route_request   A2/1
	//                 route_response  DEFER SYSTEM_UNSTABLE
	//                                 admissible: false · orders-db UNSTABLE, epoch 4
	//                                 “Will retry when state == STABLE”
	//                 pending         waits for orders-db, asked last at 14:30:10.000
}
