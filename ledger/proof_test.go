package ledger_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/ledger"
)

func proof(t testing.TB, f file, order string) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := ledger.Prove(&b, bytes.NewReader(f.text()), f.against(), order); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestACustomerChecksAnOrderWithThePublicKeyAlone(t *testing.T) {
	f := export(t, outage(t), 2)
	for order, want := range map[string]struct {
		state   ltp.OrderState
		entries int
	}{
		"R1": {ltp.Executed, 4}, "R2": {ltp.Rejected, 7}, "R3": {ltp.Executed, 9}, "R4": {ltp.Executed, 6}, "R5": {ltp.Cancelled, 5}, "R6": {ltp.Expired, 4},
	} {
		p, err := ledger.VerifyProof(proof(t, f, order), f.key)
		if err != nil {
			t.Errorf("%s: %v", order, err)
			continue
		}
		if p.Order.ID != order || p.End.State != want.state || len(p.Entries) != want.entries || p.Checkpoint.Tree.N != int64(len(f.lines)) {
			t.Errorf("%s: %+v, %d entries", order, p.End, len(p.Entries))
		}
		for _, e := range p.Entries {
			if !bytes.Equal(e.Line, f.lines[e.Index]) {
				t.Errorf("%s: entry %d is another", order, e.Index)
			}
		}
	}
	var b bytes.Buffer
	if _, err := ledger.Prove(&b, bytes.NewReader(f.text()), f.against(), "R9"); !errors.Is(err, ledger.ErrNoOrder) {
		t.Error(err)
	}
	if _, err := ledger.Prove(&b, bytes.NewReader(f.text()[:5000]), f.against(), "R1"); err == nil {
		t.Error("a file that is cut off proves something")
	}
}

func TestProofsThatProveNothing(t *testing.T) {
	f := export(t, outage(t), 2)
	good := proof(t, f, "R4")
	blocks := strings.SplitAfter(string(good), "\n\n")
	if len(blocks) < 4 {
		t.Fatal(len(blocks))
	}
	proofs := strings.Split(string(good), "c2sp.org/tlog-proof@v1\n")[1:]
	join := func(which ...int) string {
		s := ""
		for _, i := range which {
			s += "c2sp.org/tlog-proof@v1\n" + proofs[i]
		}
		return s
	}
	if join(0, 1, 2, 3, 4, 5, 6) != string(good) {
		t.Fatal("the proofs are not what they are thought to be")
	}
	_, stranger := newKey(t, ledger.DefaultKeyName)
	other := string(proof(t, f, "R1"))
	for name, c := range map[string]struct{ proof, says string }{
		"an entry withheld":            {join(0, 1, 2, 3, 4, 6), ""},
		"the first withheld":           {join(0, 2, 3, 4, 5, 6), ""},
		"the end withheld":             {join(0, 1, 2, 3, 4, 5), "the last entry of order R4"},
		"what it covers withheld":      {join(1, 2, 3, 4, 5, 6), "entry 0"},
		"another order's":              {join(0, 1, 2, 3, 4, 5, 6) + other[strings.Index(other[10:], "c2sp")+10:], "not of order R4"},
		"entries swapped":              {join(0, 2, 1, 3, 4, 5, 6), ""},
		"an entry twice":               {join(0, 1, 1, 2, 3, 4, 5, 6), "stands behind"},
		"nothing":                      {"", "no proof"},
		"cut off":                      {string(good[:len(good)-1]), "no proof"},
		"an index changed":             {strings.Replace(string(good), "index 0\n", "index 1\n", 1), "not in the file"},
		"an index beyond":              {strings.Replace(string(good), "index 0\n", "index 99\n", 1), "47 entries"},
		"an index written another way": {strings.Replace(string(good), "index 0\n", "index 00\n", 1), "no index"},
		"an entry changed": {strings.Replace(string(good), base64.StdEncoding.EncodeToString(f.lines[0]),
			base64.StdEncoding.EncodeToString(bytes.Replace(f.lines[0], []byte(`"orders":6`), []byte(`"orders":5`), 1)), 1), "not in the file"},
	} {
		p, err := ledger.VerifyProof([]byte(c.proof), f.key)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, %v", name, p.End, err)
		}
	}
	if _, err := ledger.VerifyProof(good, stranger); err == nil || !strings.Contains(err.Error(), "not signed by") {
		t.Errorf("with another key: %v", err)
	}
}

// otherBits spells the last character of base64 before its padding with other unused bits.
func otherBits(encoded string) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	i := len(strings.TrimRight(encoded, "=")) - 1
	return encoded[:i] + string(letters[strings.IndexByte(letters, encoded[i])^1]) + encoded[i+1:]
}

func TestCheckpointsAndProofsHaveOneSpelling(t *testing.T) {
	f := export(t, outage(t), 2)
	checkpoint, good := string(f.checkpoint), string(proof(t, f, "R4"))
	lines := strings.SplitAfter(checkpoint, "\n")
	signature := lines[4]
	root := strings.TrimSuffix(lines[2], "\n")
	_, inSignature, _ := strings.Cut(strings.TrimSuffix(signature, "\n")[len("\u2014 "):], " ")
	path := strings.Split(good, "\n")[3]
	extra, _, _ := strings.Cut(good[strings.Index(good, "extra ")+len("extra "):], "\n")
	other, _ := newKey(t, "witness.example.com")
	witnessed, err := note.Sign(&note.Note{Text: strings.Join(lines[:3], "")}, other)
	if err != nil {
		t.Fatal(err)
	}
	witness := strings.SplitAfter(string(witnessed), "\n")[4]
	spell := func(in, old, by string) string {
		t.Helper()
		if changed := strings.ReplaceAll(in, old, by); changed != in {
			return changed
		}
		t.Fatalf("%q cannot be spelled otherwise", old)
		return ""
	}
	opens := func(signed string) error {
		_, err := ledger.OpenCheckpoint([]byte(signed), f.key)
		return err
	}
	proves := func(proof string) error {
		_, err := ledger.VerifyProof([]byte(proof), f.key)
		return err
	}
	if err := opens(checkpoint + witness); err != nil {
		t.Errorf("with the signature of a witness: %v", err)
	}
	rootSpelled, err := note.Sign(&note.Note{Text: spell(strings.Join(lines[:3], ""), root, otherBits(root))}, f.signer)
	if err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"root":                      opens(string(rootSpelled)),
		"signature":                 opens(spell(checkpoint, inSignature, otherBits(inSignature))),
		"signature twice":           opens(checkpoint + signature),
		"CR in the signature":       opens(spell(checkpoint, inSignature, inSignature[:9]+"\r"+inSignature[9:])),
		"CR at the end":             opens(spell(checkpoint, "\n", "\r\n")),
		"signature twice, a proof":  proves(spell(good, signature, signature+signature)),
		"path":                      proves(spell(good, path, otherBits(path))),
		"CR in the path":            proves(spell(good, path, path[:9]+"\r"+path[9:])),
		"CR in the entry":           proves(spell(good, extra, extra[:9]+"\r"+extra[9:])),
		"an index with a sign":      proves(spell(good, "index 0\n", "index +0\n")),
		"a line behind the witness": opens(checkpoint + witness + "\n"),
	} {
		if err == nil {
			t.Errorf("another spelling was taken: %s", what)
		}
	}
}

// An export of an incident that goes on is a log of its own: no witness sees two heads of
// one log.
func TestAnExportOfAnOpenIncidentIsALogOfItsOwn(t *testing.T) {
	signer, key := newKey(t, ledger.DefaultKeyName)
	origin := func(c ledger.Coverage, hash byte) string {
		t.Helper()
		signed, err := ledger.SignCheckpoint(c, tlog.Tree{N: 47, Hash: tlog.Hash{hash}}, signer)
		if err != nil {
			t.Fatal(err)
		}
		p, err := ledger.OpenCheckpoint(signed, key)
		if err != nil {
			t.Fatal(err)
		}
		return p.Origin
	}
	c := ledger.Coverage{Namespace: "default", Component: ltp.DefaultComponent, Incident: 2}
	if is := origin(c, 1); is != "ltp-node/default/orders-db/2" || is != origin(c, 2) {
		t.Error(is)
	}
	c.Open = true
	if is := origin(c, 1); is != "ltp-node/default/orders-db/2/open/0100000000000000" || is != origin(c, 1) || is == origin(c, 2) {
		t.Error(is)
	}
}

// FuzzProof: nothing but the proof itself proves something.
func FuzzProof(f *testing.F) {
	x := export(f, outage(f), 2)
	good := proof(f, x, "R1")
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ledger.VerifyProof(data, x.key)
		if err != nil {
			return
		}
		for _, e := range p.Entries {
			if !bytes.Equal(e.Line, x.lines[e.Index]) {
				t.Fatalf("entry %d is proved to be %s", e.Index, e.Line)
			}
		}
	})
}

func TestAGeneratedKeyIsReadBackAndNeverOverwritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", ledger.KeyFile)
	if _, err := ledger.LoadKey(path); !errors.Is(err, ledger.ErrNoKey) {
		t.Error(err)
	}
	public, err := ledger.GenerateKey(path, "orders.example.com")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ledger.LoadKey(path)
	if err != nil || signer.Name() != "orders.example.com" {
		t.Fatal(signer, err)
	}
	beside, err := os.ReadFile(filepath.Join(filepath.Dir(path), ledger.PublicKeyFile))
	if err != nil || string(beside) != public+"\n" {
		t.Errorf("%q, %v", beside, err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("%v", info.Mode())
	}
	if _, err := ledger.GenerateKey(path, "other"); !errors.Is(err, ledger.ErrKeyExists) {
		t.Errorf("it was replaced: %v", err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ledger.LoadKey(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("others can read it: %v", err)
	}
	for _, name := range []string{"", "a b", "a+b", "a/b"} {
		if _, err := ledger.GenerateKey(filepath.Join(t.TempDir(), "k"), name); err == nil {
			t.Errorf("a key is named %q", name)
		}
	}
	if _, err := ledger.ParsePublicKey("ltp-node+1234"); err == nil {
		t.Error("half a key was taken")
	}
}
