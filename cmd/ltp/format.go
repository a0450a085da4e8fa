package main

import (
	"fmt"

	"github.com/spf13/pflag"
)

// format is the value of --format: for people, or as JSON.
type format bool

// formatFlag adds --format to a command. asJSON is whether JSON is asked for, and what says
// what that is.
func formatFlag(flags *pflag.FlagSet, asJSON *bool, what string) {
	flags.Var((*format)(asJSON), "format", "human, or json: "+what)
}

func (f *format) String() string {
	if f != nil && *f {
		return "json"
	}
	return "human"
}

func (f *format) Set(s string) error {
	switch s {
	case "human", "json":
		*f = s == "json"
		return nil
	}
	return fmt.Errorf("use human or json")
}

// Type implements pflag.Value.
func (*format) Type() string { return "string" }
