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
		repeated, err := db.Put(ctx, order, nil)
		fmt.Println("repeated:", repeated, "error:", err)
	}

	order.Lines[0].Quantity = 2
	_, err = db.Put(ctx, order, nil)
	fmt.Println(err)

	_, err = db.Put(ctx, ltp.Order{ID: "A3"}, func() error { return errors.New("orders-db is UNSTABLE") })
	class, _ := orderdb.ClassOf(err)
	fmt.Println(class)
	// Output:
	// repeated: false error: <nil>
	// repeated: true error: <nil>
	// another order with this id is in the order database
	// unavailable
}
