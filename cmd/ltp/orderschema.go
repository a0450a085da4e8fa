package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/ltp-node/ltp/orderjson/schema"
)

// orderSchemaFlag has orders checked by a schema of the operator's, which is compiled
// before anything runs.
func orderSchemaFlag(cmd *cobra.Command, check *func(order []byte) error) {
	var file string
	cmd.Flags().StringVar(&file, "order-schema", "", "a JSON Schema (2020-12) that orders must satisfy to be accepted here")
	before(cmd, func() error {
		if file == "" {
			return nil
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("--order-schema: %w", err)
		}
		s, err := schema.Compile(data)
		if err != nil {
			return fmt.Errorf("--order-schema %s: %w", file, err)
		}
		*check = s.Check
		return nil
	})
}
