package orderdb_test

import (
	"context"
	"database/sql"
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

// ExampleWithSQL writes into a table that was there before, in the transaction of the order.
func ExampleWithSQL() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "orders")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "shop.db")
	shop, err := sql.Open("sqlite", file)
	if err != nil {
		log.Fatal(err)
	}
	defer shop.Close()
	if _, err := shop.ExecContext(ctx, "CREATE TABLE sales (number TEXT PRIMARY KEY, articles INTEGER, total INTEGER)"); err != nil {
		log.Fatal(err)
	}
	db, err := orderdb.Open(ctx, file, orderdb.WithSQL(`
		INSERT INTO sales (number, articles, total) VALUES (@id, json_array_length(@lines), @total_minor)`))
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	if err := errors.Join(db.Migrate(ctx), db.Check(ctx)); err != nil {
		log.Fatal(err)
	}
	order := ltp.Order{ID: "A2", Customer: "ada", Currency: "USD", Lines: []ltp.Line{{SKU: "lamp", Quantity: 2, UnitAmountMinor: 1999}}}
	for range 2 {
		if _, err := db.Put(ctx, order, nil); err != nil {
			log.Fatal(err)
		}
	}
	var number string
	var rows, articles, total int
	if err := shop.QueryRowContext(ctx, "SELECT count(*), number, articles, total FROM sales").Scan(&rows, &number, &articles, &total); err != nil {
		log.Fatal(err)
	}
	fmt.Println(rows, number, articles, total)

	_, err = orderdb.Open(ctx, file, orderdb.WithSQL("INSERT INTO sales (number) VALUES (@idd)"))
	fmt.Println(err)
	// Output:
	// 1 A2 1 3998
	// --orders-sql, line 1: there is no parameter @idd: use @id, @customer, @currency, @total_minor, @lines, @attributes, @priority, @risk, @ordering_key, @depends_on, @deadline, @order
}
