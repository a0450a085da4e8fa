package trace

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strconv"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/extsort"
)

// FrameStream writes the frames of a window as JSON lines, numbered from 1 in order of
// time as those of a Timeline are. It writes each as soon as none can come before it,
// and holds some tens of megabytes at most: what waits beyond that goes to a temporary
// file.
type FrameStream struct {
	out       *bufio.Writer
	component string
	window    Window
	waits     extsort.Sorter
	seq       int
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
	s := &FrameStream{out: bufio.NewWriter(w), component: o.Component, window: window, waits: extsort.Sorter{Most: heldMost}}
	for i, f := range in.Frames {
		_ = s.waits.Add(turn(f.At, i-len(in.Frames)), asLine(f)) // that of the next says what failed
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
		if err := s.waits.Add(turn(e.At, s.seq), append(asLine(e.Frames[0].Frame), asLine(e.Frames[1].Frame)...)); err != nil {
			return err
		}
	}
	return s.write(turn(t.AcceptedAt.Add(-slack), math.MinInt))
}

// Close writes what is left.
func (s *FrameStream) Close() error {
	return errors.Join(s.write(""), s.waits.Close(), s.out.Flush())
}

// turn sorts by time, and then by seq.
func turn(at time.Time, seq int) string {
	const sign = 1 << 63
	key := binary.BigEndian.AppendUint64(nil, uint64(at.UnixNano())^sign)
	return string(binary.BigEndian.AppendUint64(key, uint64(seq)^sign))
}

// write writes the lines of the turns before one, or of all.
func (s *FrameStream) write(before string) error {
	for r, err := range s.waits.Below(before) {
		if err != nil {
			return err
		}
		for l := range bytes.Lines(r.Data) {
			s.no++
			s.out.WriteString(`{"no":` + strconv.Itoa(s.no) + `,`)
			if _, err := s.out.Write(l[1:]); err != nil {
				return err
			}
		}
	}
	return nil
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
