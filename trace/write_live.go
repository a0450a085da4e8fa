package trace

import (
	"io"
	"time"
)

// Live shows entries to people as they come. Times are UTC.
type Live struct {
	w         io.Writer
	component string
	options   Options
	day       time.Time
}

// NewLive shows what Follow yields of a component.
func NewLive(w io.Writer, component string, o Options) *Live {
	return &Live{w: w, component: component, options: o}
}

// Write shows entries; of those with the same key, the first and the last, unless all
// are to be shown.
func (l *Live) Write(entries []Entry) error {
	p := newPrinter(l.options)
	p.component, p.number, p.day = l.component, len("#99999"), l.day
	p.entries(Phase{Entries: entries})
	l.day = p.day
	return p.writeTo(l.w)
}
