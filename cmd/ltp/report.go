package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ltp-node/ltp/audit"
	"github.com/ltp-node/ltp/report"
)

func (a *app) reportCommand() *cobra.Command {
	var s auditScope
	var path string
	var as format
	cmd := &cobra.Command{
		Use:   "report",
		Short: "Write the postmortem of an incident from its trace",
		Long: `Write what happened in the latest outage of a component, or another incident: summary,
phases, what customers saw, and what an engineer, a regulator and a business owner want
to know, with pictures. The incident is audited for it; with --orders-db, so are the
rows of the order database.

The ending of the file chooses its form: .html is one page that needs nothing else, .md is
Markdown. No worker needs to run. The same history gives the same report.`,
		Example: "  ltp report -o report.html\n  ltp report --incident 2 --orders-db .ltp/orders.db -o report.md",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			write, err := reportForm(path)
			if err != nil {
				return err
			}
			reader, scope, stop, err := a.evidence(cmd, s)
			if err != nil {
				return err
			}
			defer stop()
			r, err := report.Build(cmd.Context(), reader, scope)
			if err != nil {
				return s.explain(err)
			}
			if err := writeFile(path, func(w io.Writer) error { return write(w, r) }); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "Written to %s.\n", path)
			if as.JSON() {
				return printJSON(cmd.OutOrStdout(), writtenReport{path, r.Audit})
			}
			return nil
		},
	}
	s.flags(cmd)
	as.flag(cmd, "where it is written, the incident and its audit, as one object")
	cmd.Flags().StringVarP(&path, "output", "o", "report.html", "the file to write, ending in .html or .md")
	return cmd
}

// writtenReport is what ltp report --format json prints.
type writtenReport struct {
	Output string      `json:"output"`
	Audit  audit.Audit `json:"audit"`
}

func reportForm(path string) (func(io.Writer, report.Report) error, error) {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".html", ".htm":
		return report.WriteHTML, nil
	case ".md":
		return report.WriteMarkdown, nil
	}
	return nil, fmt.Errorf("-o %s: use a name that ends in .html or .md", path)
}
