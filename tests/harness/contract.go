package harness

import (
	"sync"

	"github.com/ltp-node/ltp/api"
	"github.com/ltp-node/ltp/internal/contract"
)

// Contract is that of the order API and of webhooks, AdminContract that of operators.
var Contract, AdminContract = signed(api.OpenAPI()), signed(api.AdminOpenAPI())

func signed(document []byte) func() *contract.Contract {
	return sync.OnceValue(func() *contract.Contract {
		c, err := contract.New(document)
		if err != nil {
			panic(err)
		}
		return c
	})
}
