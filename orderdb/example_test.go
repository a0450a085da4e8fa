package orderdb_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/orderdb"
)

func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "orders")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	db, err := orderdb.Open(ctx, "sqlite://"+filepath.Join(dir, "orders.db"))
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	if err := db.Migrate(ctx); err != nil {
		log.Fatal(err)
	}

	order := ltp.Order{
		ID: "A2", Customer: "ada", Currency: "USD",
		Lines: []ltp.Line{{SKU: "lamp", Quantity: 1, UnitAmountMinor: 1999}},
	}
	for range 2 {
		stored, err := db.Put(ctx, order, func() (ltp.Receipt, error) {
			// Here a fence is read again, and an error keeps the order from being written.
			return ltp.Receipt{Attempt: "A2/1", Fence: ltp.Fence{State: ltp.Stable, Epoch: 1}}, nil
		})
		fmt.Println("repeated:", stored.Repeated, "attempt:", stored.Receipt.Attempt, "error:", err)
	}

	order.Lines[0].Quantity = 2
	_, err = db.Put(ctx, order, nil)
	fmt.Println(err)

	late := ltp.Order{ID: "A3"}
	_, err = db.Put(ctx, late, func() (ltp.Receipt, error) { return ltp.Receipt{}, errors.New("orders-db is UNSTABLE") })
	class, _ := orderdb.ClassOf(err)
	fmt.Println(class)

	if _, err := db.Withdraw(ctx, late, ltp.Ending{State: ltp.Cancelled, Reason: "the customer asked"}, nil); err != nil {
		log.Fatal(err)
	}
	stored, err := db.Put(ctx, late, nil) // an attempt that nobody remembers
	fmt.Println(stored.Tombstone.State, err)
	// Output:
	// repeated: false attempt: A2/1 error: <nil>
	// repeated: true attempt: A2/1 error: <nil>
	// another order with this id is in the order database
	// unavailable
	// CANCELLED <nil>
}
