// Package extsort puts records in order, of which only a part fits in memory: what does
// not fit waits in a temporary file, in sorted runs that are merged (external merge sort).
package extsort

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

// Record is sorted by its key, byte by byte.
type Record struct {
	Key  string
	Data []byte
	run  *bufio.Reader // where the next of its run stands; nil for a record that was never on disk
}

// overhead is about what a record takes in memory beside its bytes.
const overhead = 64

// Sorter puts records in order. It is not safe for concurrent use.
type Sorter struct {
	// Dir is where the temporary file is; empty is the default directory for those.
	Dir string
	// Most is how many bytes of records wait in memory.
	Most int

	waits queue // with one record of each run
	held  int   // bytes in waits that were never on disk
	file  *os.File
	end   int64 // of the file
	err   error // of the disk
}

// Add keeps a record until it is taken. An error is also that of all that follows.
func (s *Sorter) Add(key string, data []byte) error {
	heap.Push(&s.waits, &Record{Key: key, Data: data})
	if s.held += len(key) + len(data) + overhead; s.held > s.Most {
		s.fail(s.spill())
	}
	return s.err
}

// Below yields the records with keys below one, in order, and takes them out; with "" it
// yields all. Records may be added afterwards.
func (s *Sorter) Below(key string) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for s.err == nil && len(s.waits) > 0 && (key == "" || s.waits[0].Key < key) {
			first := *s.waits[0]
			if first.run == nil {
				s.held -= len(first.Key) + len(first.Data) + overhead
				heap.Pop(&s.waits)
			} else {
				s.fail(s.follow())
			}
			if !yield(first, nil) {
				return
			}
		}
		if s.err != nil {
			yield(Record{}, s.err)
		}
	}
}

func (s *Sorter) fail(err error) {
	if err != nil && s.err == nil {
		s.err = fmt.Errorf("sort on disk: %w", err)
	}
}

// Close gives up what waits, and removes what is on disk.
func (s *Sorter) Close() error {
	s.waits = nil
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}

// spill writes what waits in memory to disk, as a run. The file has no name: it is gone
// with the process.
func (s *Sorter) spill() (err error) {
	if s.file == nil {
		if s.file, err = os.CreateTemp(s.Dir, ".ltp-sort-*"); err != nil {
			return err
		}
		if err := os.Remove(s.file.Name()); err != nil {
			return err
		}
	}
	slices.SortFunc(s.waits, func(a, b *Record) int { return cmp.Compare(a.Key, b.Key) })
	var heads queue
	begin, w := s.end, bufio.NewWriterSize(s.file, 1<<16)
	for _, r := range s.waits {
		if r.run != nil {
			heads = append(heads, r)
			continue
		}
		for _, part := range [][]byte{[]byte(r.Key), r.Data} {
			n, _ := w.Write(binary.AppendUvarint(w.AvailableBuffer(), uint64(len(part))))
			m, _ := w.Write(part) // Flush says what failed
			s.end += int64(n + m)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	first := &Record{run: bufio.NewReaderSize(io.NewSectionReader(s.file, begin, s.end-begin), 1<<16)}
	s.waits, s.held = append(queue{first}, heads...), 0
	return s.follow()
}

// follow puts the next of its run in the place of the first record.
func (s *Sorter) follow() error {
	run := s.waits[0].run
	key, err := read(run)
	if errors.Is(err, io.EOF) {
		heap.Remove(&s.waits, 0)
		return nil
	}
	if err != nil {
		return err
	}
	data, err := read(run)
	if err != nil {
		return fmt.Errorf("cut short: %w", err)
	}
	s.waits[0] = &Record{string(key), data, run}
	heap.Fix(&s.waits, 0)
	return nil
}

// read reads a part of a record. It returns io.EOF before the first byte only.
func read(r *bufio.Reader) ([]byte, error) {
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, err
	}
	data := make([]byte, n)
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, io.ErrUnexpectedEOF
	}
	return data, nil
}

// queue is a heap.
type queue []*Record

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].Key < q[j].Key }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(*Record)) }
func (q *queue) Pop() any {
	last := len(*q) - 1
	x := (*q)[last]
	(*q)[last], *q = nil, (*q)[:last]
	return x
}
