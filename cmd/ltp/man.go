package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// manCommand writes the manual pages that packages hold.
func manCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "man DIRECTORY",
		Short:  "Write a manual page for each command",
		Args:   cobra.ExactArgs(1),
		Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			all := cmd.Root()
			all.DisableAutoGenTag = true
			header := &doc.GenManHeader{Section: "1", Source: "LTP order node", Manual: "LTP order node"}
			if of, err := time.Parse(time.RFC3339, version().Time); err == nil { // the same source makes the same page
				header.Date = &of
			}
			if err := doc.GenManTree(all, header, args[0]); err != nil {
				return fmt.Errorf("write manual pages into %s: %w", args[0], err)
			}
			return nil
		},
	}
}
