package trace

import (
	"bufio"
	"bytes"
	"container/heap"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/ltp-node/ltp"
)

// FrameStream writes the frames of a window as JSON lines, numbered from 1 in order of
// time as those of a Timeline are. It writes each as soon as none can come before it,
// and holds some tens of megabytes at most: what waits beyond that goes to a temporary
// file.
type FrameStream struct {
	out       *bufio.Writer
	component string
	window    Window
	wait      waiting
	held      int // bytes in wait
	most      int
	runs      []*spilled
	seq       int64
	no        int
}

const (
	// heldMost is how many bytes of frames wait in memory.
	heldMost = 32 << 20
	// slack is how much earlier than the order before an order may have been accepted.
	slack = time.Second
)

// NewFrameStream begins with an incident of the orientation o.
func NewFrameStream(w io.Writer, o OrientationTrace, in Incident, window Window) *FrameStream {
	s := &FrameStream{out: bufio.NewWriter(w), component: o.Component, window: window, most: heldMost}
	for i, f := range in.Frames {
		s.push(waits{place{f.At.UnixNano(), int64(i - len(in.Frames))}, asLine(f)})
	}
	return s
}

// Add adds an order. Orders must come in the order in which they were accepted.
func (s *FrameStream) Add(t OrderTrace) error {
	if !t.DependsOn(s.component) {
		return nil
	}
	for _, e := range orderEntries(t, s.window) {
		if e.Frames == nil {
			continue
		}
		s.seq++
		s.push(waits{place{e.At.UnixNano(), s.seq}, append(asLine(e.Frames[0].Frame), asLine(e.Frames[1].Frame)...)})
	}
	if s.held > s.most {
		if err := s.spill(); err != nil {
			return fmt.Errorf("keep frames in a temporary file: %w", err)
		}
	}
	return s.write(t.AcceptedAt.Add(-slack).UnixNano())
}

// Close writes what is left.
func (s *FrameStream) Close() error {
	err := s.write(1<<63 - 1)
	for _, r := range s.runs {
		err = errors.Join(err, r.file.Close())
	}
	return errors.Join(err, s.out.Flush())
}

func (s *FrameStream) push(w waits) {
	heap.Push(&s.wait, w)
	s.held += len(w.lines) + 64
}

// write writes what happened before a time.
func (s *FrameStream) write(before int64) error {
	for {
		from, first := -1, waits{place: place{at: before}}
		if len(s.wait) > 0 && s.wait[0].compare(first.place) < 0 {
			from, first = len(s.runs), s.wait[0]
		}
		for i, r := range s.runs {
			if !r.end && r.next.compare(first.place) < 0 {
				from, first = i, r.next
			}
		}
		switch {
		case from < 0:
			return nil
		case from < len(s.runs):
			if err := s.runs[from].read(); err != nil {
				return fmt.Errorf("read frames back from the temporary file: %w", err)
			}
		default:
			heap.Pop(&s.wait)
			s.held -= len(first.lines) + 64
		}
		for l := range bytes.Lines(first.lines) {
			s.no++
			s.out.WriteString(`{"no":` + strconv.Itoa(s.no) + `,`)
			if _, err := s.out.Write(l[1:]); err != nil {
				return err
			}
		}
	}
}

// asLine is a frame as a line of JSON, without a number.
func asLine(f ltp.Frame) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(f); err != nil {
		panic(err) // a frame has nothing that JSON cannot say
	}
	return b.Bytes()
}

// waits are lines that wait for their turn.
type waits struct {
	place
	lines []byte
}

// waiting is a heap.
type waiting []waits

func (w waiting) Len() int           { return len(w) }
func (w waiting) Less(i, j int) bool { return w[i].compare(w[j].place) < 0 }
func (w waiting) Swap(i, j int)      { w[i], w[j] = w[j], w[i] }
func (w *waiting) Push(x any)        { *w = append(*w, x.(waits)) }
func (w *waiting) Pop() any {
	last := len(*w) - 1
	x := (*w)[last]
	(*w)[last], *w = waits{}, (*w)[:last]
	return x
}

// spilled is a temporary file of lines in turn.
type spilled struct {
	file *os.File
	in   *bufio.Reader
	next waits
	end  bool
}

// spill moves all that waits to a file, which is gone with the process.
func (s *FrameStream) spill() error {
	file, err := os.CreateTemp("", "ltp-frames-*")
	if err != nil {
		return err
	}
	if err := os.Remove(file.Name()); err != nil {
		return errors.Join(err, file.Close())
	}
	r := &spilled{file: file}
	s.runs = append(s.runs, r)
	slices.SortFunc(s.wait, func(a, b waits) int { return a.compare(b.place) })
	out := bufio.NewWriter(file)
	for _, w := range s.wait {
		var head [20]byte
		binary.BigEndian.PutUint64(head[:], uint64(w.at))
		binary.BigEndian.PutUint64(head[8:], uint64(w.seq))
		binary.BigEndian.PutUint32(head[16:], uint32(len(w.lines)))
		out.Write(head[:])
		out.Write(w.lines)
	}
	s.wait, s.held = nil, 0
	if err := out.Flush(); err != nil {
		return err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	r.in = bufio.NewReader(file)
	return r.read()
}

func (r *spilled) read() error {
	var head [20]byte
	if _, err := io.ReadFull(r.in, head[:]); err == io.EOF {
		r.next, r.end = waits{}, true
		return nil
	} else if err != nil {
		return err
	}
	r.next = waits{
		place{int64(binary.BigEndian.Uint64(head[:])), int64(binary.BigEndian.Uint64(head[8:]))},
		make([]byte, binary.BigEndian.Uint32(head[16:])),
	}
	_, err := io.ReadFull(r.in, r.next.lines)
	return err
}
