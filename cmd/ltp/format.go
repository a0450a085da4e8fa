package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// format is the value of --format, which every command has that shows a result: "human" for
// people, "json" for programs, and "jsonl" where a command offers one.
type format struct {
	value string
	of    []string
}

// flag adds --format to a command. what says what is printed as JSON, and more are the
// formats beside human and json.
func (f *format) flag(cmd *cobra.Command, what string, more ...string) {
	f.value, f.of = "human", append([]string{"human", "json"}, more...)
	cmd.Flags().Var(f, "format", f.choice()+": "+what)
}

// JSON reports whether the result is for a program, as one document.
func (f *format) JSON() bool { return f.value == "json" }

// lines reports whether it is for a program, a line for each part.
func (f *format) lines() bool { return f.value == "jsonl" }

// choice is "human, json or jsonl".
func (f *format) choice() string {
	last := len(f.of) - 1
	return strings.Join(f.of[:last], ", ") + " or " + f.of[last]
}

// show prints a result: v as a JSON document, or what human writes.
func (f *format) show(cmd *cobra.Command, v any, human func(io.Writer)) error {
	if f.JSON() {
		return printJSON(cmd.OutOrStdout(), v)
	}
	var text bytes.Buffer
	human(&text)
	_, err := text.WriteTo(cmd.OutOrStdout())
	return err
}

// notes is where a command says on its way what is no result: the standard output for
// people, and the standard error where that is a JSON document.
func (f *format) notes(cmd *cobra.Command) io.Writer {
	if f.JSON() {
		return cmd.ErrOrStderr()
	}
	return cmd.OutOrStdout()
}

// String, Set and Type implement [pflag.Value].
func (f *format) String() string { return f.value }

// Set takes one of the formats that the command has.
func (f *format) Set(s string) error {
	if !slices.Contains(f.of, s) {
		return fmt.Errorf("use %s", f.choice())
	}
	f.value = s
	return nil
}

// Type is what the help calls the value.
func (*format) Type() string { return "string" }

var _ pflag.Value = (*format)(nil)

// printJSON prints a document that people can read, too.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// printJSONLine prints a document on one line.
func printJSONLine(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
