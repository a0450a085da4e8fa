package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ltp-node/ltp/trace"
)

// build is what this program was built from.
type build struct {
	Version string `json:"version"`
	// Commit is the commit of the source, Modified that it had changes beside it, Time when
	// it was made; empty where it was not built from a checkout.
	Commit   string `json:"commit,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Time     string `json:"time,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// version reads what Go has put into the program.
func version() build {
	b := build{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Version = cmp.Or(info.Main.Version, b.Version)
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// String is a line: "v0.1.0, commit 1a2b3c4d5e6f of 2026-11-27T12:00:00Z, go1.26.0 linux/amd64".
func (b build) String() string {
	parts := []string{b.Version}
	if b.Commit != "" {
		commit := "commit " + b.Commit[:min(12, len(b.Commit))] + " of " + b.Time
		if b.Modified {
			commit += " with changes"
		}
		parts = append(parts, commit)
	}
	return strings.Join(append(parts, b.Go+" "+b.Platform), ", ")
}

func versionCommand() *cobra.Command {
	var as format
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Tell version, commit and date of this program",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if as.JSON() {
				return trace.WriteJSON(cmd.OutOrStdout(), version())
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "ltp", version())
			return err
		},
	}
	as.flag(cmd, "one object")
	return cmd
}
