package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ltp-node/ltp/node"
	"github.com/ltp-node/ltp/orderdb"
)

// ordersDB says where the order database is.
type ordersDB struct{ url, schema string }

// ownOrders ends the description of a flag that may be left out.
const ownOrders = " (default orders.db in the state directory)"

// flags are the same in every command that reaches an order database.
func (o *ordersDB) flags(cmd *cobra.Command, usage string) {
	f := cmd.Flags()
	f.StringVar(&o.url, "orders-db", "", usage)
	f.StringVar(&o.schema, "orders-schema", orderdb.DefaultSchema, "the schema of its tables in Postgres")
}

// ownOrders is the order database in the state directory. The scheme keeps it a path,
// whatever characters that has.
func (a *app) ownOrders() string { return "sqlite://" + filepath.Join(a.stateDir, "orders.db") }

// ordersDBFlags are for a node. The product makes the file in its state directory, and
// brings it up to date. Where creates is set it makes another SQLite file, too, that is
// not there.
func (a *app) ordersDBFlags(cmd *cobra.Command, c *node.Config, creates bool) {
	var o ordersDB
	o.flags(cmd, "the order database: postgres://… or an SQLite file"+ownOrders)
	before(cmd, func() error {
		c.OrdersURL, c.OrdersSchema = o.url, o.schema
		if c.OrdersURL == "" {
			c.OrdersURL, c.SetUpOrders = a.ownOrders(), true
		}
		c.SetUpOrders = c.SetUpOrders || creates && absentFile(c.OrdersURL)
		return nil
	})
}

// writtenFile lists, in a state directory, the order databases that orders of its Temporal
// were written to, a line each, without passwords. Its own is ownLine.
const (
	writtenFile = "orders-db"
	ownLine     = "orders.db"
)

// noteOrders keeps where the orders of the state directory's Temporal are written to.
func (a *app) noteOrders(url string) error {
	at := orderdb.Redact(url)
	if url == a.ownOrders() {
		at = ownLine
	}
	known, err := a.writtenTo()
	if err != nil || slices.Contains(known, at) {
		return err
	}
	return writeFile(filepath.Join(a.stateDir, writtenFile), writeBytes([]byte(strings.Join(append(known, at), "\n")+"\n")))
}

// writtenTo are the order databases that noteOrders has kept.
func (a *app) writtenTo() ([]string, error) {
	content, err := os.ReadFile(filepath.Join(a.stateDir, writtenFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return strings.FieldsFunc(string(content), func(r rune) bool { return r == '\n' }), err
}

// compared names the order database that the rows of an audit are read from, where none is
// given: the state directory's own, if all orders of its Temporal were written to it.
// Otherwise it says what to give.
func (a *app) compared() (url, missing string) {
	known, err := a.writtenTo()
	switch {
	case err != nil || len(known) == 0:
		return "", giveOrders
	case len(known) == 1 && known[0] == ownLine:
		return a.ownOrders(), ""
	default:
		return "", fmt.Sprintf("%s; orders were written to %s", giveOrders, strings.Join(known, ", "))
	}
}

const giveOrders = "give --orders-db to have the order database compared"

// ordersSQLFlag names a file with statements of the shop's. It reads the file before
// anything runs; what it says is judged with the order database that it is for.
func ordersSQLFlag(cmd *cobra.Command, statements *string) {
	var file string
	cmd.Flags().StringVar(&file, "orders-sql", "", "a file of SQL statements of yours that are run for every order in the transaction that writes it, with @id, @customer, @lines and the like; give it to workers and observers alike")
	before(cmd, func() error {
		if file == "" {
			return nil
		}
		f, err := os.Open(file)
		if err != nil {
			return fmt.Errorf("--orders-sql: %w", err)
		}
		defer f.Close()
		text, err := io.ReadAll(io.LimitReader(f, orderdb.MaxSQL+1)) // one that is longer is refused
		if err != nil {
			return fmt.Errorf("--orders-sql: %w", err)
		}
		if len(text) == 0 {
			return fmt.Errorf("--orders-sql %s is empty: write a statement into it, such as INSERT INTO shop.orders (id) VALUES (@id)", file)
		}
		*statements = string(text)
		return nil
	})
}

// absentFile reports whether a URL names an SQLite file that is not there.
func absentFile(url string) bool {
	path, ok := orderdb.File(url)
	if !ok {
		return false
	}
	_, err := os.Stat(path)
	return os.IsNotExist(err)
}

// awaitOrdersFlag has a start wait for an order database that is not set up.
func awaitOrdersFlag(cmd *cobra.Command, c *node.Config) {
	var wait bool
	cmd.Flags().BoolVar(&wait, "wait-for-orders-db", false, "wait while the order database has no tables of ours, or those of another build, rather than end; one that cannot be reached is waited for by the orders, not by this")
	before(cmd, func() error {
		if wait {
			c.AwaitOrders = func(err error) {
				fmt.Fprintf(cmd.ErrOrStderr(), "ltp %s waits for the order database: %s\n", cmd.Name(), err)
			}
		}
		return nil
	})
}
