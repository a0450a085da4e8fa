// Command relay hands on the outbox of an order database on Postgres: a line of JSON on
// standard output for each order that was executed, at least once.
//
//	go run ./examples/relay --orders-db postgres://relay@localhost/shop
//
// A row is deleted when its line was written. Where the relay ends before that, the line
// comes again with the same n, by which a reader recognises a repeat; the end of a line that was
// cut off stands alone, and readers skip it, and empty lines. One relay works at a time and
// others wait for it, so that lines of orders with the same ordering key come in the order
// of the orders. What a pipe holds is lost with its reader: write into a file, or have the
// reader acknowledge before a row is deleted. It needs a role with
//
//	GRANT USAGE ON SCHEMA ltp TO relay;
//	GRANT SELECT, DELETE, UPDATE (id) ON ltp.order_outbox TO relay;
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

func main() {
	url := flag.String("orders-db", os.Getenv("DB"), "the order database: postgres://…")
	schema := flag.String("orders-schema", "ltp", "the schema of its tables")
	once := flag.Bool("once", false, "end when the outbox is empty")
	pause := flag.Duration("pause", 500*time.Millisecond, "how long to wait when the outbox is empty")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, *url, *schema, *once, *pause, os.Stdout)
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "relay:", err)
		os.Exit(1)
	}
}

// run relays until ctx ends or, with once, the outbox is empty. Any error ends it: whoever
// runs it starts it again, and nothing is lost.
func run(ctx context.Context, url, schema string, once bool, pause time.Duration, to io.Writer) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(context.Background())
	outbox := pgx.Identifier{schema, "order_outbox"}.Sanitize()
	// A relay that is frozen with rows in hand holds the others up no longer than this.
	if _, err := conn.Exec(ctx, "SET idle_in_transaction_session_timeout = '1min'"); err != nil {
		return err
	}
	if _, err := io.WriteString(to, "\n"); err != nil { // after what an earlier one has cut off
		return err
	}
	for {
		n, err := relay(ctx, conn, outbox, to)
		switch {
		case err != nil:
			return err
		case n > 0:
			continue
		case once:
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// event is a line.
type event struct {
	// N grows with time within an ordering key. It has gaps, and of two orders without a
	// common key the later may have the lower one.
	N         int64           `json:"n"`
	OrderID   string          `json:"order_id"`
	WrittenAt time.Time       `json:"written_at"`
	Order     json.RawMessage `json:"order"`
}

// relay hands on some rows, the oldest first, while no other relay does, and returns how many.
func relay(ctx context.Context, conn *pgx.Conn, outbox string, to io.Writer) (n int, err error) {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // nothing after the commit
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtext($1))", "relay of "+outbox); err != nil {
		return 0, err
	}
	rows, err := tx.Query(ctx, "SELECT id, order_id, created_at, payload FROM "+outbox+" ORDER BY id LIMIT 100 FOR UPDATE")
	if err != nil {
		return 0, err
	}
	events, err := pgx.CollectRows(rows, pgx.RowToStructByPos[event])
	if err != nil || len(events) == 0 {
		return 0, err
	}
	buffered := bufio.NewWriter(to)
	lines := json.NewEncoder(buffered)
	lines.SetEscapeHTML(false)
	var handedOn []int64
	for _, e := range events {
		if err := lines.Encode(e); err != nil {
			return 0, err
		}
		handedOn = append(handedOn, e.N)
	}
	if err := buffered.Flush(); err != nil {
		return 0, err
	}
	if file, ok := to.(*os.File); ok {
		if at, err := file.Stat(); err == nil && at.Mode().IsRegular() {
			if err := file.Sync(); err != nil {
				return 0, err
			}
		}
	}
	if _, err := tx.Exec(ctx, "DELETE FROM "+outbox+" WHERE id = ANY($1)", handedOn); err != nil {
		return 0, err
	}
	return len(events), tx.Commit(ctx)
}
