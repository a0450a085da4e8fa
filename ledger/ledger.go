// Package ledger is the trace of an incident as a file that proves what it says: hash
// chained JSON Lines that the public LTP inspector reads, and beside them a signed
// checkpoint of their Merkle tree.
//
// Export writes the file from Temporal history alone, Verify checks it offline, Prove
// takes out what one customer needs to check one order. The format is a contract; it
// stands in docs/trace.md.
package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/ledger/canonical"
)

const (
	// Format is the version of the file format, which entry 0 names.
	Format = 2
	// Software is who wrote the file. It names no build: the same history is the same
	// bytes whichever build exports it.
	Software = "github.com/ltp-node/ltp"

	protocol = "0.1" // of LTP frames
	sender   = "ltp-node"
	customer = "client:order"
	action   = "place_order"
)

// genesis is the prev_hash of the first entry.
var genesis = strings.Repeat("0", 2*sha256.Size)

// Entry is one line of the file, in canonical JSON.
type Entry struct {
	I           int64  `json:"i"` // from 0
	TimestampMs int64  `json:"timestamp_ms"`
	Direction   string `json:"direction"` // "in" for a route_request, "out" otherwise
	SessionID   string `json:"session_id"`
	Frame       Frame  `json:"frame"`
	// PrevHash is the Hash of the entry before, 64 zeros for the first; Hash is the
	// SHA-256 of PrevHash, in hex, followed by the canonical frame. Both are in hex.
	PrevHash string `json:"prev_hash"`
	Hash     string `json:"hash"`
}

// Frame is an LTP frame. Payload is a pointer to what Type says: Hello, Heartbeat,
// Orientation, Request, Response or Snapshot.
type Frame struct {
	V               string        `json:"v"`
	ID              string        `json:"id"`
	TS              int64         `json:"ts"` // unix milliseconds
	Type            ltp.FrameType `json:"type"`
	From            string        `json:"from"`
	To              string        `json:"to,omitempty"`
	ContinuityToken string        `json:"continuity_token"`
	Identity        string        `json:"identity"`
	Payload         any           `json:"payload"`
}

// UnmarshalJSON decodes a frame with the payload of its type.
func (f *Frame) UnmarshalJSON(data []byte) error {
	type plain Frame
	var raw struct {
		plain
		Payload json.RawMessage `json:"payload"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	*f = Frame(raw.plain)
	switch f.Type {
	case ltp.FrameHello:
		f.Payload = new(Hello)
	case ltp.FrameHeartbeat:
		f.Payload = new(Heartbeat)
	case ltp.FrameOrientation:
		f.Payload = new(Orientation)
	case ltp.FrameRouteRequest:
		f.Payload = new(Request)
	case ltp.FrameRouteResponse:
		f.Payload = new(Response)
	case ltp.FrameFocusSnapshot:
		f.Payload = new(Snapshot)
	default:
		return fmt.Errorf("there is no frame of type %q", f.Type)
	}
	return json.Unmarshal(raw.Payload, f.Payload)
}

// envelope is a frame's place in a file, before it has one.
type envelope struct {
	i       int64
	ms      int64
	in      bool // a route_request
	session string
	prev    string
}

// appendLine appends the line of a frame, which is given in canonical form, and
// returns its hash.
func (e envelope) appendLine(dst, frame []byte) ([]byte, string) {
	h := sha256.New()
	h.Write([]byte(e.prev))
	h.Write(frame)
	hash := hex.EncodeToString(h.Sum(nil))
	session, _ := canonical.Marshal(e.session) // it was refused before if it cannot be written
	direction := "out"
	if e.in {
		direction = "in"
	}
	dst = append(dst, `{"direction":"`...)
	dst = append(dst, direction...)
	dst = append(dst, `","frame":`...)
	dst = append(dst, frame...)
	dst = append(dst, `,"hash":"`...)
	dst = append(dst, hash...)
	dst = append(dst, `","i":`...)
	dst = strconv.AppendInt(dst, e.i, 10)
	dst = append(dst, `,"prev_hash":"`...)
	dst = append(dst, e.prev...)
	dst = append(dst, `","session_id":`...)
	dst = append(dst, session...)
	dst = append(dst, `,"timestamp_ms":`...)
	dst = strconv.AppendInt(dst, e.ms, 10)
	return append(dst, '}'), hash
}

// readLine decodes a line, without its line feed. A line that is not the canonical
// form of what it says is an error; whether it says the truth is not checked. The
// frame's canonical form is returned with it.
func readLine(line []byte) (e Entry, frame []byte, err error) {
	if err := json.Unmarshal(line, &e); err != nil {
		return e, nil, fmt.Errorf("it cannot be read: %w", err)
	}
	if err := canonical.Check(line, e); err != nil {
		return e, nil, err
	}
	frame, err = canonical.Marshal(e.Frame)
	return e, frame, err
}

// lines cuts a text into lines without their line feeds; what follows the last line
// feed is rest.
func lines(text []byte) (all [][]byte, rest []byte) {
	for {
		line, after, ok := bytes.Cut(text, []byte("\n"))
		if !ok {
			return all, text
		}
		all, text = append(all, line), after
	}
}

// Summary is what an entry of an order says, on one line.
func (e Entry) Summary() string {
	switch p := e.Frame.Payload.(type) {
	case *Request:
		if p.ReplayContext != nil {
			return fmt.Sprintf("route_request, replays %s", p.ReplayContext.OriginalFrameID)
		}
		return "route_request"
	case *Response:
		return fmt.Sprintf("route_response %s %s (%s, epoch %d)", p.Decision, p.Reason, p.State, p.Epoch)
	case *Snapshot:
		return p.summary()
	}
	return string(e.Frame.Type)
}

func (p *Snapshot) summary() string {
	switch {
	case p.Execution != nil && p.Execution.done():
		return "written"
	case p.Execution != nil && p.Execution.Result == "":
		return "being written"
	case p.Execution != nil:
		return "not written: " + string(p.Execution.Result)
	case p.Parking != nil:
		return fmt.Sprintf("parked after %d failures", p.Parking.Failures)
	case p.Withdrawal != nil:
		return fmt.Sprintf("to be %s: %s", p.Withdrawal.Asked.State, p.Withdrawal.Found)
	case p.Note != nil:
		return strconv.Quote(p.Note.By + " " + p.Note.Text)
	case p.End != nil:
		return string(p.End.State)
	}
	return string(ltp.FrameFocusSnapshot)
}
