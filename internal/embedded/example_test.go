package embedded_test

import (
	"context"
	"fmt"
	"os"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp/internal/embedded"
)

// A server keeps what it has accepted in its state directory.
func ExampleOpen() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	options := embedded.Options{
		StateDir: dir,
		SearchAttributes: map[string]enums.IndexedValueType{
			"OrderState": enums.INDEXED_VALUE_TYPE_KEYWORD,
		},
		Progress: embedded.PrintProgress(os.Stderr),
	}

	server, err := embedded.Open(ctx, options)
	if err != nil {
		panic(err)
	}
	_, err = server.Client().ExecuteWorkflow(ctx,
		client.StartWorkflowOptions{ID: "order/1", TaskQueue: "orders"}, "Order")
	if err != nil {
		panic(err)
	}
	if err := server.Stop(); err != nil {
		panic(err)
	}

	server, err = embedded.Open(ctx, options)
	if err != nil {
		panic(err)
	}
	defer server.Stop()
	order, err := server.Client().DescribeWorkflowExecution(ctx, "order/1", "")
	if err != nil {
		panic(err)
	}
	fmt.Println(order.WorkflowExecutionInfo.Status)
	// Output: Running
}

// Elsewhere than on a terminal, progress is a line for each kind of step.
func ExamplePrintProgress() {
	progress := embedded.PrintProgress(os.Stdout)
	for _, module := range []string{"go.temporal.io/server v1.32.1", "go.temporal.io/api v1.64.1"} {
		progress(embedded.Step{Doing: "downloading modules", Item: module})
	}
	for done := range 3 {
		progress(embedded.Step{Doing: "compiling", Done: done, Total: 3})
	}
	progress(embedded.Step{})
	// Output:
	// downloading modules: go.temporal.io/server v1.32.1
	// compiling: 0 of 3 packages
}
