package starter_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/embedded"
	"github.com/ltp-node/ltp/node"
	"github.com/ltp-node/ltp/observer"
	"github.com/ltp-node/ltp/replay/pace"
	"github.com/ltp-node/ltp/starter"
)

// An order API in Go accepts an order and shows its customer where it is.
func Example() {
	ctx := context.Background()
	temporal, stop := temporalForTheExample(ctx)
	defer stop()

	orders := starter.New(temporal)
	submission, err := orders.Submit(ctx, ltp.Order{
		ID: "A1", Customer: "c-17", Currency: "USD",
		Lines: []ltp.Line{{SKU: "book", Quantity: 2, UnitAmountMinor: 6000}},
	})
	if err != nil {
		log.Fatal(err) // nothing was promised: see the errors of this package
	}
	status, err := orders.Await(ctx, submission) // deferred, or at its end
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(status.OrderID, "was accepted:", status.State == ltp.Executed || status.State == ltp.Deferred)
	// Output: A1 was accepted: true
}

// temporalForTheExample stands in for the Temporal and the workers that you run.
func temporalForTheExample(ctx context.Context) (client.Client, func()) {
	server, err := embedded.Start(ctx, embedded.Options{SearchAttributes: starter.SearchAttributes()})
	if err != nil {
		log.Fatal(err)
	}
	dir := tempDir()
	n, err := node.Start(ctx, node.Config{
		Client: server.Client(), Namespace: server.Namespace(), Components: []string{ltp.DefaultComponent},
		OrdersURL: filepath.Join(dir, "orders.db"), SetUpOrders: true,
		Worker: true, Pace: pace.Default(), Observe: true, Settings: observer.DefaultSettings(),
		Log: quiet(),
	})
	if err != nil {
		log.Fatal(err)
	}
	return server.Client(), func() { n.Stop(); _ = server.Stop(); _ = os.RemoveAll(dir) }
}
