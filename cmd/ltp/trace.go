package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/words"
	"github.com/ltp-node/ltp/ledger"
	"github.com/ltp-node/ltp/trace"
)

func (a *app) traceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trace",
		Short: "Export an incident as a file that proves what it says, and verify such files",
		Long: `Export an incident as hash-chained JSON Lines with a signed checkpoint beside it,
verify such files offline, and prove one order to its customer.

docs/trace.md is the contract: the format, what it proves, and what it does not.`,
		Example: `  ltp trace export --incident 3 -o incident.jsonl
  ltp trace verify incident.jsonl --key ltp-node+1234abcd+…
  ltp trace prove --order A2 incident.jsonl -o A2.tlog-proof
  ltp trace verify-proof A2.tlog-proof --key ltp-node+1234abcd+…`,
	}
	cmd.AddCommand(a.traceExportCommand(), a.traceKeygenCommand(), a.traceVerifyCommand(), a.traceProveCommand(), a.traceVerifyProofCommand())
	return cmd
}

func (a *app) traceExportCommand() *cobra.Command {
	scope := ledger.Scope{Component: ltp.DefaultComponent}
	var out, key string
	var as format
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write the trace of an incident, and a signed checkpoint of it",
		Long: `Write everything that Temporal holds of an incident to a file of hash-chained JSON
Lines, which LTP's inspector reads, and a signed checkpoint beside it: the same name
with the ending .checkpoint. Keep a copy of the checkpoint where whoever holds the key
cannot replace it.

The same history exports to the same bytes. No worker needs to run.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := ltp.ValidComponent(scope.Component); err != nil {
				return err
			}
			if out == "" || out == "-" {
				return errors.New("-o: name a file; its checkpoint stands beside it")
			}
			signer, err := a.signer(cmd.ErrOrStderr(), key)
			if err != nil {
				return err
			}
			t, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer t.stop()
			scope.Namespace, scope.TempDir = t.namespace, filepath.Dir(out)
			reader := trace.NewReader(t.Client, t.namespace)
			reader.Progress = reading(cmd.ErrOrStderr())
			return exportTrace(cmd, &as, reader, scope, signer, out)
		},
	}
	as.flag(cmd, "the files, and what they cover, as one object")
	cmd.Flags().IntVar(&scope.Incident, "incident", 0, "the number of the incident, oldest first from 1; 0 is the current or latest outage")
	cmd.Flags().StringVar(&scope.Component, "component", scope.Component, "the component whose incident to export")
	cmd.Flags().StringVarP(&out, "output", "o", "incident.jsonl", "the file to write")
	cmd.Flags().StringVar(&key, "key", "", "the private key to sign with (default: trace.key in the state directory, made on first use)")
	return cmd
}

// exportTrace writes the file and its checkpoint. Neither takes the place of an older one
// before both are whole and on disk, and where the file cannot, the checkpoint does not.
func exportTrace(cmd *cobra.Command, as *format, src ledger.Source, scope ledger.Scope, key note.Signer, out string) error {
	beside := checkpointOf(out)
	file, err := newFile(out)
	if err != nil {
		return err
	}
	defer file.Cleanup()
	signed, err := newFile(beside)
	if err != nil {
		return err
	}
	defer signed.Cleanup()
	x, err := ledger.Write(cmd.Context(), file, src, scope)
	switch {
	case errors.Is(err, trace.ErrNotFound):
		return fmt.Errorf("no component %s: start a worker or an observer of it, such as ltp dev", scope.Component)
	case errors.Is(err, trace.ErrNoIncident):
		return fmt.Errorf("%s has had no incident: there is nothing to export", scope.Component)
	case err != nil:
		return err
	}
	checkpoint, err := ledger.SignCheckpoint(x.Coverage, x.Tree, key)
	if err != nil {
		return err
	}
	if _, err := signed.Write(checkpoint); err != nil {
		return err
	}
	if err := file.CloseAtomicallyReplace(); err != nil {
		return err
	}
	if err := signed.CloseAtomicallyReplace(); err != nil {
		return fmt.Errorf("%s is written and its checkpoint is not: export again: %w", out, err)
	}
	written := struct {
		Output     string          `json:"output"`
		Checkpoint string          `json:"checkpoint"`
		Key        string          `json:"key"` // that signed it
		Entries    int64           `json:"entries"`
		Coverage   ledger.Coverage `json:"coverage"`
	}{out, beside, key.Name(), x.Tree.N, x.Coverage}
	return as.show(cmd, written, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %s, %d entries\n", out, covered(x.Coverage), x.Tree.N)
		if x.Coverage.Open {
			fmt.Fprintln(w, "The incident is still going on: what comes after is not in the file.")
		}
		if x.Coverage.Gaps > 0 {
			fmt.Fprintf(w, "%s: what Temporal no longer has is named in the file.\n", words.Plural(x.Coverage.Gaps, "gap"))
		}
		fmt.Fprintf(w, "%s: signed by %s; keep a copy elsewhere\n", beside, key.Name())
	})
}

func covered(c ledger.Coverage) string {
	name := "incident"
	if c.StartUp {
		name = "start-up, incident"
	}
	return fmt.Sprintf("%s %d of %s, %s", name, c.Incident, c.Component, words.Plural(c.Orders, "order"))
}

// checkpointOf is where the checkpoint of a file is.
func checkpointOf(file string) string { return strings.TrimSuffix(file, ".jsonl") + ".checkpoint" }

// signer is the key of a file, or that of the state directory, which is made if need be.
func (a *app) signer(said io.Writer, path string) (note.Signer, error) {
	if path != "" {
		return ledger.LoadKey(path)
	}
	path = filepath.Join(a.stateDir, ledger.KeyFile)
	signer, err := ledger.LoadKey(path)
	if !errors.Is(err, ledger.ErrNoKey) {
		return signer, err
	}
	public, err := ledger.GenerateKey(path, ledger.DefaultKeyName)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(said, "Made a key to sign with: %s. Its public key, for whoever verifies, is in %s:\n%s\n", path, ledger.PublicKeyPath(path), public)
	return ledger.LoadKey(path)
}

func (a *app) traceKeygenCommand() *cobra.Command {
	name, path := ledger.DefaultKeyName, ""
	var as format
	cmd := &cobra.Command{
		Use:   "keygen",
		Short: "Make the key that exports are signed with, and print its public key",
		Long: `Make an Ed25519 key in the state directory, readable by you alone, with its public
key beside it, and print the public key: one line, which whoever verifies needs.

A key that is there is not replaced.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if path == "" {
				path = filepath.Join(a.stateDir, ledger.KeyFile)
			}
			public, err := ledger.GenerateKey(path, name)
			if errors.Is(err, ledger.ErrKeyExists) {
				return fmt.Errorf("%s holds a key already, and its public key is in %s: to make another, name another file with --key", path, ledger.PublicKeyPath(path))
			}
			if err != nil {
				return err
			}
			made := struct {
				Key       string `json:"key"` // the file
				PublicKey string `json:"public_key"`
			}{path, public}
			return as.show(cmd, made, func(w io.Writer) { fmt.Fprintln(w, public) })
		},
	}
	as.flag(cmd, "the file of the key and the public key, as one object")
	cmd.Flags().StringVar(&name, "name", name, "the name of the key: what it stands for, such as orders.example.com")
	cmd.Flags().StringVar(&path, "key", "", "where to write it (default: trace.key in the state directory)")
	return cmd
}

// proofFlags are what a file or a proof is verified against.
type proofFlags struct{ checkpoint, key string }

func (p *proofFlags) add(cmd *cobra.Command, checkpoint bool) {
	cmd.Flags().StringVar(&p.key, "key", "", "the public key, or a file that holds it (default: trace.pub in the state directory)")
	if checkpoint {
		cmd.Flags().StringVar(&p.checkpoint, "checkpoint", "", "the checkpoint, best one that was kept elsewhere (default: the one beside the file)")
	}
}

// public is the public key to verify with.
func (p proofFlags) public(a *app) (note.Verifier, error) {
	path := p.key
	if path == "" {
		path = filepath.Join(a.stateDir, ledger.PublicKeyFile)
	}
	text, err := os.ReadFile(path)
	switch {
	case err == nil:
		key, err := ledger.ParsePublicKey(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return key, nil
	case p.key == "":
		return nil, fmt.Errorf("whose signature should it be? Give the public key with --key; there is none at %s", path)
	case strings.Contains(p.key, "+"):
		return ledger.ParsePublicKey(p.key)
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("there is no file %s: --key takes the public key, or a file that holds it", p.key)
	}
	return nil, fmt.Errorf("read the public key: %w", err)
}

func (p proofFlags) against(a *app, file string) (ledger.Against, error) {
	key, err := p.public(a)
	if err != nil {
		return ledger.Against{}, err
	}
	path := p.checkpoint
	if path == "" {
		path = checkpointOf(file)
	}
	checkpoint, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return ledger.Against{}, fmt.Errorf("there is no checkpoint at %s: give one with --checkpoint; without it, nobody can tell whether the end was cut off", path)
	}
	return ledger.Against{Checkpoint: checkpoint, Key: key}, err
}

func (a *app) traceVerifyCommand() *cobra.Command {
	var p proofFlags
	var as format
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Verify an exported trace offline, and name the first broken line",
		Long: `Verify an exported trace: its chain, its Merkle tree, the signature, and that what it
holds follows the protocol's rules. It needs neither Temporal nor a network.

The exit status is 0 only if all holds. What is changed, chained and signed again with
the same key shows only against a checkpoint that was kept elsewhere: --checkpoint.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			against, err := p.against(a, args[0])
			if err != nil {
				return err
			}
			file, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer file.Close()
			v, err := ledger.Verify(file, against)
			if err != nil {
				return err
			}
			return writeVerdict(cmd.OutOrStdout(), args[0], v, as.JSON())
		},
	}
	p.add(cmd, true)
	as.flag(cmd, "the verdict as one object")
	return cmd
}

func writeVerdict(w io.Writer, name string, v ledger.Verdict, asJSON bool) error {
	switch {
	case asJSON:
		if err := printJSON(w, v); err != nil {
			return err
		}
	case v.OK:
		for _, c := range v.Checks {
			fmt.Fprintf(w, "ok  %-12s %s\n", c.Name, c.Said)
		}
		fmt.Fprintf(w, "\n%s is whole: %s\n", name, covered(v.Coverage))
	case v.Broken.Line > 0:
		fmt.Fprintf(w, "BROKEN at line %d of %s: %s: %s\n", v.Broken.Line, name, v.Broken.Check, words.Clean(v.Broken.Why))
	default:
		fmt.Fprintf(w, "BROKEN %s: %s: %s\n", name, v.Broken.Check, words.Clean(v.Broken.Why))
	}
	if !v.OK {
		return exitCode(1)
	}
	return nil
}

func (a *app) traceProveCommand() *cobra.Command {
	var p proofFlags
	var orderID, out string
	var as format
	cmd := &cobra.Command{
		Use:   "prove --order ID FILE",
		Short: "Write what the customer of one order needs to check it",
		Long: `Write a proof that the entries of one order are in an exported trace. Its customer can
check it with the public key alone, and reads nothing of other orders in it.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := ltp.ValidID(orderID); err != nil {
				return err
			}
			if out == "" {
				out = strings.ReplaceAll(orderID, "/", "+") + ".tlog-proof" // of a tenant's, acme+A2: no ID has a +
			}
			against, err := p.against(a, args[0])
			if err != nil {
				return err
			}
			file, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer file.Close()
			var proof strings.Builder
			n, err := ledger.Prove(&proof, file, against, orderID)
			if errors.Is(err, ledger.ErrNoOrder) {
				return fmt.Errorf("%s holds nothing of order %s: it was not pending in the window, or does not depend on the component", args[0], orderID)
			}
			if err != nil {
				return err
			}
			if err := writeFile(out, writeBytes([]byte(proof.String()))); err != nil {
				return err
			}
			proved := struct {
				Output  string `json:"output"`
				OrderID string `json:"order_id"`
				Entries int    `json:"entries"`
				Bytes   int    `json:"bytes"`
			}{out, orderID, int(n - 1), proof.Len()}
			return as.show(cmd, proved, func(w io.Writer) {
				fmt.Fprintf(w, "%s: %d entries of order %s proved, %d bytes\n", out, proved.Entries, orderID, proved.Bytes)
			})
		},
	}
	p.add(cmd, true)
	as.flag(cmd, "the file and what it proves, as one object")
	cmd.Flags().StringVar(&orderID, "order", "", "the order")
	cmd.Flags().StringVarP(&out, "output", "o", "", "the file to write (default: ID.tlog-proof)")
	_ = cmd.MarkFlagRequired("order")
	return cmd
}

func (a *app) traceVerifyProofCommand() *cobra.Command {
	var p proofFlags
	var as format
	cmd := &cobra.Command{
		Use:   "verify-proof FILE",
		Short: "Check the proof of one order, with the public key alone",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := p.public(a)
			if err != nil {
				return err
			}
			data, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			proof, err := ledger.VerifyProof(data, key)
			if err != nil {
				return fmt.Errorf("%s proves nothing: %w", args[0], err)
			}
			if as.JSON() {
				return printJSON(cmd.OutOrStdout(), proof)
			}
			writeProof(cmd.OutOrStdout(), proof)
			return nil
		},
	}
	p.add(cmd, false)
	as.flag(cmd, "what was proved as one object")
	return cmd
}

// writeProof says what a proof proves.
func writeProof(w io.Writer, p ledger.Proof) {
	o := p.Order
	fmt.Fprintf(w, "Order %s, %s, is %s.\n", o.ID, ltp.Amount(o.AmountMinor, o.Currency), p.End.State)
	for _, e := range p.Entries {
		at := words.Time(time.UnixMilli(e.Entry.TimestampMs))
		fmt.Fprintf(w, "%s  entry %d  %s\n", at, e.Index, e.Entry.Summary())
	}
	fmt.Fprintf(w, "\nThese %d entries are all that is recorded of it in %s, which has %d entries and is signed by %s.\n",
		len(p.Entries), p.Checkpoint.Origin, p.Checkpoint.Tree.N, p.Checkpoint.Key)
}
