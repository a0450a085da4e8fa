package ledger

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Checkpoint is a signed tree head, in the form of C2SP tlog-checkpoint: a note of three
// lines, origin, size in decimal and hash in base64.
type Checkpoint struct {
	// Origin names the log that one export is: the name of the key, the namespace, the
	// component and the number of the incident, with / between them.
	Origin string    `json:"origin"`
	Tree   tlog.Tree `json:"tree"`
	Key    string    `json:"key"` // the name of the key that signed it
}

// logName is what an origin says behind the name of the key.
func (c Coverage) logName() string {
	return fmt.Sprintf("%s/%s/%d", url.PathEscape(c.Namespace), c.Component, c.Incident)
}

// SignCheckpoint signs the head of the tree of an export. The same head and the same
// key give the same bytes.
func SignCheckpoint(c Coverage, t tlog.Tree, key note.Signer) ([]byte, error) {
	text := fmt.Sprintf("%s/%s\n%d\n%s\n", key.Name(), c.logName(), t.N, t.Hash)
	signed, err := note.Sign(&note.Note{Text: text}, key)
	if err != nil {
		return nil, fmt.Errorf("sign the checkpoint: %w", err)
	}
	return signed, nil
}

// OpenCheckpoint reads a checkpoint that key has signed. One that it has not, or that
// was changed since, is an error.
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
	return c, nil
}

// of reports whether the checkpoint is of the export that covers what c says.
func (p Checkpoint) of(c Coverage) error {
	if want := p.Key + "/" + c.logName(); p.Origin != want {
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
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("the key %s can be read by others: chmod 600 %s", path, path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the key: %w", err)
	}
	signer, err := note.NewSigner(string(bytes.TrimSpace(data)))
	if err != nil { // the error does not hold the key, and must not
		return nil, fmt.Errorf("%s holds no key: make one with ltp trace keygen", path)
	}
	return signer, nil
}

// ParsePublicKey reads a public key in the verifier form of note: name+hash+key.
func ParsePublicKey(text string) (note.Verifier, error) {
	v, err := note.NewVerifier(strings.TrimSpace(text))
	if err != nil {
		return nil, fmt.Errorf("%q is no public key: give the line that ltp trace keygen printed, or a file that holds it", strings.TrimSpace(text))
	}
	return v, nil
}
