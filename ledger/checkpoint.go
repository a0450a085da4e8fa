package ledger

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Checkpoint is a signed tree head, in the form of C2SP tlog-checkpoint: a note of three
// lines, origin, size in decimal and hash in base64.
type Checkpoint struct {
	// Origin names the log that one export is: the name of the key, the namespace, the
	// component and the number of the incident, with / between them. An export of an incident
	// that goes on is a log of its own: "open" and 16 hex digits of its hash follow.
	Origin string    `json:"origin"`
	Tree   tlog.Tree `json:"tree"`
	Key    string    `json:"key"` // the name of the key that signed it
}

// origin names the log of an export with a tree, signed by a key of that name.
func (c Coverage) origin(key string, t tlog.Tree) string {
	name := fmt.Sprintf("%s/%s/%s/%d", key, url.PathEscape(c.Namespace), c.Component, c.Incident)
	if c.Open {
		name += fmt.Sprintf("/open/%x", t.Hash[:8])
	}
	return name
}

// SignCheckpoint signs the head of the tree of an export. The same head and the same
// key give the same bytes.
func SignCheckpoint(c Coverage, t tlog.Tree, key note.Signer) ([]byte, error) {
	signed, err := note.Sign(&note.Note{Text: headText(c.origin(key.Name(), t), t)}, key)
	if err != nil {
		return nil, fmt.Errorf("sign the checkpoint: %w", err)
	}
	return signed, nil
}

// headText is what is signed of a tree head.
func headText(origin string, t tlog.Tree) string {
	return fmt.Sprintf("%s\n%d\n%s\n", origin, t.N, t.Hash)
}

// OpenCheckpoint reads a checkpoint that key has signed. One that it has not, or that
// was changed since, is an error, and so is one that is not spelled as it is written.
// Signatures of others may follow.
func OpenCheckpoint(signed []byte, key note.Verifier) (Checkpoint, error) {
	n, err := note.Open(signed, note.VerifierList(key))
	var unknown *note.UnverifiedNoteError
	var invalid *note.InvalidSignatureError
	switch {
	case errors.As(err, &unknown):
		return Checkpoint{}, fmt.Errorf("the checkpoint is not signed by %s (%08x)", key.Name(), key.KeyHash())
	case errors.As(err, &invalid):
		return Checkpoint{}, fmt.Errorf("the signature of the checkpoint is not that of %s: it is forged, or the checkpoint was changed", key.Name())
	case err != nil:
		return Checkpoint{}, fmt.Errorf("this is no checkpoint: %w", err)
	}
	all, rest := lines([]byte(n.Text))
	if len(all) != 3 || len(rest) > 0 {
		return Checkpoint{}, errors.New("this is no checkpoint: it is not of three lines")
	}
	c := Checkpoint{Origin: string(all[0]), Key: key.Name()}
	if c.Tree.N, err = strconv.ParseInt(string(all[1]), 10, 64); err != nil || strconv.FormatInt(c.Tree.N, 10) != string(all[1]) || c.Tree.N < 1 {
		return Checkpoint{}, fmt.Errorf("this is no checkpoint: %q is no size", all[1])
	}
	if c.Tree.Hash, err = tlog.ParseHash(string(all[2])); err != nil {
		return Checkpoint{}, fmt.Errorf("this is no checkpoint: %q is no hash", all[2])
	}
	if again, err := spelled(headText(c.Origin, c.Tree), slices.Concat(n.Sigs, n.UnverifiedSigs)); err != nil || !bytes.Equal(again, signed) {
		return Checkpoint{}, errors.New("the checkpoint is not spelled as checkpoints are: it was changed")
	}
	return c, nil
}

// spelled is a signed note as it is written.
func spelled(text string, signatures []note.Signature) ([]byte, error) {
	b := []byte(text + "\n")
	for _, s := range signatures {
		if _, err := base64.StdEncoding.Strict().DecodeString(s.Base64); err != nil {
			return nil, err
		}
		b = fmt.Appendf(b, "\u2014 %s %s\n", s.Name, s.Base64)
	}
	return b, nil
}

// of reports whether the checkpoint is of the export that covers what c says.
func (p Checkpoint) of(c Coverage) error {
	if want := c.origin(p.Key, p.Tree); p.Origin != want {
		return fmt.Errorf("the checkpoint is of %s, and the file of %s", p.Origin, want)
	}
	return nil
}

// The files of a key: the private one is readable by its owner only.
const (
	KeyFile       = "trace.key"
	PublicKeyFile = "trace.pub"
	// DefaultKeyName is the name of a key that nobody named.
	DefaultKeyName = "ltp-node"
)

// ErrNoKey: there is no such key file.
var ErrNoKey = errors.New("there is no key")

// ErrKeyExists: a key is there already, and is not replaced.
var ErrKeyExists = errors.New("there is a key already")

// GenerateKey makes an Ed25519 key in the signer form of golang.org/x/mod/sumdb/note,
// writes it to path, and the public key beside it, with the ending .pub. It returns the
// public key. A key that is there is not replaced: ErrKeyExists.
func GenerateKey(path, name string) (public string, err error) {
	if name == "" || strings.ContainsAny(name, "+/ \t\r\n") {
		return "", fmt.Errorf("a key cannot be named %q: leave out spaces, + and /", name)
	}
	private, public, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return "", fmt.Errorf("make a key: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("make a key: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return "", fmt.Errorf("%w: %s", ErrKeyExists, path)
	}
	if err != nil {
		return "", fmt.Errorf("make a key: %w", err)
	}
	_, err = f.WriteString(private + "\n")
	if err = errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("make a key: %w", err)
	}
	return public, os.WriteFile(PublicKeyPath(path), []byte(public+"\n"), 0o644)
}

// PublicKeyPath is where the public key of the key file at path is kept.
func PublicKeyPath(path string) string { return strings.TrimSuffix(path, ".key") + ".pub" }

// LoadKey reads a key file, or returns ErrNoKey. It holds one line, and a key that
// others can read is refused.
func LoadKey(path string) (note.Signer, error) {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w at %s", ErrNoKey, path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the key: %w", err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the key: %w", err)
	}
	if _, err := note.NewVerifier(string(bytes.TrimSpace(data))); err == nil {
		return nil, fmt.Errorf("%s holds the public key: name the file of the private key, such as %s", path, KeyFile)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("the key %s can be read by others: chmod 600 %s", path, path)
	}
	signer, err := note.NewSigner(string(bytes.TrimSpace(data)))
	if err != nil { // the error does not hold the key, and must not
		return nil, fmt.Errorf("%s holds no key: make one with ltp trace keygen", path)
	}
	return signer, nil
}

// ParsePublicKey reads a public key in the verifier form of note: name+hash+key. The error
// does not hold the text, which may be a secret.
func ParsePublicKey(text string) (note.Verifier, error) {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "PRIVATE+KEY+") {
		return nil, fmt.Errorf("this is the private key, which nobody else may see: give the public key, which is in %s beside it", PublicKeyFile)
	}
	v, err := note.NewVerifier(text)
	if err != nil {
		return nil, errors.New("this is no public key: give the line that ltp trace keygen printed, or a file that holds it")
	}
	return v, nil
}
