package ledger

import (
	"io"

	"golang.org/x/mod/sumdb/tlog"
)

// writer writes entries, each chained to the one before.
type writer struct {
	to      io.Writer
	session string
	prev    string
	tree    edge
	buffer  []byte
}

func newWriter(to io.Writer, session string) *writer {
	return &writer{to: to, session: session, prev: genesis}
}

// write writes an entry of a canonical frame.
func (w *writer) write(atMs int64, in bool, frame []byte) error {
	e := envelope{i: w.tree.n, ms: atMs, in: in, session: w.session, prev: w.prev}
	w.buffer, w.prev = e.appendLine(w.buffer[:0], frame)
	w.tree.add(w.buffer)
	w.buffer = append(w.buffer, '\n')
	_, err := w.to.Write(w.buffer)
	return err
}

func (w *writer) head() tlog.Tree { return w.tree.head() }
