package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/demo"
	"github.com/ltp-node/ltp/internal/terminal"
)

// screen shows a demo as it goes: on a terminal a few lines that change in place,
// elsewhere a line whenever the act or the state changes, and one every ten
// seconds.
type screen struct {
	mu       sync.Mutex
	w        io.Writer
	terminal bool
	lines    int // that the last picture took
	last     demo.Scene
	said     time.Time
}

func newScreen(w io.Writer) *screen { return &screen{w: w, terminal: terminal.Is(w)} }

func (s *screen) note(format string, args ...any) {
	fmt.Fprintf(s, format+"\n", args...)
}

// Write writes what is to stay, such as a line of the log, above the picture.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wipe()
	return s.w.Write(p)
}

// clear wipes the picture.
func (s *screen) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wipe()
}

func (s *screen) wipe() {
	if s.lines > 0 {
		fmt.Fprintf(s.w, "\x1b[%dA\x1b[J", s.lines)
		s.lines = 0
	}
}

func (s *screen) show(now demo.Scene) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.terminal {
		s.paint(now)
		return
	}
	if now.Act == s.last.Act && now.Epoch == s.last.Epoch && time.Since(s.said) < 10*time.Second {
		return
	}
	s.last, s.said = now, time.Now()
	fmt.Fprintf(s.w, "%6.1fs  %-10s epoch %-3d %5d received, %5d deferred, %5d executed, %5d waiting, %d errors, write %s: %s\n",
		now.Elapsed.Seconds(), now.State, now.Epoch, now.Accepted, now.Deferred, now.Executed, now.Waiting, now.Errors,
		now.Latency.Round(time.Millisecond), now.Act)
}

func (s *screen) paint(now demo.Scene) {
	picture := []string{
		fmt.Sprintf("\x1b[1m%s\x1b[0m", now.Act),
		fmt.Sprintf("  %s\x1b[1m %-10s \x1b[0m  epoch %d   %s", colourOf(now.State), now.State, now.Epoch, now.Reason),
		fmt.Sprintf("  received %5d   deferred %5d   executed %5d   waiting %5d   errors %d", now.Accepted, now.Deferred, now.Executed, now.Waiting, now.Errors),
		fmt.Sprintf("  waiting  %s", bar(now.Waiting, max(now.Accepted, 1), 50)),
		fmt.Sprintf("  write    %-8s   %.1f s", now.Latency.Round(time.Millisecond), now.Elapsed.Seconds()),
	}
	s.wipe()
	for _, line := range picture {
		fmt.Fprintf(s.w, "%s\x1b[K\n", line)
	}
	s.lines = len(picture)
}

// bar is n of most as a bar.
func bar(n, most, width int) string {
	full := min(width, n*width/most)
	return strings.Repeat("█", full) + strings.Repeat("░", width-full)
}

func colourOf(s ltp.State) string {
	switch s {
	case ltp.Stable:
		return "\x1b[42;30m"
	case ltp.Degraded, ltp.Recovering:
		return "\x1b[43;30m"
	case ltp.Unstable:
		return "\x1b[41;37m"
	}
	return "\x1b[47;30m"
}
