// Command execute is a worker of your own that executes the orders of an order node:
// its activity Fulfil writes each into a database that the order node knows nothing of.
//
//	ltp dev --execute-activity Fulfil --execute-task-queue shop
//	TEMPORAL_ADDRESS=127.0.0.1:… go run ./examples/execute
//
// ltp dev prints the address. Orders that the node accepts then wait for this program,
// are executed by it while the component is fit, and by nothing else.
package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	_ "modernc.org/sqlite"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/payload"
)

func main() {
	queue := flag.String("task-queue", "shop", "where the order node puts orders: its --execute-task-queue")
	file := flag.String("db", "fulfilments.db", "the SQLite file that orders are written into")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *queue, *file); err != nil {
		fmt.Fprintln(os.Stderr, "execute:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, queue, file string) error {
	options, err := envconfig.LoadDefaultClientOptions() // TEMPORAL_ADDRESS and the like
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	options.Logger = log.NewStructuredLogger(logger)
	var keys *payload.Keys // those of the order node, where it has any
	if file := os.Getenv(payload.FileVariable); file != "" {
		if keys, err = payload.ReadKeys(file); err != nil {
			return err
		}
	}
	payload.Connect(&options, keys)
	c, err := client.DialContext(ctx, options)
	if err != nil {
		return err
	}
	defer c.Close()
	shop, err := open(ctx, file)
	if err != nil {
		return err
	}
	defer shop.db.Close()
	shop.board = board.New(c, []string{ltp.DefaultComponent}, logger)
	go shop.board.Run(ctx)

	w := worker.New(c, queue, worker.Options{DisableWorkflowWorker: true})
	w.RegisterActivityWithOptions(shop.Fulfil, activity.RegisterOptions{Name: "Fulfil"})
	if err := w.Start(); err != nil {
		return err
	}
	defer w.Stop()
	fmt.Printf("Fulfil waits for orders on task queue %s and writes them into %s. Ctrl-C ends it.\n", queue, file)
	<-ctx.Done()
	return nil
}

// shop is what the activity works with.
type shop struct {
	db    *sql.DB
	board *board.Board
}

func open(ctx context.Context, file string) (*shop, error) {
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(2000)")
	if err != nil {
		return nil, err
	}
	_, err = db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS fulfilments (
		order_id TEXT PRIMARY KEY, body TEXT NOT NULL, attempt TEXT NOT NULL)`)
	return &shop{db: db}, err
}

// Fulfil executes one order. The fence is asked once more directly before the write, and
// the order's ID makes a second write of the same order one that changes nothing.
func (s *shop) Fulfil(ctx context.Context, job ltp.Job) (ltp.Done, error) {
	return activities.Guard(ctx, s.board, job, func(ctx context.Context) (repeated bool, err error) {
		if len(job.Order.Lines) > 100 {
			return false, temporal.NewNonRetryableApplicationError("we pack at most 100 lines", ltp.RejectedError, nil)
		}
		body, err := json.Marshal(job.Order)
		if err != nil {
			return false, err
		}
		row := s.db.QueryRowContext(ctx, `INSERT INTO fulfilments (order_id, body, attempt) VALUES (?, ?, ?)
			ON CONFLICT (order_id) DO NOTHING RETURNING order_id`, job.Order.ID, body, job.Attempt)
		switch err := row.Scan(new(string)); {
		case errors.Is(err, sql.ErrNoRows):
			return true, nil
		default:
			return false, err // with anything but nil the outcome is unknown: it is tried again
		}
	})
}
