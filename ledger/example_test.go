package ledger_test

import (
	"fmt"
	"os"

	"github.com/ltp-node/ltp/ledger"
)

// A file is verified with its checkpoint and a public key, and nothing else.
func ExampleVerify() {
	public, err := os.ReadFile("testdata/format2.pub")
	if err != nil {
		panic(err)
	}
	key, err := ledger.ParsePublicKey(string(public))
	if err != nil {
		panic(err)
	}
	checkpoint, err := os.ReadFile("testdata/format2.checkpoint") // best from where it was kept
	if err != nil {
		panic(err)
	}
	file, err := os.Open("testdata/format2.jsonl")
	if err != nil {
		panic(err)
	}
	defer file.Close()
	verdict, err := ledger.Verify(file, ledger.Against{Checkpoint: checkpoint, Key: key})
	if err != nil {
		panic(err)
	}
	fmt.Println(verdict.OK, verdict.Counts.Orders, "orders,", verdict.Counts.Entries, "entries")
	// Output: true 6 orders, 47 entries
}

// A customer needs the proof of the order and the public key.
func ExampleVerifyProof() {
	public, err := os.ReadFile("testdata/format2.pub")
	if err != nil {
		panic(err)
	}
	key, err := ledger.ParsePublicKey(string(public))
	if err != nil {
		panic(err)
	}
	data, err := os.ReadFile("testdata/format2.tlog-proof")
	if err != nil {
		panic(err)
	}
	proof, err := ledger.VerifyProof(data, key)
	if err != nil {
		panic(err) // it proves nothing
	}
	fmt.Println(proof.Order.ID, proof.End.State)
	// Output: R4 EXECUTED
}
