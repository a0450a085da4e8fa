package payload_test

import (
	"context"
	"log"
	"os"

	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp/payload"
	"github.com/ltp-node/ltp/starter"
)

// A program that submits orders, with the keys of the order node.
func ExampleConnect() {
	keys, err := payload.ReadKeys(os.Getenv(payload.FileVariable))
	if err != nil {
		log.Fatal(err)
	}
	var options client.Options
	payload.Connect(&options, keys)
	c, err := client.DialContext(context.Background(), options)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	orders := starter.New(c)
	_ = orders
}
