package embedded

import (
	"fmt"
	"io"
	"os"
	"time"
)

// Progress is called with how far a long preparation has come, from one goroutine at a
// time. The zero Step comes last and says that it is over, well or not.
type Progress func(Step)

// Step of a preparation.
type Step struct {
	Doing string // "compiling the embedded Temporal server (…)"
	Item  string // the module or package in hand, if any
	Done  int    // packages
	Total int    // packages; 0: not known, or not counted
}

// String is the step as a line for people.
func (s Step) String() string {
	switch {
	case s.Total > 0:
		return fmt.Sprintf("%s: %d of %d packages", s.Doing, s.Done, s.Total)
	case s.Item != "":
		return fmt.Sprintf("%s: %s", s.Doing, s.Item)
	default:
		return s.Doing
	}
}

// PrintProgress shows steps on w: on a terminal as one line that changes and at
// last disappears, elsewhere as a line for each kind of step, and one every ten
// seconds.
func PrintProgress(w io.Writer) Progress {
	if f, ok := w.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			// Without auto-wrap, for a line that wraps could not be taken back.
			return func(s Step) { fmt.Fprintf(w, "\r\x1b[K\x1b[?7l%s\x1b[?7h", s) }
		}
	}
	var doing string
	var last time.Time
	return func(s Step) {
		if s == (Step{}) || s.Doing == doing && time.Since(last) < 10*time.Second {
			return
		}
		doing, last = s.Doing, time.Now()
		fmt.Fprintln(w, s)
	}
}
