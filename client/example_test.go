package client_test

import (
	"context"
	"fmt"
	"log"
	"net/http"

	"github.com/ltp-node/ltp/client"
)

// An order is sent, and the program acts on what the answer promises.
func Example() {
	c, err := client.NewClientWithResponses("http://localhost:8080")
	if err != nil {
		log.Fatal(err)
	}
	id, wait := "A1", "wait=10"
	price := int64(6000)
	answer, err := c.SubmitOrderWithResponse(context.Background(), &client.SubmitOrderParams{Prefer: &wait}, client.Order{
		ID: &id, Customer: "c-17", Currency: client.CurrencyUSD,
		Lines: []client.Line{{SKU: "book", Quantity: 2, UnitAmountMinor: &price}},
	})
	switch {
	case err != nil:
		log.Fatalf("no answer: send the order again under the same id: %v", err)
	case answer.JSON201 != nil:
		fmt.Println(answer.JSON201.Message) // Order Confirmed
	case answer.JSON202 != nil:
		fmt.Println(answer.JSON202.Message, answer.Headers202.Location) // Order Received - Pending Confirmation
	case answer.ApplicationProblemJSON422 != nil:
		fmt.Println(answer.ApplicationProblemJSON422.Type, answer.ApplicationProblemJSON422.Detail)
	default:
		fmt.Println(answer.Status())
	}
}

// A key is shown with every request.
func ExampleWithRequestEditorFn() {
	secret := "ltp_…"
	c, err := client.NewClientWithResponses("https://orders.example", client.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+secret)
		return nil
	}))
	if err != nil {
		log.Fatal(err)
	}
	answer, err := c.ListOrdersWithResponse(context.Background(), nil)
	switch {
	case err != nil:
		log.Fatal(err)
	case answer.ApplicationProblemJSON401 != nil:
		fmt.Println(answer.ApplicationProblemJSON401.Detail)
	}
}
