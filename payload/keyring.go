package payload

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"syscall"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/proto"
)

const (
	// FileVariable is the environment variable that names the file of keys.
	FileVariable = "LTP_PAYLOAD_KEY"
	// Encoding and KeyID are the metadata of an encrypted payload: its encoding, and the
	// field that holds the id of its key.
	Encoding = "binary/encrypted"
	KeyID    = "encryption-key-id"

	// WrappedPrefix begins, in a file of keys, one that a key service has wrapped.
	WrappedPrefix = "wrapped:"

	keySize = 32 // AES-256
	// LargestSecret is the most bytes of a file that ReadSecret reads: far more than any has,
	// and far less than a file that was named by mistake may have.
	LargestSecret = 1 << 20
)

// Keys encrypt with the first of them and decrypt with all. Nil is none: what is written
// stays plain. They are safe for concurrent use.
type Keys struct{ all []key }

type key struct {
	id    string
	aead  cipher.AEAD // it puts a random nonce in front
	index []byte      // the key of Index
}

// validID is what an id may be: it stands in metadata, in files and in sentences.
var validID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// NewKey makes a key, as a line of a file of keys. An empty id has one chosen.
func NewKey(id string) (line string, err error) {
	if id == "" {
		id = "k-" + strings.ToLower(rand.Text()[:8])
	}
	if !validID.MatchString(id) {
		return "", fmt.Errorf("%q is no id of a key: use up to 64 letters, digits, '.', '_' and '-', and begin with a letter or digit", id)
	}
	secret := make([]byte, keySize)
	rand.Read(secret) // it never fails
	return id + " " + base64.StdEncoding.EncodeToString(secret), nil
}

// ReadKeys reads a file of keys that nobody but its owner can read or change. One that
// root owns may be readable by its group, as a mounted secret is with a mode of 0440.
func ReadKeys(path string) (*Keys, error) {
	data, err := ReadSecret(path)
	if err != nil {
		return nil, fmt.Errorf("payload keys: %w", err)
	}
	k, err := ParseKeys(data)
	if err != nil {
		return nil, fmt.Errorf("payload keys: %s: %w", path, err)
	}
	return k, nil
}

// ReadSecret reads a small file that nobody but its owner can read or change, by the rule
// of [ReadKeys].
func ReadSecret(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat() // of the file that is read, wherever a link leads meanwhile
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, fmt.Errorf("%s is a directory: name a file", path)
	}
	allowed := os.FileMode(0o700)
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && owner.Uid == 0 {
		allowed = 0o740
	}
	if mode := info.Mode().Perm(); info.Mode().IsRegular() && mode&^allowed != 0 {
		return nil, fmt.Errorf("%s can be read or changed by others than its owner (mode %04o): chmod 600 it, and replace what it holds if somebody may have read it", path, mode)
	}
	data, err := io.ReadAll(io.LimitReader(f, LargestSecret+1))
	if err != nil {
		return nil, err
	}
	if len(data) > LargestSecret {
		return nil, fmt.Errorf("%s has more than %d bytes: it is another file than you think", path, LargestSecret)
	}
	return data, nil
}

// ParseKeys reads keys, one a line: an id, and 32 bytes in base64. Empty lines and those
// that begin with # are left out. No error quotes a key.
func ParseKeys(data []byte) (*Keys, error) {
	k := &Keys{}
	no := 0
	for line := range bytes.Lines(data) {
		no++
		fields := strings.Fields(string(line))
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if len(fields) != 2 || !validID.MatchString(fields[0]) {
			return nil, fmt.Errorf("line %d: write the id of a key, a space, and 32 bytes in base64, as ltp payload-key does", no)
		}
		id := fields[0]
		if strings.HasPrefix(fields[1], WrappedPrefix) {
			return nil, fmt.Errorf("line %d: this key is wrapped by a key service: name that by --payload-key-kms or $LTP_PAYLOAD_KMS", no)
		}
		secret, err := base64.StdEncoding.DecodeString(fields[1])
		if err != nil || len(secret) != keySize {
			return nil, fmt.Errorf("line %d: after the id stand no %d bytes in base64: make a key with ltp payload-key, or openssl rand -base64 %d", no, keySize, keySize)
		}
		if k.find(id) != nil {
			return nil, fmt.Errorf("line %d: this key has the id of one above: give each an id of its own", no)
		}
		block, err := aes.NewCipher(secret)
		if err != nil {
			return nil, err
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, err
		}
		index, err := hkdf.Expand(sha256.New, secret, "index", sha256.Size)
		if err != nil {
			return nil, err
		}
		k.all = append(k.all, key{id, aead, index})
	}
	if len(k.all) == 0 {
		return nil, errors.New("there is no key in it: make one with ltp payload-key")
	}
	return k, nil
}

// Index is what stands in an index for a text that may not be read there: its HMAC-SHA256 by
// a key that each of the keys gives, in their order. What is written now stands under the
// first; what was written before may stand under any. Nil keys give the text itself.
func (k *Keys) Index(text string) []string {
	if k == nil {
		return []string{text}
	}
	all := make([]string, len(k.all))
	for i, one := range k.all {
		h := hmac.New(sha256.New, one.index)
		h.Write([]byte(text))
		all[i] = fmt.Sprintf("hmac-%x", h.Sum(nil))
	}
	return all
}

// IDs are the ids of the keys; the first encrypts.
func (k *Keys) IDs() (ids []string) {
	if k != nil {
		for _, one := range k.all {
			ids = append(ids, one.id)
		}
	}
	return ids
}

func (k *Keys) find(id string) *key {
	if k != nil {
		for i := range k.all {
			if k.all[i].id == id {
				return &k.all[i]
			}
		}
	}
	return nil
}

var _ converter.PayloadCodec = (*Keys)(nil)

// Encode encrypts payloads. Nil keys leave them as they are.
func (k *Keys) Encode(all []*commonpb.Payload) ([]*commonpb.Payload, error) {
	if k == nil {
		return all, nil
	}
	with := k.all[0]
	out := make([]*commonpb.Payload, len(all))
	for i, p := range all {
		message, err := proto.Marshal(p)
		if err != nil {
			return nil, err
		}
		out[i] = &commonpb.Payload{
			Metadata: map[string][]byte{converter.MetadataEncoding: []byte(Encoding), KeyID: []byte(with.id)},
			Data:     with.aead.Seal(nil, nil, message, []byte(with.id)),
		}
	}
	return out, nil
}

// Decode decrypts what Encode has encrypted, with whichever key, and leaves the rest as it
// is. What it cannot decrypt is a *[KeyError].
func (k *Keys) Decode(all []*commonpb.Payload) ([]*commonpb.Payload, error) {
	out := make([]*commonpb.Payload, len(all))
	for i, p := range all {
		if out[i] = p; encoding(p) != Encoding {
			continue
		}
		id := string(p.GetMetadata()[KeyID])
		with := k.find(id)
		if with == nil {
			return nil, &KeyError{ID: id, Given: k.IDs()}
		}
		message, err := with.aead.Open(nil, nil, p.GetData(), []byte(id))
		if err != nil {
			return nil, &KeyError{ID: id, Given: k.IDs(), Damaged: true}
		}
		out[i] = &commonpb.Payload{}
		if err := proto.Unmarshal(message, out[i]); err != nil {
			return nil, &KeyError{ID: id, Given: k.IDs(), Damaged: true}
		}
	}
	return out, nil
}
