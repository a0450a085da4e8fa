package main

import (
	"bytes"
	"cmp"
	"io"
	"os"
	"os/exec"

	"github.com/ltp-node/ltp/internal/terminal"
	"github.com/ltp-node/ltp/trace"
)

// page shows what is written to people: on a terminal whose screen it does not fit, with
// $PAGER as git does.
func (in *inspection) page(write func(io.Writer, trace.Options) error) error {
	var text bytes.Buffer
	if err := write(&text, look(in.out)); err != nil {
		return err
	}
	if pager := in.pager(bytes.Count(text.Bytes(), []byte("\n"))); pager != "" {
		cmd := exec.Command("sh", "-c", pager)
		cmd.Env = append(os.Environ(), "LESS="+cmp.Or(os.Getenv("LESS"), "FRX"))
		cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(text.Bytes()), in.out, in.err
		if cmd.Run() == nil {
			return nil
		}
	}
	_, err := text.WriteTo(in.out)
	return err
}

// pager is the command that shows so many lines, and empty where none is needed.
func (in *inspection) pager(lines int) string {
	if in.noPager || !terminal.Is(in.out) {
		return ""
	}
	if _, height, ok := terminal.Size(in.out); !ok || lines < height {
		return ""
	}
	pager, set := os.LookupEnv("PAGER")
	switch {
	case set && (pager == "" || pager == "cat"):
		return ""
	case set:
		return pager
	}
	if _, err := exec.LookPath("less"); err != nil {
		return ""
	}
	return "less"
}
