package observer

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"
)

// Recorded is a sample and when it was seen.
type Recorded struct {
	At time.Time
	Sample
}

// line is a Recorded as one line of a recording. Latencies are whole milliseconds,
// rounded down, which decides alike under limits of whole milliseconds.
type line struct {
	At        string            `json:"at"`
	LatencyMs int64             `json:"latency_ms"`
	Hanging   bool              `json:"hanging,omitempty"`
	Error     string            `json:"error,omitempty"`
	Definite  bool              `json:"definite,omitempty"`
	Reason    string            `json:"reason,omitempty"`
	ReadOnly  bool              `json:"read_only,omitempty"`
	Facts     map[string]string `json:"facts,omitempty"`
}

// recordedAt is RFC 3339 in UTC to the millisecond.
const recordedAt = "2006-01-02T15:04:05.000Z07:00"

const (
	// flushEvery is how much of a recording is lost with its process.
	flushEvery = time.Second
	maxLine    = 1 << 20
)

// Recorder writes a recording: JSON Lines, one sample each, such as
//
//	{"at":"2024-05-20T14:30:05.000Z","latency_ms":5000,"hanging":true}
//	{"at":"2024-05-20T14:30:50.250Z","latency_ms":3,"facts":{"leader":"db2:5432","timeline":"4"}}
//	{"at":"2024-05-20T14:30:50.500Z","latency_ms":1,"error":"refused","definite":true,"reason":"DB Connection Refused"}
//
// It is for one goroutine at a time. [ReadRecording] reads it back.
type Recorder struct {
	w       *bufio.Writer
	last    time.Time
	flushed time.Time
	err     error
}

// NewRecorder returns a Recorder that writes to w.
func NewRecorder(w io.Writer) *Recorder { return &Recorder{w: bufio.NewWriter(w)} }

// Record adds a sample, and writes what is buffered once a second. Where the clock
// was set back, the time is that of the sample before. An error ends the recording:
// every later call returns it.
func (r *Recorder) Record(at time.Time, s Sample) error {
	if at.Before(r.last) {
		at = r.last
	}
	r.last = at
	encoded, err := json.Marshal(lineOf(at, s))
	if err != nil {
		return err
	}
	if r.err == nil {
		_, r.err = r.w.Write(append(encoded, '\n'))
	}
	if at.Sub(r.flushed) >= flushEvery {
		r.flushed = at
		return r.Flush()
	}
	return r.err
}

// Flush writes what is buffered.
func (r *Recorder) Flush() error {
	if r.err == nil {
		r.err = r.w.Flush()
	}
	return r.err
}

func lineOf(at time.Time, s Sample) line {
	l := line{
		At: at.UTC().Format(recordedAt), LatencyMs: max(s.Latency, 0).Milliseconds(),
		Hanging: s.Hanging, ReadOnly: s.ReadOnly, Facts: s.Facts,
	}
	if s.Err == nil {
		return l
	}
	if l.Error = s.Err.Error(); l.Error == "" {
		l.Error = "(an error without words)"
	}
	var f Fault
	if errors.As(s.Err, &f) {
		l.Definite, l.Reason = f.Definite(), f.Reason()
	}
	return l
}

// recordedFault is a Fault that was recorded.
type recordedFault struct {
	text, reason string
	definite     bool
}

func (f *recordedFault) Error() string  { return f.text }
func (f *recordedFault) Definite() bool { return f.definite }
func (f *recordedFault) Reason() string { return f.reason }

// ReadRecording reads what a [Recorder] wrote, a line at a time. It ends at the first
// line that is not one of a recording, or is of an earlier time than the one before,
// with an error that names the line.
func ReadRecording(r io.Reader) iter.Seq2[Recorded, error] {
	return func(yield func(Recorded, error) bool) {
		scanner := bufio.NewScanner(r)
		scanner.Buffer(make([]byte, 0, 64<<10), maxLine)
		var last time.Time
		n := 0
		for scanner.Scan() {
			n++
			seen, err := parseLine(scanner.Bytes())
			if err == nil && seen.At.Before(last) {
				err = fmt.Errorf("%s is before the line above it", seen.At.Format(recordedAt))
			}
			if err != nil {
				yield(Recorded{}, fmt.Errorf("line %d: %w", n, err))
				return
			}
			last = seen.At
			if !yield(seen, nil) {
				return
			}
		}
		if err := scanner.Err(); errors.Is(err, bufio.ErrTooLong) {
			yield(Recorded{}, fmt.Errorf("line %d: longer than %d bytes: not a recording of samples", n+1, maxLine))
		} else if err != nil {
			yield(Recorded{}, fmt.Errorf("after line %d: %w", n, err))
		}
	}
}

func parseLine(text []byte) (Recorded, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var l line
	if err := decoder.Decode(&l); err != nil {
		return Recorded{}, fmt.Errorf("not a sample: %w", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return Recorded{}, errors.New("more than one sample")
	}
	at, err := time.Parse(time.RFC3339, l.At)
	switch {
	case err != nil:
		return Recorded{}, fmt.Errorf("at %q is no time such as 2024-05-20T14:30:05.000Z", l.At)
	case l.LatencyMs < 0 || l.LatencyMs > maxLatencyMs:
		return Recorded{}, fmt.Errorf("latency_ms %d is no latency", l.LatencyMs)
	case l.Error == "" && (l.Definite || l.Reason != ""):
		return Recorded{}, errors.New("definite or reason without error")
	}
	s := Sample{Latency: time.Duration(l.LatencyMs) * time.Millisecond, Hanging: l.Hanging, ReadOnly: l.ReadOnly, Facts: l.Facts}
	switch {
	case l.Reason != "" || l.Definite:
		s.Err = &recordedFault{l.Error, l.Reason, l.Definite}
	case l.Error != "":
		s.Err = errors.New(l.Error)
	}
	return Recorded{At: at.UTC(), Sample: s}, nil
}

// maxLatencyMs is a year.
const maxLatencyMs = 365 * 24 * 3600 * 1000
