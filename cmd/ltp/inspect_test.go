package main

import (
	"bytes"
	"testing"
	"time"
)

func TestMomentsAreReadAsTimesOrAsLongAgo(t *testing.T) {
	now := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	for s, want := range map[string]string{
		"2026-03-09T10:00:00Z":      "2026-03-09T10:00:00Z",
		"2026-03-09T10:00:00+02:00": "2026-03-09T08:00:00Z",
		"2026-03-09T10:00:00.25Z":   "2026-03-09T10:00:00.25Z",
		"90m":                       "2026-03-10T10:30:00Z",
		"2h ago":                    "2026-03-10T10:00:00Z",
		"3d":                        "2026-03-07T12:00:00Z",
		"0s":                        "2026-03-10T12:00:00Z",
		"-2h":                       "",
		"-1d":                       "",
		"yesterday":                 "",
		"2026-03-09":                "",
		"":                          "",
	} {
		got := ""
		if at, err := moment("--since", s, now); err == nil {
			got = at.Format(time.RFC3339Nano)
		}
		if got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
}

func TestNothingIsPagedWhereThereIsNoTerminal(t *testing.T) {
	t.Setenv("PAGER", "false")
	in := inspection{out: new(bytes.Buffer)}
	if pager := in.pager(10_000); pager != "" {
		t.Errorf("paged with %q", pager)
	}
}
