package ledger

import (
	"bufio"
	"cmp"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
)

// record is a frame that has not yet its place in the file.
type record struct {
	at    int64  // unix nanoseconds
	rank  byte   // puts first, of what happened at the same moment, what others are based on
	owner string // the order, or the component
	seq   uint32 // the owner's own order of things
	in    bool   // the frame's direction
	frame []byte // canonical
}

func compare(a, b record) int {
	return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.rank, b.rank), cmp.Compare(a.owner, b.owner), cmp.Compare(a.seq, b.seq))
}

// memory is how many bytes of frames a sorter holds before it writes them to disk.
var memory = 64 << 20

// sorter puts records in order. It holds a bounded part of them in memory; what does
// not fit goes to a temporary file as runs, each sorted, which are merged in the end.
type sorter struct {
	dir   string // of the temporary file
	limit int    // in bytes
	held  []record
	size  int
	file  *os.File
	at    int64   // the size of file
	runs  []int64 // where each run ends
}

func newSorter(dir string) *sorter { return &sorter{dir: dir, limit: memory} }

// add keeps a record.
func (s *sorter) add(r record) error {
	s.held = append(s.held, r)
	if s.size += len(r.frame) + len(r.owner) + 64; s.size < s.limit {
		return nil
	}
	return s.spill()
}

// spill writes what is held to disk.
func (s *sorter) spill() error {
	slices.SortFunc(s.held, compare)
	if s.file == nil {
		f, err := os.CreateTemp(s.dir, ".ltp-export-*")
		if err != nil {
			return fmt.Errorf("sort on disk: %w", err)
		}
		s.file = f
	}
	w := bufio.NewWriterSize(s.file, 1<<20)
	var buffer []byte
	for _, r := range s.held {
		buffer = r.append(buffer[:0])
		s.at += int64(len(buffer))
		if _, err := w.Write(buffer); err != nil {
			return fmt.Errorf("sort on disk: %w", err)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("sort on disk: %w", err)
	}
	clear(s.held)
	s.held, s.size, s.runs = s.held[:0], 0, append(s.runs, s.at)
	return nil
}

// sorted yields all records in order, once.
func (s *sorter) sorted() iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		slices.SortFunc(s.held, compare)
		m := merge{}
		from := int64(0)
		for _, end := range s.runs {
			r := bufio.NewReaderSize(io.NewSectionReader(s.file, from, end-from), 1<<16)
			m.sources = append(m.sources, source{next: func() (record, error) { return readRecord(r) }})
			from = end
		}
		held := s.held
		m.sources = append(m.sources, source{next: func() (r record, err error) {
			if len(held) == 0 {
				return r, io.EOF
			}
			r, held = held[0], held[1:]
			return r, nil
		}})
		m.run(yield)
	}
}

// close removes what is on disk.
func (s *sorter) close() {
	if s.file != nil {
		_ = s.file.Close()
		_ = os.Remove(s.file.Name())
	}
}

// merge merges sources, each in order, as a heap of their next records.
type merge struct{ sources []source }

type source struct {
	head record
	next func() (record, error) // io.EOF after the last
}

func (m *merge) Len() int           { return len(m.sources) }
func (m *merge) Less(i, j int) bool { return compare(m.sources[i].head, m.sources[j].head) < 0 }
func (m *merge) Swap(i, j int)      { m.sources[i], m.sources[j] = m.sources[j], m.sources[i] }
func (m *merge) Push(any)           { panic("sources are never added") }
func (m *merge) Pop() any {
	last := len(m.sources) - 1
	m.sources = m.sources[:last]
	return nil
}

func (m *merge) run(yield func(record, error) bool) {
	for i := 0; i < len(m.sources); {
		switch err := m.advance(i); {
		case errors.Is(err, io.EOF):
			m.sources = slices.Delete(m.sources, i, i+1)
		case err != nil:
			yield(record{}, err)
			return
		default:
			i++
		}
	}
	heap.Init(m)
	for len(m.sources) > 0 {
		if !yield(m.sources[0].head, nil) {
			return
		}
		switch err := m.advance(0); {
		case errors.Is(err, io.EOF):
			heap.Pop(m)
		case err != nil:
			yield(record{}, err)
			return
		default:
			heap.Fix(m, 0)
		}
	}
}

func (m *merge) advance(i int) (err error) {
	m.sources[i].head, err = m.sources[i].next()
	return err
}

// append appends a record as it is on disk.
func (r record) append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, uint64(r.at))
	in := byte(0)
	if r.in {
		in = 1
	}
	dst = append(dst, r.rank, in)
	dst = binary.LittleEndian.AppendUint32(dst, r.seq)
	dst = binary.AppendUvarint(dst, uint64(len(r.owner)))
	dst = append(dst, r.owner...)
	dst = binary.AppendUvarint(dst, uint64(len(r.frame)))
	return append(dst, r.frame...)
}

func readRecord(b *bufio.Reader) (r record, err error) {
	var head [14]byte
	if _, err := io.ReadFull(b, head[:]); err != nil {
		return r, err // io.EOF at the end of a run
	}
	r.at, r.rank, r.in = int64(binary.LittleEndian.Uint64(head[:])), head[8], head[9] == 1
	r.seq = binary.LittleEndian.Uint32(head[10:])
	owner, err := readBytes(b)
	if err != nil {
		return r, err
	}
	r.owner = string(owner)
	r.frame, err = readBytes(b)
	return r, err
}

func readBytes(b *bufio.Reader) ([]byte, error) {
	n, err := binary.ReadUvarint(b)
	if err != nil {
		return nil, io.ErrUnexpectedEOF
	}
	data := make([]byte, n)
	if _, err := io.ReadFull(b, data); err != nil {
		return nil, io.ErrUnexpectedEOF
	}
	return data, nil
}
