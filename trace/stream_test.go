package trace_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/ltp-node/ltp/trace"
)

// A stream writes what the whole timeline has, to the letter, whether or not it keeps
// part of it in files meanwhile.
func TestFramesAreStreamedInTheOrderOfTheTimeline(t *testing.T) {
	o, orders := flicker(300)
	in, _ := trace.Latest(trace.Incidents(o))
	slices.SortStableFunc(orders.Traces, func(a, b trace.OrderTrace) int { return a.AcceptedAt.Compare(b.AcceptedAt) })
	var want bytes.Buffer
	if err := trace.WriteJSONLines(&want, trace.NewTimeline(o, in, orders, in.Window()).Frames()); err != nil {
		t.Fatal(err)
	}
	for name, most := range map[string]int{"in memory": 1 << 30, "in files": 20_000} {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			s := trace.NewFrameStream(&got, o, in, in.Window())
			s.Hold(most)
			begun := 0
			for i, order := range orders.Traces {
				if err := s.Add(order); err != nil {
					t.Fatal(err)
				}
				if i == 100 {
					begun = got.Len()
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if got.String() != want.String() {
				t.Errorf("%d bytes, want %d", got.Len(), want.Len())
			}
			if begun == 0 {
				t.Error("nothing was written before all orders were read")
			}
		})
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestFrameStreamSaysWhenItCannotWrite(t *testing.T) {
	o, orders := flicker(10)
	in, _ := trace.Latest(trace.Incidents(o))
	s := trace.NewFrameStream(full{}, o, in, in.Window())
	var err error
	for _, order := range orders.Traces {
		err = errors.Join(err, s.Add(order))
	}
	if err = errors.Join(err, s.Close()); err == nil {
		t.Error("no error")
	}
}
