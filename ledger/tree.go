package ledger

import (
	"fmt"
	"io"

	"golang.org/x/mod/sumdb/tlog"
)

// edge is the right edge of a growing Merkle tree (RFC 6962): all that is needed to
// append to it and to know its head. The zero value is the empty tree.
type edge struct {
	n     int64
	roots []tlog.Hash // of the full subtrees, largest first: one for each bit of n
}

// add appends an entry.
func (e *edge) add(data []byte) {
	h := tlog.RecordHash(data)
	for n := e.n; n&1 == 1; n >>= 1 {
		last := len(e.roots) - 1
		h, e.roots = tlog.NodeHash(e.roots[last], h), e.roots[:last]
	}
	e.roots = append(e.roots, h)
	e.n++
}

// head is the tree as it is now. An empty one has a hash of zeros.
func (e *edge) head() tlog.Tree {
	t := tlog.Tree{N: e.n}
	for i := len(e.roots) - 1; i >= 0; i-- {
		if i == len(e.roots)-1 {
			t.Hash = e.roots[i]
		} else {
			t.Hash = tlog.NodeHash(e.roots[i], t.Hash)
		}
	}
	return t
}

// hashes are those of a whole tree, 64 bytes an entry, from which any entry is proved.
type hashes []tlog.Hash

func (s *hashes) add(n int64, data []byte) error {
	more, err := tlog.StoredHashes(n, data, s)
	if err != nil {
		return fmt.Errorf("hash entry %d: %w", n, err)
	}
	*s = append(*s, more...)
	return nil
}

// ReadHashes implements tlog.HashReader.
func (s *hashes) ReadHashes(at []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(at))
	for i, n := range at {
		if n < 0 || n >= int64(len(*s)) {
			return nil, fmt.Errorf("there is no hash %d", n)
		}
		found[i] = (*s)[n]
	}
	return found, nil
}

// writer writes entries, each chained to the one before.
type writer struct {
	to      io.Writer
	session string
	prev    string
	tree    edge
	buffer  []byte
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
