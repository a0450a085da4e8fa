package ledger

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/ltp-node/ltp"
)

// ErrNoOrder: the file holds nothing of the order.
var ErrNoOrder = errors.New("the file holds nothing of that order")

const proofHeader = "c2sp.org/tlog-proof@v1"

// Prove writes the proof that the entries of one order are in the file whose head the
// checkpoint signs: for entry 0, which says what the file covers, and for each entry of
// the order, a proof in the form of C2SP tlog-proof whose extra data is the entry. The
// proofs follow one another. A file that is not the one of the checkpoint is an error,
// as is an order that it does not hold: ErrNoOrder.
//
// It holds 64 bytes an entry of the file in memory.
func Prove(w io.Writer, file io.Reader, a Against, orderID string) (entries int, err error) {
	checkpoint, err := OpenCheckpoint(a.Checkpoint, a.Key)
	if err != nil {
		return 0, err
	}
	var all hashes
	var chosen []Proved
	n := int64(0)
	scan := bufio.NewScanner(file)
	scan.Buffer(make([]byte, 1<<16), longest)
	scan.Split(splitLines)
	for ; scan.Scan(); n++ {
		e, _, err := readLine(scan.Bytes())
		if err != nil {
			return 0, fmt.Errorf("line %d: %w", n+1, err)
		}
		if err := all.add(n, scan.Bytes()); err != nil {
			return 0, err
		}
		if n == 0 || e.of() == orderID {
			chosen = append(chosen, Proved{Index: n, Line: bytes.Clone(scan.Bytes())})
		}
	}
	if err := scan.Err(); err != nil {
		return 0, fmt.Errorf("line %d: %w", n+1, err)
	}
	if hash, err := tlog.TreeHash(n, &all); err != nil || n != checkpoint.Tree.N || hash != checkpoint.Tree.Hash {
		return 0, errors.New("the file is not the one of the checkpoint: ltp trace verify says where it is broken")
	}
	if len(chosen) < 2 {
		return 0, fmt.Errorf("order %s: %w", orderID, ErrNoOrder)
	}
	for _, p := range chosen {
		proof, err := tlog.ProveRecord(n, p.Index, &all)
		if err != nil {
			return 0, fmt.Errorf("prove entry %d: %w", p.Index, err)
		}
		if err := writeProof(w, p, proof, a.Checkpoint); err != nil {
			return 0, err
		}
	}
	return len(chosen), nil
}

// of is the order that an entry is about; empty for others.
func (e Entry) of() string {
	switch p := e.Frame.Payload.(type) {
	case *Request:
		return p.Order.ID
	case *Response:
		return p.OrderID
	case *Snapshot:
		switch {
		case p.Parking != nil:
			return p.Parking.OrderID
		case p.Withdrawal != nil:
			return p.Withdrawal.OrderID
		case p.Execution != nil:
			return p.Execution.OrderID
		case p.Note != nil:
			return p.Note.OrderID
		case p.End != nil:
			return p.End.Order.ID
		}
	}
	return ""
}

func writeProof(w io.Writer, p Proved, proof tlog.RecordProof, checkpoint []byte) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\nextra %s\nindex %d\n", proofHeader, base64.StdEncoding.EncodeToString(p.Line), p.Index)
	for _, h := range proof {
		fmt.Fprintln(&b, h)
	}
	b.WriteByte('\n')
	b.Write(checkpoint)
	_, err := w.Write(b.Bytes())
	return err
}

// Proved is an entry that was proved to be in a file.
type Proved struct {
	Index int64  `json:"index"` // its number in the file, from 0
	Line  []byte `json:"-"`     // the entry, without its line feed
	Entry Entry  `json:"entry"`
}

// Proof is what a customer knows of one order.
type Proof struct {
	Coverage   Coverage   `json:"coverage"`
	Checkpoint Checkpoint `json:"checkpoint"`
	Order      Order      `json:"order"`
	End        End        `json:"end"`
	Entries    []Proved   `json:"entries"` // those of the order; entry 0 is not among them
}

// VerifyProof checks a proof with the public key alone: that each entry is in the file
// whose head the checkpoint signs, and that they are all that the file has of one
// order, and follow the rules. What is not so is an error that says what.
//
// Not checked is whether what answers were based on was held true: for that it takes
// the file.
func VerifyProof(data []byte, key note.Verifier) (Proof, error) {
	blocks, err := cutProofs(data)
	if err != nil {
		return Proof{}, err
	}
	var p Proof
	var first []byte
	var again bytes.Buffer
	for i, b := range blocks {
		if i == 0 {
			first = b.checkpoint
			if p.Checkpoint, err = OpenCheckpoint(first, key); err != nil {
				return Proof{}, err
			}
		} else if !bytes.Equal(b.checkpoint, first) {
			return Proof{}, fmt.Errorf("entry %d: the checkpoint is another than that of the entries before", b.Index)
		}
		if err := writeProof(&again, b.Proved, b.proof, b.checkpoint); err != nil {
			return Proof{}, err
		}
		if err := b.check(p.Checkpoint.Tree); err != nil {
			return Proof{}, fmt.Errorf("entry %d: %w", b.Index, err)
		}
		if i > 0 {
			p.Entries = append(p.Entries, b.Proved)
		}
	}
	if !bytes.Equal(again.Bytes(), data) {
		return Proof{}, errors.New("the proof is not spelled as proofs are: it was changed")
	}
	return p, p.follows(blocks)
}

// follows checks what the entries say.
func (p *Proof) follows(blocks []*block) error {
	hello, ok := blocks[0].Entry.Frame.Payload.(*Hello)
	if !ok || blocks[0].Index != 0 {
		return errors.New("the proof does not begin with entry 0, which says what the file covers")
	}
	p.Coverage = hello.Export
	if err := p.Checkpoint.of(p.Coverage); err != nil {
		return err
	}
	r := newRules(p.Coverage)
	r.alone = true
	id, last := "", int64(-1)
	for i, b := range blocks {
		if i == 1 {
			id = b.Entry.of()
		}
		if i > 0 && (id == "" || b.Entry.of() != id) {
			return fmt.Errorf("entry %d is not of order %s", b.Index, id)
		}
		if b.Index <= last {
			return fmt.Errorf("entry %d stands behind entry %d", b.Index, last)
		}
		last = b.Index
		if f := r.read(b.Entry.Frame); f != nil {
			return fmt.Errorf("entry %d: %s: %s", b.Index, f.check, f.why)
		}
	}
	if r.orders[id] != finished {
		return fmt.Errorf("the last entry of order %s is not in the proof", id)
	}
	p.End = *blocks[len(blocks)-1].Entry.Frame.Payload.(*Snapshot).End
	p.Order = p.End.Order
	return nil
}

// block is one tlog-proof.
type block struct {
	Proved
	proof      tlog.RecordProof
	checkpoint []byte
}

// check checks that the entry is in the tree, and is an entry.
func (b *block) check(t tlog.Tree) (err error) {
	if b.Index < 0 || b.Index >= t.N {
		return fmt.Errorf("the file has %d entries", t.N)
	}
	if err := tlog.CheckRecord(b.proof, t.N, t.Hash, b.Index, tlog.RecordHash(b.Line)); err != nil {
		return errors.New("it is not in the file that was signed: it was changed, or the proof was")
	}
	var frame []byte
	if b.Entry, frame, err = readLine(b.Line); err != nil {
		return err
	}
	e := envelope{i: b.Index, ms: b.Entry.Frame.TS, in: b.Entry.Frame.Type == ltp.FrameRouteRequest, session: b.Entry.SessionID, prev: b.Entry.PrevHash}
	if line, _ := e.appendLine(nil, frame); !bytes.Equal(line, b.Line) {
		return errors.New("what is around its frame does not agree with it")
	}
	return nil
}

// cutProofs reads proofs that follow one another: at least that of entry 0 and one more.
func cutProofs(data []byte) (blocks []*block, err error) {
	all, rest := lines(data)
	if len(rest) > 0 || len(all) == 0 || string(all[0]) != proofHeader {
		return nil, fmt.Errorf("this is no proof: it does not begin with %s, or is cut off", proofHeader)
	}
	for from := 0; from < len(all); {
		to := from + 1
		for to < len(all) && string(all[to]) != proofHeader {
			to++
		}
		b, err := parseProof(all[from+1 : to])
		if err != nil {
			return nil, fmt.Errorf("the proof of entry %d of the order: %w", len(blocks), err)
		}
		blocks, from = append(blocks, b), to
	}
	if len(blocks) < 2 {
		return nil, errors.New("the proof holds no order")
	}
	return blocks, nil
}

// parseProof reads the lines of a tlog-proof behind its header.
func parseProof(all [][]byte) (b *block, err error) {
	b = &block{}
	if len(all) < 3 {
		return nil, errors.New("it is cut off")
	}
	extra, ok := bytes.CutPrefix(all[0], []byte("extra "))
	if !ok {
		return nil, errors.New("it does not hold the entry")
	}
	if b.Line, err = base64.StdEncoding.Strict().DecodeString(string(extra)); err != nil {
		return nil, errors.New("its entry is not in base64")
	}
	index, ok := bytes.CutPrefix(all[1], []byte("index "))
	if b.Index, err = strconv.ParseInt(string(index), 10, 64); !ok || err != nil || strconv.FormatInt(b.Index, 10) != string(index) {
		return nil, fmt.Errorf("%q is no index", all[1])
	}
	for i, line := range all[2:] {
		if len(line) == 0 {
			b.checkpoint = append(bytes.Join(all[2+i+1:], []byte("\n")), '\n')
			return b, nil
		}
		h, err := tlog.ParseHash(string(line))
		if err != nil {
			return nil, fmt.Errorf("%q is no hash", line)
		}
		b.proof = append(b.proof, h)
	}
	return nil, errors.New("it holds no checkpoint")
}
