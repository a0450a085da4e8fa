package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ltp-node/ltp/internal/words"
	"github.com/ltp-node/ltp/orderdb"
	"github.com/ltp-node/ltp/starter"
)

// setupCommand makes ready what the parts need: the namespace, or the order database.
func (a *app) setupCommand() *cobra.Command {
	var o ordersDB
	var role string
	var script bool
	var as format
	var retention time.Duration
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "Make your Temporal namespace, or your order database, ready for orders",
		Long: `Register the search attributes of orders in your Temporal namespace. With --orders-db,
make the tables of the order database instead, or bring them up to date; that needs no
Temporal. Both may be run again at any time, and change nothing that is as it should be.

With --retention, make the namespace first where it is missing; its histories are kept
for that long after an order has ended. A namespace that is there keeps its own.

With --print, print what does so, for somebody else to run, and connect to nothing: the
tables, in a schema of their own, and what the role of workers and observers is granted.`,
		Example: `  ltp setup
  ltp setup --retention 720h
  ltp setup --orders-db postgres://owner@db1,db2/orders
  ltp setup --print --role app | psql --set ON_ERROR_STOP=1 postgres://postgres@db1/orders`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case script && as.JSON():
				return errors.New("--print prints SQL: leave --format json out")
			case script:
				return orderdb.Script(cmd.OutOrStdout(), o.url, role, orderdb.WithSchema(o.schema))
			case cmd.Flags().Changed("role"):
				return errors.New("--role is for --print: add it")
			case o.url != "" && cmd.Flags().Changed("retention"):
				return errors.New("--retention is of the Temporal namespace, --orders-db makes the order database: run ltp setup once for each")
			case o.url != "":
				return setUpOrders(cmd, &as, o)
			case cmd.Flags().Changed("orders-schema"):
				return errors.New("--orders-schema is for --orders-db or --print: add one of them")
			}
			if cmd.Flags().Changed("retention") && retention < minRetention {
				return fmt.Errorf("--retention %s: use %s or more", retention, minRetention)
			}
			return a.setUpNamespace(cmd, &as, retention)
		},
	}
	o.flags(cmd, "the order database to make ready: postgres://… or an SQLite file")
	as.flag(cmd, "what was made, as one object; not with --print")
	cmd.Flags().BoolVar(&script, "print", false, "print SQL for the order database, for Postgres unless --orders-db is an SQLite file, and connect to nothing")
	cmd.Flags().StringVar(&role, "role", "app", "with --print: the role that workers and observers have in Postgres")
	cmd.Flags().DurationVar(&retention, "retention", 0, "make the namespace where it is missing, with this retention, such as 720h")
	return cmd
}

// minRetention is the least that Temporal takes.
const minRetention = 24 * time.Hour

// namespacePatience is how long setup waits for a namespace that it has made: Temporal's
// servers read the list of them every ten seconds.
const namespacePatience = time.Minute

// madeNamespace is what ltp setup has made of the namespace.
type madeNamespace struct {
	Namespace string `json:"namespace"`
	Made      bool   `json:"made"`
	// Registered are the search attributes that it lacked.
	Registered []string `json:"registered"`
}

// setUpNamespace makes the namespace where retention is not 0, and registers what it lacks.
func (a *app) setUpNamespace(cmd *cobra.Command, as *format, retention time.Duration) error {
	t, err := a.connect(cmd.Context())
	if err != nil {
		return err
	}
	defer t.stop()
	now := madeNamespace{Namespace: t.namespace, Registered: []string{}}
	if retention != 0 {
		ctx, cancel := context.WithTimeout(cmd.Context(), namespacePatience)
		defer cancel()
		if now.Made, err = starter.MakeNamespace(ctx, t, t.namespace, retention); err != nil {
			return err
		}
		if now.Made {
			fmt.Fprintf(as.notes(cmd), "Made namespace %s, which keeps ended orders for %s.\n", t.namespace, words.Short(retention))
		}
	}
	added, err := starter.Setup(cmd.Context(), t, t.namespace)
	if err != nil {
		return err
	}
	slices.Sort(added)
	now.Registered = append(now.Registered, added...)
	return as.show(cmd, now, func(w io.Writer) {
		if len(added) == 0 {
			fmt.Fprintf(w, "Namespace %s has all search attributes already.\n", t.namespace)
			return
		}
		fmt.Fprintf(w, "Registered in namespace %s: %s\n", t.namespace, strings.Join(added, ", "))
	})
}

// madeTables is what ltp setup has made of the order database.
type madeTables struct {
	In   string `json:"in"` // the schema, or the file
	Made bool   `json:"made"`
}

func setUpOrders(cmd *cobra.Command, as *format, o ordersDB) error {
	ctx := cmd.Context()
	db, err := orderdb.Open(ctx, o.url, orderdb.WithSchema(o.schema))
	if err != nil {
		return err
	}
	defer db.Close()
	where := "schema " + o.schema
	if path, ok := orderdb.File(o.url); ok {
		where = path
	}
	if db.Check(ctx) == nil {
		return as.show(cmd, madeTables{In: where}, func(w io.Writer) {
			fmt.Fprintf(w, "The order database has all its tables in %s already.\n", where)
		})
	}
	if err := db.Migrate(ctx); err != nil {
		return err
	}
	if err := db.Check(ctx); err != nil {
		return err
	}
	return as.show(cmd, madeTables{In: where, Made: true}, func(w io.Writer) {
		fmt.Fprintf(w, "Made the tables of the order database in %s.\n", where)
	})
}
