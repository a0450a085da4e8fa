package ledger

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Against is what a file is verified against. Where the checkpoint was kept elsewhere
// than the file, nothing of the file can have been changed since.
type Against struct {
	Checkpoint []byte
	Key        note.Verifier
}

// CheckName names what is checked.
type CheckName string

// The checks.
const (
	CheckForm        CheckName = "form"        // every line is canonical JSON of the format, and whole
	CheckChain       CheckName = "chain"       // every entry follows on the one before
	CheckEnvelope    CheckName = "envelope"    // what is around a frame agrees with it
	CheckTime        CheckName = "time"        // time does not run backwards, and no clock breaks the order of things
	CheckIdentity    CheckName = "identity"    // one identity, one continuity token, every frame id once
	CheckCoverage    CheckName = "coverage"    // entry 0 says what is there
	CheckOrientation CheckName = "orientation" // epochs by one, allowed transitions
	CheckRouting     CheckName = "routing"     // every request is answered, on what was held true
	CheckDecision    CheckName = "decision"    // every answer is that of the decision table
	CheckReplay      CheckName = "replay"      // every replay points at a request that was not carried out
	CheckExecution   CheckName = "execution"   // every execution follows an EXECUTE, is begun under an epoch that was given, and one takes effect
	CheckEnd         CheckName = "end"         // every order has ended as what was done shows, or is named as pending
	CheckCounts      CheckName = "counts"      // the counts at the end add up
	CheckTree        CheckName = "tree"        // the tree head is that of the checkpoint
	CheckSignature   CheckName = "signature"   // the checkpoint is signed by the key
)

// Verdict is what Verify found.
type Verdict struct {
	OK       bool       `json:"ok"`
	Coverage Coverage   `json:"coverage"`
	Counts   Counts     `json:"counts"`
	Origin   string     `json:"origin,omitempty"`
	Key      string     `json:"key,omitempty"`
	TreeHash string     `json:"tree_hash,omitempty"` // in base64
	Checks   []Checked  `json:"checks,omitempty"`    // those that held, all of them where OK
	Broken   *BrokenErr `json:"broken,omitempty"`
}

// Checked is a check that held, and on what.
type Checked struct {
	Name CheckName `json:"name"`
	Said string    `json:"said"`
}

// BrokenErr is the first thing that is not as it should be.
type BrokenErr struct {
	// Line is the first broken line of the file, from 1; 0 where no line can be named.
	Line  int64     `json:"line,omitempty"`
	Check CheckName `json:"check"`
	Why   string    `json:"why"` // a sentence
}

func (e *BrokenErr) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.Check, e.Why)
	}
	return fmt.Sprintf("line %d: %s: %s", e.Line, e.Check, e.Why)
}

// fault is a BrokenErr of the line that is being read.
type fault struct {
	check CheckName
	why   string
}

func broken(check CheckName, format string, args ...any) *fault {
	return &fault{check, fmt.Sprintf(format, args...)}
}

// Verify checks a file: its form, its chain, its tree, its signature, and that what it
// says follows the rules of the protocol. A Verdict that is not OK holds what is
// broken first; an error says that the file could not be read.
//
// It needs no network. Memory is bounded but for some 100 bytes an order.
func Verify(file io.Reader, a Against) (Verdict, error) {
	v := verifier{prev: genesis}
	checkpoint, unsigned := OpenCheckpoint(a.Checkpoint, a.Key)
	v.size = checkpoint.Tree.N
	scan := bufio.NewScanner(file)
	scan.Buffer(make([]byte, 1<<16), longest)
	scan.Split(splitLines)
	for scan.Scan() {
		if f := v.line(scan.Bytes()); f != nil {
			return v.broken(v.tree.n+1, f), nil
		}
	}
	switch err := scan.Err(); {
	case errors.Is(err, errCut):
		return v.broken(v.tree.n+1, broken(CheckForm, "it does not end: the file was cut here")), nil
	case errors.Is(err, bufio.ErrTooLong):
		return v.broken(v.tree.n+1, broken(CheckForm, "it is longer than %d bytes", longest)), nil
	case err != nil:
		return Verdict{}, err
	case v.rules == nil:
		return v.broken(0, broken(CheckForm, "the file is empty")), nil
	}
	if f := v.rules.finish(); f != nil {
		return v.broken(v.tree.n, f), nil
	}
	if unsigned != nil {
		return v.broken(0, broken(CheckSignature, "%v", unsigned)), nil
	}
	if f := v.against(checkpoint); f != nil {
		return v.broken(0, f), nil
	}
	return v.verdict(checkpoint), nil
}

// longest is the longest line that is read, in bytes.
const longest = 16 << 20

var errCut = errors.New("the last line has no line feed")

// splitLines cuts at line feeds, and takes nothing else away.
func splitLines(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return 0, nil, errCut
	}
	return 0, nil, nil
}

// verifier reads a file line by line.
type verifier struct {
	prev   string
	ms     int64 // of the entry before
	tree   edge
	buffer []byte
	rules  *rules
	size   int64     // of the checkpoint
	sized  tlog.Hash // the head of the tree when it had that size
}

func (v *verifier) line(line []byte) *fault {
	e, frame, err := readLine(line)
	if err != nil {
		return broken(CheckForm, "%v", err)
	}
	if f := v.chained(e, frame, line); f != nil {
		return f
	}
	if f := v.follows(e); f != nil {
		return f
	}
	if f := v.rules.read(e.Frame); f != nil {
		return f
	}
	v.tree.add(line)
	if v.prev, v.ms = e.Hash, e.TimestampMs; v.tree.n == v.size {
		v.sized = v.tree.head().Hash
	}
	return nil
}

// chained checks that an entry is the next one, and that its hashes are right.
func (v *verifier) chained(e Entry, frame, line []byte) *fault {
	switch {
	case e.I != v.tree.n && v.tree.n == 0:
		return broken(CheckChain, "it is entry %d, and the file should begin with entry 0: its head was cut off", e.I)
	case e.I != v.tree.n:
		return broken(CheckChain, "it is entry %d, and entry %d should stand here: a line was removed, added or moved", e.I, v.tree.n)
	case e.PrevHash != v.prev && v.tree.n == 0:
		return broken(CheckChain, "the chain does not begin at zeros: its head was cut off")
	case e.PrevHash != v.prev:
		return broken(CheckChain, "it does not follow on the line before: its prev_hash is not that line's hash")
	}
	place := envelope{i: e.I, ms: e.TimestampMs, in: e.Direction == "in", session: e.SessionID, prev: e.PrevHash}
	var hash string
	v.buffer, hash = place.appendLine(v.buffer[:0], frame)
	switch {
	case hash != e.Hash:
		return broken(CheckChain, "its hash is not that of its frame: one of them was changed")
	case !bytes.Equal(v.buffer, line):
		return broken(CheckEnvelope, "its direction is %q, which there is not", e.Direction)
	}
	return nil
}

// follows checks an entry against what the file covers and the entry before.
func (v *verifier) follows(e Entry) *fault {
	if v.rules == nil {
		hello, ok := e.Frame.Payload.(*Hello)
		if !ok {
			return broken(CheckCoverage, "the file begins with a frame of type %s, and should say first what it covers", e.Frame.Type)
		}
		if hello.Export.Format != Format {
			return broken(CheckCoverage, "the file is of format %d, and this knows format %d", hello.Export.Format, Format)
		}
		v.rules, v.ms = newRules(hello.Export), e.TimestampMs
	}
	c := v.rules.covers
	frame, want := e.Frame, c.frame(e.Frame.TS, e.Frame.ID, e.Frame.Type)
	frame.Payload = nil
	switch {
	case e.TimestampMs != e.Frame.TS:
		return broken(CheckEnvelope, "its timestamp_ms is %d, and the frame's ts %d", e.TimestampMs, e.Frame.TS)
	case e.SessionID != c.session():
		return broken(CheckEnvelope, "its session is %q, and that of the file %q", e.SessionID, c.session())
	case (e.Direction == "in") != (want.From == customer):
		return broken(CheckEnvelope, "a %s cannot go %s", e.Frame.Type, e.Direction)
	case e.TimestampMs < v.ms:
		return broken(CheckTime, "time runs backwards: %d follows %d", e.TimestampMs, v.ms)
	case frame.Identity != want.Identity:
		return broken(CheckIdentity, "the identity is %q, and that of the file %q", frame.Identity, want.Identity)
	case frame.ContinuityToken != want.ContinuityToken:
		return broken(CheckIdentity, "the continuity token is %q, and that of the file %q", frame.ContinuityToken, want.ContinuityToken)
	case frame != want:
		return broken(CheckIdentity, "a %s of LTP %s cannot be from %q to %q", frame.Type, frame.V, frame.From, frame.To)
	}
	return nil
}

// against compares the file with what was signed.
func (v *verifier) against(p Checkpoint) *fault {
	head := v.tree.head()
	if err := p.of(v.rules.covers); err != nil {
		return broken(CheckSignature, "%v", err)
	}
	switch {
	case head.N < p.Tree.N:
		return broken(CheckTree, "the file has %d entries, and the checkpoint %d: some were removed", head.N, p.Tree.N)
	case head.N > p.Tree.N && v.sized == p.Tree.Hash:
		return broken(CheckTree, "the file has %d entries, and the checkpoint %d: what follows on line %d was added", head.N, p.Tree.N, p.Tree.N)
	case head.N > p.Tree.N:
		return broken(CheckTree, "the file has %d entries, and the checkpoint %d: some were added", head.N, p.Tree.N)
	case head.Hash != p.Tree.Hash:
		return broken(CheckTree, "the tree head of the file is not the one that was signed: something was changed, and the chain computed again")
	}
	return nil
}

func (v *verifier) broken(line int64, f *fault) Verdict {
	d := Verdict{Broken: &BrokenErr{Line: line, Check: f.check, Why: f.why}}
	if v.rules != nil {
		d.Coverage = v.rules.covers
	}
	return d
}

func (v *verifier) verdict(p Checkpoint) Verdict {
	d := Verdict{
		OK: true, Coverage: v.rules.covers, Counts: v.rules.counts,
		Origin: p.Origin, Key: p.Key, TreeHash: p.Tree.Hash.String(),
	}
	n := v.tree.n
	d.Checks = slices.Concat([]Checked{
		{CheckForm, fmt.Sprintf("%d lines, each in canonical form", n)},
		{CheckChain, fmt.Sprintf("%d entries, each chained to the one before", n)},
		{CheckEnvelope, "what is around the frames agrees with them"},
		{CheckTime, v.rules.clocks.summary()},
		{CheckIdentity, fmt.Sprintf("%s throughout; every frame id once", v.rules.covers.identity())},
	}, v.rules.checks(), []Checked{
		{CheckTree, fmt.Sprintf("%d entries with the head %s", n, p.Tree.Hash)},
		{CheckSignature, "by " + p.Key},
	})
	return d
}
