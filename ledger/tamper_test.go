package ledger_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/ledger"
	"github.com/ltp-node/ltp/ledger/canonical"
)

// forger changes an export as somebody would who knows the format.
type forger struct {
	t *testing.T
	file
	entries []ledger.Entry
}

func newForger(t *testing.T, f file) *forger {
	forge := &forger{t: t, file: f}
	forge.lines = slices.Clone(f.lines)
	for _, line := range f.lines {
		var e ledger.Entry
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		forge.entries = append(forge.entries, e)
	}
	return forge
}

// at is the number of the entry of a frame.
func (f *forger) at(id string) int {
	f.t.Helper()
	i := slices.IndexFunc(f.entries, func(e ledger.Entry) bool { return e.Frame.ID == id })
	if i < 0 {
		f.t.Fatalf("there is no frame %s", id)
	}
	return i
}

func payload[P any](f *forger, id string) P {
	f.t.Helper()
	return f.entries[f.at(id)].Frame.Payload.(P)
}

// only keeps the entries for which keep holds.
func (f *forger) only(keep func(ledger.Entry) bool) {
	f.entries = slices.DeleteFunc(f.entries, func(e ledger.Entry) bool { return !keep(e) })
}

// chain computes the chain again.
func (f *forger) chain() {
	f.lines = nil
	prev := strings.Repeat("0", 64)
	for i := range f.entries {
		e := &f.entries[i]
		frame, err := canonical.Marshal(e.Frame)
		if err != nil {
			f.t.Fatal(err)
		}
		sum := sha256.Sum256(append([]byte(prev), frame...))
		e.I, e.PrevHash, e.Hash = int64(i), prev, hex.EncodeToString(sum[:])
		prev = e.Hash
		f.write(i)
	}
}

// write writes an entry as it is.
func (f *forger) write(i int) {
	line, err := canonical.Marshal(f.entries[i])
	if err != nil {
		f.t.Fatal(err)
	}
	f.lines = slices.Insert(f.lines, min(i, len(f.lines)), line)
}

// replace writes an entry in its place.
func (f *forger) replace(i int) {
	f.lines = slices.Delete(f.lines, i, i+1)
	f.write(i)
}

// sign signs what the file is now.
func (f *forger) sign(key note.Signer) {
	var all []tlog.Hash
	for i, line := range f.lines {
		more, err := tlog.StoredHashes(int64(i), line, stored(all))
		if err != nil {
			f.t.Fatal(err)
		}
		all = append(all, more...)
	}
	n := int64(len(f.lines))
	hash, err := tlog.TreeHash(n, stored(all))
	if err != nil {
		f.t.Fatal(err)
	}
	if f.checkpoint, err = ledger.SignCheckpoint(f.export.Coverage, tlog.Tree{N: n, Hash: hash}, key); err != nil {
		f.t.Fatal(err)
	}
}

func stored(all []tlog.Hash) tlog.HashReaderFunc {
	return func(at []int64) (found []tlog.Hash, err error) {
		for _, i := range at {
			found = append(found, all[i])
		}
		return found, nil
	}
}

// recount makes first and last entry agree with what is there.
func (f *forger) recount() {
	hello, closing := f.entries[0].Frame.Payload.(*ledger.Hello), f.entries[len(f.entries)-1].Frame.Payload.(*ledger.Snapshot).Closing
	c := *closing
	c.Orders, c.Requests, c.Replays, c.Executions, c.Written, c.Notes, c.Orientations, c.Withdrawals, c.Parkings = 0, 0, 0, 0, 0, 0, 0, 0, 0
	c.Decisions, c.Ends, c.Entries = map[ltp.Decision]int{}, map[ltp.OrderState]int{}, int64(len(f.entries))
	for _, e := range f.entries {
		switch p := e.Frame.Payload.(type) {
		case *ledger.Heartbeat:
			if p.Note != nil {
				c.Notes++
			}
		case *ledger.Orientation:
			c.Orientations++
		case *ledger.Request:
			c.Requests++
			if p.ReplayContext != nil {
				c.Replays++
			}
		case *ledger.Response:
			c.Decisions[p.Decision]++
		case *ledger.Snapshot:
			switch {
			case p.Execution != nil:
				c.Executions++
				if p.Execution.Result == ltp.ResultExecuted {
					c.Written++
				}
			case p.Withdrawal != nil:
				c.Withdrawals++
			case p.Parking != nil:
				c.Parkings++
			case p.Note != nil:
				c.Notes++
			case p.End != nil:
				c.Orders++
				c.Ends[p.End.State]++
			}
		}
	}
	*closing = c
	hello.Export.Orders = c.Orders
}

func ofOrder(id string) func(ledger.Entry) bool {
	return func(e ledger.Entry) bool { return strings.HasPrefix(e.Frame.ID, id+"/") }
}

// admit turns the answer to R5, which was deferred and then cancelled, into an EXECUTE.
func admit(f *forger) {
	r := payload[*ledger.Response](f, "R5/1/response")
	r.Admissible, r.Decision, r.Reason, r.Commitment, r.Selection = true, ltp.Execute, ltp.ReasonOK, "", "execute"
	r.Branches = []ledger.Branch{{ID: "execute", Confidence: 1, Status: "admissible"}, {ID: "defer", Confidence: 0, Status: "blocked"}}
}

func TestTamperingIsCaughtAndNamed(t *testing.T) {
	f := export(t, outage(t), 2)
	if v := f.verify(t); !v.OK {
		t.Fatal(v.Broken)
	}
	for _, c := range []struct {
		what  string
		do    func(*forger)
		line  string // the id of the frame at which it is found; empty where no line can be named
		check ledger.CheckName
	}{
		{"a line removed", func(f *forger) { f.lines = slices.Delete(f.lines, 8, 9) }, "@8", ledger.CheckChain},
		{"a line added", func(f *forger) { f.lines = slices.Insert(f.lines, 8, f.lines[7]) }, "@8", ledger.CheckChain},
		{"two lines swapped", func(f *forger) { f.lines[8], f.lines[9] = f.lines[9], f.lines[8] }, "@8", ledger.CheckChain},
		{"the head cut", func(f *forger) { f.lines = f.lines[3:] }, "@0", ledger.CheckChain},
		{"the tail cut", func(f *forger) { f.lines = f.lines[:20] }, "@19", ledger.CheckCounts},
		{"the last line cut in half", func(f *forger) { f.lines[len(f.lines)-1] = f.lines[len(f.lines)-1][:200] }, "@46", ledger.CheckForm},
		{"the whole file cut", func(f *forger) { f.lines = [][]byte{nil} }, "@0", ledger.CheckForm},
		{"white space added", func(f *forger) { f.lines[5] = append(slices.Clone(f.lines[5]), ' ') }, "@5", ledger.CheckForm},
		{"a field added", func(f *forger) {
			f.lines[5] = bytes.Replace(f.lines[5], []byte(`{"direction`), []byte(`{"alg":"none","direction`), 1)
		}, "@5", ledger.CheckForm},
		{"an empty line added", func(f *forger) { f.lines = slices.Insert(f.lines, 5, []byte{}) }, "@5", ledger.CheckForm},

		{"an envelope's time edited", func(f *forger) { f.entries[5].TimestampMs++; f.replace(5) }, "@5", ledger.CheckEnvelope},
		{"an envelope's session edited", func(f *forger) { f.entries[5].SessionID = "incident-orders-db-7"; f.replace(5) }, "@5", ledger.CheckEnvelope},
		{"an envelope's direction edited", func(f *forger) { i := f.at("R1/1"); f.entries[i].Direction = "out"; f.replace(i) }, "R1/1", ledger.CheckEnvelope},
		{"an envelope's direction made up", func(f *forger) { f.entries[4].Direction = "up"; f.replace(4) }, "@4", ledger.CheckEnvelope},
		{"an envelope's number edited", func(f *forger) { f.entries[5].I = 50; f.replace(5) }, "@5", ledger.CheckChain},
		{"an envelope's hash edited", func(f *forger) { f.entries[5].Hash = strings.Repeat("a", 64); f.replace(5) }, "@5", ledger.CheckChain},
		{"a frame edited", func(f *forger) { admit(f); f.replace(f.at("R5/1/response")) }, "R5/1/response", ledger.CheckChain},

		// From here on the chain is computed again.
		{"a decision changed", func(f *forger) { admit(f); f.chain() }, "R5/1/response", ledger.CheckDecision},
		{"a decision changed, not admissible", func(f *forger) {
			r := payload[*ledger.Response](f, "R5/1/response")
			r.Decision, r.Reason = ltp.Execute, ltp.ReasonOK
			f.chain()
		}, "R5/1/response", ledger.CheckDecision},
		{"a decision and its state changed", func(f *forger) {
			admit(f)
			payload[*ledger.Response](f, "R5/1/response").State = ltp.Stable
			f.chain()
		}, "R5/1/response", ledger.CheckRouting},
		{"a decision and its epoch changed", func(f *forger) {
			admit(f)
			r := payload[*ledger.Response](f, "R5/1/response")
			r.State, r.Epoch = ltp.Stable, 3
			f.chain()
		}, "R5/1/response", ledger.CheckDecision},
		{"a decision based on what was not yet", func(f *forger) {
			admit(f)
			r := payload[*ledger.Response](f, "R5/1/response")
			r.State, r.Epoch = ltp.Stable, 6
			f.chain()
		}, "R5/1/response", ledger.CheckRouting},
		{"a decision said blind", func(f *forger) { payload[*ledger.Response](f, "R5/1/response").Unreadable = true; f.chain() }, "R5/1/response", ledger.CheckRouting},
		{"a duplicate id", func(f *forger) {
			i := f.at("R1/1")
			f.entries = slices.Insert(f.entries, i+2, f.entries[i])
			f.chain()
		}, "R1/1", ledger.CheckIdentity},
		{"a made-up id", func(f *forger) { f.entries[f.at("R1/1")].Frame.ID = "R1/9"; f.chain() }, "R1/9", ledger.CheckIdentity},
		{"another identity", func(f *forger) { f.entries[f.at("R1/1")].Frame.Identity = "infra:other"; f.chain() }, "R1/1", ledger.CheckIdentity},
		{"another continuity token", func(f *forger) { f.entries[f.at("R1/1")].Frame.ContinuityToken = "thread-x"; f.chain() }, "R1/1", ledger.CheckIdentity},
		{"time turned back", func(f *forger) {
			e := &f.entries[f.at("R5/1")]
			e.TimestampMs, e.Frame.TS = e.TimestampMs-15_000, e.Frame.TS-15_000
			f.chain()
		}, "R5/1", ledger.CheckTime},
		{"an orientation removed", func(f *forger) {
			f.only(func(e ledger.Entry) bool { return e.Frame.ID != "orders-db@4" })
			f.recount()
			f.chain()
		}, "R4/1/response", ledger.CheckRouting},
		{"the last orientation but one removed", func(f *forger) {
			f.only(func(e ledger.Entry) bool { return e.Frame.ID != "orders-db@5" })
			f.recount()
			f.chain()
		}, "R4/2/response", ledger.CheckRouting},
		{"a state changed", func(f *forger) {
			o := payload[*ledger.Orientation](f, "orders-db@4")
			o.State, o.Status, o.Held.State, o.Held.LastFit = ltp.Degraded, ltp.Degraded, ltp.Degraded, 4
			o.DriftLevel, o.Constraints.OrderWrites = "medium", "allowed"
			f.chain()
		}, "R4/1/response", ledger.CheckRouting},
		{"a state that cannot follow", func(f *forger) {
			o := payload[*ledger.Orientation](f, "orders-db@5")
			o.State, o.Status, o.Held.State = ltp.Stable, ltp.Stable, ltp.Stable
			o.DriftLevel, o.Constraints.OrderWrites = "low", "allowed"
			f.chain()
		}, "orders-db@5", ledger.CheckOrientation},
		{"another status for the inspector", func(f *forger) { payload[*ledger.Orientation](f, "orders-db@4").Status = ltp.Stable; f.chain() }, "orders-db@4", ledger.CheckOrientation},
		{"a request removed", func(f *forger) {
			f.only(func(e ledger.Entry) bool { return e.Frame.ID != "R4/2" })
			f.chain()
		}, "R4/2/response", ledger.CheckRouting},
		{"an answer removed", func(f *forger) {
			f.only(func(e ledger.Entry) bool { return e.Frame.ID != "R4/2/response" })
			f.chain()
		}, "R4/2/execution", ledger.CheckExecution},
		{"the last answer removed", func(f *forger) {
			f.only(func(e ledger.Entry) bool { return e.Frame.ID != "R6/1/response" })
			payload[*ledger.Snapshot](f, "R6/end").End.Entries--
			f.recount()
			f.chain()
		}, "R6/end", ledger.CheckRouting},
		{"a replay of another order", func(f *forger) {
			q := payload[*ledger.Request](f, "R4/2")
			q.ReplayContext.OriginalFrameID, q.Metadata.OriginalFrameID = "R1/1", "R1/1"
			f.chain()
		}, "R4/2", ledger.CheckReplay},
		{"a replay that says nothing", func(f *forger) {
			q := payload[*ledger.Request](f, "R4/2")
			q.ReplayContext, q.Metadata = nil, nil
			f.chain()
		}, "R4/2", ledger.CheckReplay},
		{"an execution removed", func(f *forger) {
			f.only(func(e ledger.Entry) bool { return e.Frame.ID != "R1/1/execution" })
			payload[*ledger.Snapshot](f, "R1/end").End.Entries--
			f.recount()
			f.chain()
		}, "R1/end", ledger.CheckExecution},
		{"an execution added", func(f *forger) {
			i := f.at("R1/1/execution")
			f.entries = slices.Insert(f.entries, i, f.entries[i])
			f.chain()
		}, "R1/1/execution", ledger.CheckExecution},
		{"a write begun while unfit", func(f *forger) {
			payload[*ledger.Snapshot](f, "R1/1/execution").Execution.Fence.State = ltp.Unstable
			f.chain()
		}, "R1/1/execution", ledger.CheckExecution},
		{"an order executed twice", func(f *forger) {
			x := payload[*ledger.Snapshot](f, "R3/1/execution").Execution
			x.Result, x.Message, x.CommittedMs, x.Attempt = ltp.ResultExecuted, "", x.EndedMs, "R3/1"
			f.chain()
		}, "R3/2", ledger.CheckExecution},
		{"an execution on a DEFER", func(f *forger) {
			i := f.at("R6/1/response")
			x := f.entries[f.at("R1/1/execution")]
			copied := *x.Frame.Payload.(*ledger.Snapshot).Execution
			copied.OrderID, copied.RequestFrameID = "R6", "R6/1"
			x.Frame.ID, x.Frame.TS, x.TimestampMs = "R6/1/execution", f.entries[i].TimestampMs, f.entries[i].TimestampMs
			x.Frame.Payload = &ledger.Snapshot{Execution: &copied}
			f.entries = slices.Insert(f.entries, i+1, x)
			f.chain()
		}, "R6/1/execution", ledger.CheckExecution},
		{"a write begun under what was not fit", func(f *forger) {
			x := payload[*ledger.Snapshot](f, "R4/2/execution").Execution
			x.Fence.State, x.Fence.Epoch = ltp.Unstable, 4
			f.chain()
		}, "R4/2/execution", ledger.CheckExecution},
		{"a write begun under an epoch that was not given", func(f *forger) {
			payload[*ledger.Snapshot](f, "R4/2/execution").Execution.Given = []int64{4}
			f.chain()
		}, "R4/2/execution", ledger.CheckExecution},
		{"a receipt of another request", func(f *forger) {
			payload[*ledger.Snapshot](f, "R4/2/execution").Execution.Attempt = "R4/1"
			f.chain()
		}, "R4/2/execution", ledger.CheckExecution},
		{"a write before its fence asked", func(f *forger) {
			payload[*ledger.Snapshot](f, "R4/2/execution").Execution.BegunMs -= 1000
			f.chain()
		}, "R4/2/execution", ledger.CheckExecution},
		{"a write that ended after it was recorded by more than clocks differ", func(f *forger) {
			x := payload[*ledger.Snapshot](f, "R4/2/execution").Execution
			x.TaskMs = x.RecordedMs + 1
			f.chain()
		}, "R4/2/execution", ledger.CheckExecution},
		{"another question", func(f *forger) {
			payload[*ledger.Request](f, "R4/2").Asked.Replay = false
			f.chain()
		}, "R4/2", ledger.CheckReplay},
		{"a pause that nobody answered", func(f *forger) {
			payload[*ledger.Request](f, "R4/2").Asked.Paused = []string{"orders-db"}
			f.chain()
		}, "R4/2/response", ledger.CheckDecision},
		{"a withdrawal removed", func(f *forger) {
			f.only(func(e ledger.Entry) bool { return e.Frame.ID != "R5/withdrawal/1" })
			payload[*ledger.Snapshot](f, "R5/end").End.Entries--
			f.recount()
			f.chain()
		}, "R5/end", ledger.CheckEnd},
		{"a withdrawal that shows nothing", func(f *forger) {
			payload[*ledger.Snapshot](f, "R5/withdrawal/1").Withdrawal.Fence.LastFit = 4
			f.chain()
		}, "R5/withdrawal/1", ledger.CheckEnd},
		{"withdrawn as something else", func(f *forger) {
			payload[*ledger.Snapshot](f, "R5/withdrawal/1").Withdrawal.Asked.State = ltp.Expired
			f.chain()
		}, "R5/end", ledger.CheckEnd},
		{"a note removed", func(f *forger) {
			f.only(func(e ledger.Entry) bool { return e.Frame.ID != "R5/note/1" })
			f.recount()
			f.chain()
		}, "R5/end", ledger.CheckEnd},
		{"an end changed", func(f *forger) {
			e := payload[*ledger.Snapshot](f, "R6/end").End
			e.State, e.Reason = ltp.Executed, ""
			f.recount()
			f.chain()
		}, "R6/end", ledger.CheckEnd},
		{"an end removed", func(f *forger) {
			f.only(func(e ledger.Entry) bool { return e.Frame.ID != "R6/end" })
			f.recount()
			f.chain()
		}, "_closing", ledger.CheckEnd},
		{"an order dropped", func(f *forger) {
			f.only(func(e ledger.Entry) bool { return !ofOrder("R6")(e) })
			f.chain()
		}, "_closing", ledger.CheckCounts},
		{"an order dropped, first entry left", func(f *forger) {
			orders := f.entries[0].Frame.Payload.(*ledger.Hello).Export.Orders
			f.only(func(e ledger.Entry) bool { return !ofOrder("R6")(e) })
			f.recount()
			f.entries[0].Frame.Payload.(*ledger.Hello).Export.Orders = orders
			f.chain()
		}, "_closing", ledger.CheckCoverage},
		{"closing counts changed", func(f *forger) {
			payload[*ledger.Snapshot](f, "_closing").Closing.Written++
			f.chain()
		}, "_closing", ledger.CheckCounts},
		{"an order's amount changed in one place", func(f *forger) { payload[*ledger.Request](f, "R4/2").Order.AmountMinor++; f.chain() }, "R4/2", ledger.CheckRouting},

		// These follow all the rules: only the tree shows it.
		{"an order dropped, counts adjusted", func(f *forger) {
			f.only(func(e ledger.Entry) bool { return !ofOrder("R6")(e) })
			f.recount()
			f.chain()
		}, "", ledger.CheckTree},
		{"the tail cut, another end written", func(f *forger) {
			f.only(func(e ledger.Entry) bool { return e.Frame.ID != "_heartbeat/6" })
			f.recount()
			f.chain()
		}, "", ledger.CheckTree},
		{"an amount changed throughout", func(f *forger) {
			payload[*ledger.Request](f, "R1/1").Order.AmountMinor = 1
			payload[*ledger.Snapshot](f, "R1/end").End.Order.AmountMinor = 1
			f.chain()
		}, "", ledger.CheckTree},
		{"a reason changed", func(f *forger) {
			o := payload[*ledger.Orientation](f, "orders-db@4")
			o.Reason, o.Held.Reason = "planned maintenance", "planned maintenance"
			f.chain()
		}, "", ledger.CheckTree},

		// And these, the signature.
		{"signed with another key of that name", func(f *forger) {
			other, _ := newKey(f.t, ledger.DefaultKeyName)
			f.sign(other)
		}, "", ledger.CheckSignature},
		{"a forged signature", func(f *forger) {
			i := bytes.LastIndexByte(f.checkpoint, '=') - 8
			f.checkpoint = slices.Clone(f.checkpoint)
			f.checkpoint[i] ^= 1
		}, "", ledger.CheckSignature},
		{"an edited checkpoint", func(f *forger) {
			f.checkpoint = bytes.Replace(f.checkpoint, []byte("\n47\n"), []byte("\n46\n"), 1)
		}, "", ledger.CheckSignature},
		{"the checkpoint of another incident", func(f *forger) {
			f.export.Coverage.Incident = 3
			f.sign(f.signer)
		}, "", ledger.CheckSignature},
		{"no signature", func(f *forger) { f.checkpoint, _, _ = bytes.Cut(f.checkpoint, []byte("\n\n")) }, "", ledger.CheckSignature},
	} {
		t.Run(c.what, func(t *testing.T) {
			forged := newForger(t, f)
			c.do(forged)
			want := int64(0)
			if _, err := fmt.Sscanf(c.line, "@%d", &want); err == nil {
				want++
			} else if c.line != "" {
				want = int64(forged.last(c.line) + 1)
			}
			switch v := forged.verify(t); {
			case v.OK:
				t.Error("it was not noticed")
			case v.Broken.Check != c.check || v.Broken.Line != want:
				t.Errorf("%v, want line %d: %s", v.Broken, want, c.check)
			default:
				t.Log(v.Broken)
			}
		})
	}
}

// last is where a frame is for the last time, in the lines as they are.
func (f *forger) last(id string) (at int) {
	for i, line := range f.lines {
		if bytes.Contains(line, []byte(`"id":"`+id+`"`)) {
			at = i
		}
	}
	return at
}

// Values that the node cannot have written show by themselves, whoever signed them.
func TestValuesThatCannotBeAreNamedThoughSignedAgain(t *testing.T) {
	const year, day = 365 * 24 * 3600_000, 24 * 3600_000
	f := export(t, outage(t), 2)
	execution := func(f *forger) *ledger.Execution { return payload[*ledger.Snapshot](f, "R4/2/execution").Execution }
	written := func(do func(*ledger.Execution)) func(*forger) {
		return func(f *forger) { do(execution(f)) }
	}
	answered := func(do func(*ledger.Response)) func(*forger) {
		return func(f *forger) { do(payload[*ledger.Response](f, "R5/1/response")) }
	}
	asked := func(do func(*ledger.Request)) func(*forger) {
		return func(f *forger) { do(payload[*ledger.Request](f, "R5/1")) }
	}
	held := func(do func(*ledger.Held)) func(*forger) {
		return func(f *forger) {
			o := payload[*ledger.Orientation](f, "orders-db@5")
			do(&o.Held)
			o.Reason = o.Held.Reason
		}
	}
	ordered := func(do func(*ledger.Order)) func(*forger) {
		return func(f *forger) {
			do(&payload[*ledger.Request](f, "R1/1").Order)
			do(&payload[*ledger.Snapshot](f, "R1/end").End.Order)
		}
	}
	for what, c := range map[string]struct {
		do    func(*forger)
		check ledger.CheckName
	}{
		"begun before 1970, under UNSTABLE": {written(func(x *ledger.Execution) {
			x.BegunMs, x.Fence.State, x.Fence.Epoch, x.Fence.LastFit = -1, ltp.Unstable, 4, 3
		}), ledger.CheckTime},
		"begun before 1970, under another component's fence": {written(func(x *ledger.Execution) { x.BegunMs, x.Fence.Component = -1, "payments" }), ledger.CheckTime},
		"written, and never begun":                           {written(func(x *ledger.Execution) { x.BegunMs, x.Repeated = 0, true }), ledger.CheckExecution},
		"begun, and its fence never asked":                   {written(func(x *ledger.Execution) { x.Fence.ReadMs = 0 }), ledger.CheckExecution},
		"a fence last fit in the future":                     {written(func(x *ledger.Execution) { x.Fence.LastFit = 9 }), ledger.CheckExecution},
		"committed before it was begun":                      {written(func(x *ledger.Execution) { x.CommittedMs = x.BegunMs - 1 }), ledger.CheckExecution},
		"committed a year later":                             {written(func(x *ledger.Execution) { x.CommittedMs += year }), ledger.CheckExecution},
		"committed and ended a year later":                   {written(func(x *ledger.Execution) { x.CommittedMs, x.EndedMs = x.CommittedMs+year, x.EndedMs+year }), ledger.CheckExecution},
		"ended a day later":                                  {written(func(x *ledger.Execution) { x.EndedMs += day }), ledger.CheckExecution},
		"an attempt that wrote nothing, ended a day later": {func(f *forger) {
			payload[*ledger.Snapshot](f, "R2/1/execution").Execution.EndedMs += day
		}, ledger.CheckExecution},
		"all times of a worker a year earlier": {written(func(x *ledger.Execution) {
			x.Fence.ReadMs, x.BegunMs, x.CommittedMs, x.EndedMs = x.Fence.ReadMs-year, x.BegunMs-year, x.CommittedMs-year, x.EndedMs-year
		}), ledger.CheckExecution},
		"a task after its record":           {written(func(x *ledger.Execution) { x.TaskMs += year }), ledger.CheckExecution},
		"recorded after the order's end":    {written(func(x *ledger.Execution) { x.RecordedMs += 10_000 }), ledger.CheckTime},
		"read a year earlier":               {answered(func(r *ledger.Response) { r.ReadMs = r.RecordedMs - year }), ledger.CheckRouting},
		"read a year after it was recorded": {answered(func(r *ledger.Response) { r.ReadMs = r.RecordedMs + year }), ledger.CheckRouting},
		"answered a year later":             {answered(func(r *ledger.Response) { r.RecordedMs += year }), ledger.CheckTime},
		"asked a year earlier":              {asked(func(q *ledger.Request) { q.AskedMs -= year }), ledger.CheckTime},
		"asked a year later":                {asked(func(q *ledger.Request) { q.AskedMs += year }), ledger.CheckTime},
		"asked before 1970":                 {asked(func(q *ledger.Request) { q.AskedMs = -1 }), ledger.CheckTime},
		"a withdrawal ended a year later":   {func(f *forger) { payload[*ledger.Snapshot](f, "R5/withdrawal/1").Withdrawal.EndedMs += year }, ledger.CheckEnd},
		"a withdrawal before its request":   {func(f *forger) { payload[*ledger.Snapshot](f, "R5/withdrawal/1").Withdrawal.TaskMs -= year }, ledger.CheckEnd},

		"every event the same": {func(f *forger) { f.sources(func(e *ledger.Event) { e.EventID = 1 }) }, ledger.CheckIdentity},
		"events that are none": {func(f *forger) { f.sources(func(e *ledger.Event) { e.EventID = 0 }) }, ledger.CheckForm},
		"events below zero":    {func(f *forger) { f.sources(func(e *ledger.Event) { e.EventID = -e.EventID }) }, ledger.CheckForm},
		"events that fall":     {func(f *forger) { f.sources(func(e *ledger.Event) { e.EventID = 1000 - e.EventID }) }, ledger.CheckIdentity},
		"no run":               {func(f *forger) { f.sources(func(e *ledger.Event) { e.RunID = "" }) }, ledger.CheckForm},
		"an order of no run":   {func(f *forger) { payload[*ledger.Snapshot](f, "R4/end").End.RunID = "" }, ledger.CheckForm},
		"a run that was over": {func(f *forger) {
			payload[*ledger.Request](f, "R4/2").Source.RunID = "later"
			payload[*ledger.Response](f, "R4/2/response").Source.RunID = "later"
		}, ledger.CheckIdentity},
		"an answer of another event": {answered(func(r *ledger.Response) { r.Source.EventID++ }), ledger.CheckIdentity},

		"an amount below zero":        {ordered(func(o *ledger.Order) { o.AmountMinor = -1 }), ledger.CheckForm},
		"no such currency":            {ordered(func(o *ledger.Order) { o.Currency = "usd" }), ledger.CheckForm},
		"a hash that is none":         {ordered(func(o *ledger.Order) { o.Content = "zz" }), ledger.CheckForm},
		"a hash in capital letters":   {ordered(func(o *ledger.Order) { o.Content = strings.ToUpper(o.Content) }), ledger.CheckForm},
		"no such risk":                {ordered(func(o *ledger.Order) { o.Risk = "low" }), ledger.CheckForm},
		"a component twice":           {ordered(func(o *ledger.Order) { o.DependsOn = append(o.DependsOn, o.DependsOn...) }), ledger.CheckForm},
		"another component twice":     {ordered(func(o *ledger.Order) { o.DependsOn = append(slices.Clone(o.DependsOn), "pay", "pay") }), ledger.CheckForm},
		"no such component":           {ordered(func(o *ledger.Order) { o.DependsOn = append(slices.Clone(o.DependsOn), "Pay!") }), ledger.CheckForm},
		"without what is written to":  {ordered(func(o *ledger.Order) { o.DependsOn = []string{"pay"} }), ledger.CheckForm},
		"accepted in an epoch below":  {ordered(func(o *ledger.Order) { o.StampEpoch = -1 }), ledger.CheckForm},
		"accepted in an epoch to be":  {ordered(func(o *ledger.Order) { o.StampEpoch = 99 }), ledger.CheckRouting},
		"accepted at no time":         {ordered(func(o *ledger.Order) { o.AcceptedMs = 0 }), ledger.CheckTime},
		"accepted before 1970":        {ordered(func(o *ledger.Order) { o.AcceptedMs = -1 }), ledger.CheckTime},
		"a worker with an escape":     {written(func(x *ledger.Execution) { x.Worker = "\x1b[2J" }), ledger.CheckForm},
		"a component with an escape":  {held(func(h *ledger.Held) { h.Component = "orders-db\x1b" }), ledger.CheckForm},
		"an order id with an escape":  {func(f *forger) { f.rename("R1", "R1\x1b[2J") }, ledger.CheckForm},
		"an order id that is refused": {func(f *forger) { f.rename("R1", "R 1") }, ledger.CheckForm},
		"an id of a tenant refused":   {func(f *forger) { f.rename("R1", "ACME/R1") }, ledger.CheckForm},

		"since the future":               {held(func(h *ledger.Held) { h.SinceMs += day }), ledger.CheckOrientation},
		"since a year ago":               {held(func(h *ledger.Held) { h.SinceMs -= year }), ledger.CheckOrientation},
		"since no time":                  {held(func(h *ledger.Held) { h.SinceMs = 0 }), ledger.CheckTime},
		"fit in an epoch to be":          {held(func(h *ledger.Held) { h.LastFit = 9 }), ledger.CheckOrientation},
		"fit, and last fit before":       {held(func(h *ledger.Held) { h.LastFit = 3 }), ledger.CheckOrientation},
		"held since the future":          {held(func(h *ledger.Held) { h.Hold = &ledger.Hold{By: "ann", Why: "a leak", SinceMs: h.SinceMs + day} }), ledger.CheckOrientation},
		"held since no time":             {held(func(h *ledger.Held) { h.Hold = &ledger.Hold{By: "ann", Why: "a leak"} }), ledger.CheckTime},
		"observed as something unheard":  {held(func(h *ledger.Held) { h.Observed = "FINE" }), ledger.CheckOrientation},
		"unfit, and last fit in between": {func(f *forger) { payload[*ledger.Orientation](f, "orders-db@4").Held.LastFit = 2 }, ledger.CheckOrientation},
	} {
		t.Run(what, func(t *testing.T) {
			forged := newForger(t, f)
			c.do(forged)
			forged.chain()
			forged.sign(f.signer)
			if v := forged.verify(t); v.OK || v.Broken.Check != c.check {
				t.Errorf("%v, want %s", v.Broken, c.check)
			} else {
				t.Log(v.Broken)
			}
		})
	}
}

// sources changes the sources of all entries.
func (f *forger) sources(do func(*ledger.Event)) {
	for _, e := range f.entries {
		switch p := e.Frame.Payload.(type) {
		case *ledger.Heartbeat:
			if p.Note != nil {
				do(&p.Note.Source)
			}
		case *ledger.Orientation:
			do(&p.Source)
		case *ledger.Request:
			do(&p.Source)
		case *ledger.Response:
			do(&p.Source)
		case *ledger.Snapshot:
			switch {
			case p.Execution != nil:
				do(&p.Execution.Source)
			case p.Withdrawal != nil:
				do(&p.Withdrawal.Source)
			case p.Note != nil:
				do(&p.Note.Source)
			}
		}
	}
}

// rename calls an order something else throughout.
func (f *forger) rename(from, to string) {
	for i := range f.entries {
		e := &f.entries[i]
		if !ofOrder(from)(*e) {
			continue
		}
		e.Frame.ID = to + strings.TrimPrefix(e.Frame.ID, from)
		switch p := e.Frame.Payload.(type) {
		case *ledger.Request:
			p.Order.ID = to
		case *ledger.Response:
			p.OrderID, p.RequestFrameID = to, to+strings.TrimPrefix(p.RequestFrameID, from)
		case *ledger.Snapshot:
			switch {
			case p.Execution != nil:
				x := p.Execution
				x.OrderID, x.RequestFrameID, x.Attempt = to, to+strings.TrimPrefix(x.RequestFrameID, from), to+strings.TrimPrefix(x.Attempt, from)
			case p.End != nil:
				p.End.Order.ID = to
			}
		}
	}
}

// Whether a write was begun while unfit is not claimed where only clocks that differ
// explain its times.
func TestWritesThatClocksCannotPlaceAreNotChecked(t *testing.T) {
	f := export(t, outage(t), 2)
	said := func(f file) string {
		t.Helper()
		v := f.verify(t)
		i := slices.IndexFunc(v.Checks, func(c ledger.Checked) bool { return c.Name == ledger.CheckExecution })
		if !v.OK || i < 0 {
			t.Fatal(v.Broken)
		}
		return v.Checks[i].Said
	}
	const claim = "none begun while unfit"
	if is := said(f); !strings.Contains(is, claim) {
		t.Error(is)
	}
	for what, back := range map[string]int64{"into UNSTABLE": 10_000, "before acceptance": 60_000} {
		forged := newForger(t, f)
		x := payload[*ledger.Snapshot](forged, "R4/2/execution").Execution
		x.BegunMs, x.Fence.ReadMs = x.BegunMs-back, x.Fence.ReadMs-back
		forged.chain()
		forged.sign(f.signer)
		if is := said(forged.file); strings.Contains(is, claim) || !strings.Contains(is, "NOT CHECKED whether begun while fit: 1 write,") {
			t.Errorf("moved back %s: %s", what, is)
		}
	}
}

// What is chained and signed again with the same key shows only against a checkpoint
// that was kept elsewhere.
func TestWhatIsSignedAgainNeedsACheckpointFromElsewhere(t *testing.T) {
	f := export(t, outage(t), 2)
	forged := newForger(t, f)
	forged.only(func(e ledger.Entry) bool { return !ofOrder("R6")(e) })
	forged.recount()
	forged.chain()
	forged.sign(f.signer)
	if v := forged.verify(t); !v.OK {
		t.Errorf("no verifier can tell this from the file alone: %v", v.Broken)
	}
	forged.checkpoint = f.checkpoint
	if v := forged.verify(t); v.OK || v.Broken.Check != ledger.CheckTree {
		t.Errorf("against the checkpoint from elsewhere: %+v", v)
	}
}

func TestEveryFlippedBitIsCaught(t *testing.T) {
	f := export(t, outage(t), 2)
	text := f.text()
	step := 31
	if testing.Short() {
		step = 101
	}
	starts := []int{0}
	for i, c := range text {
		if c == '\n' {
			starts = append(starts, i+1)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for at := 0; at < len(text); at += step {
		changed := slices.Clone(text)
		changed[at] ^= 1 << random.IntN(8)
		v, err := ledger.Verify(bytes.NewReader(changed), f.against())
		if err != nil || v.OK {
			t.Fatalf("byte %d: %v, %+v", at, err, v)
		}
		if on, _ := slices.BinarySearch(starts, at+1); v.Broken.Line != int64(on) && changed[at] != '\n' && text[at] != '\n' {
			t.Errorf("byte %d is on line %d, and this names line %d: %v", at, on, v.Broken.Line, v.Broken)
		}
	}
}

// FuzzVerify: only the file itself is whole.
func FuzzVerify(f *testing.F) {
	x := export(f, outage(f), 2)
	f.Add(x.text())
	f.Add(x.lines[0])
	f.Add([]byte("\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := ledger.Verify(bytes.NewReader(data), x.against())
		if err != nil {
			t.Fatal(err)
		}
		if v.OK != bytes.Equal(data, x.text()) {
			t.Fatalf("%+v", v)
		}
	})
}
