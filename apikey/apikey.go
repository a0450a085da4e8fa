// Package apikey is a credential store of bearer keys: a file that knows who shows which secret,
// and none of the secrets.
package apikey

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/strictjson"
)

// Key is one key. Whoever shows its secret is its Identity.
type Key struct {
	// ID is in the secret, and distinguishes keys in lists and logs.
	ID string `json:"id"`
	// SHA256 is that of the secret, in hex. The secret has 256 random bits, so that nobody
	// finds it by trying.
	SHA256    string    `json:"sha256"`
	Tenant    string    `json:"tenant,omitempty"`
	Role      ltp.Role  `json:"role"`
	Customer  string    `json:"customer,omitempty"`
	Name      string    `json:"name,omitempty"` // for people
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at,omitzero"` // zero is never
	RevokedAt time.Time `json:"revoked_at,omitzero"`
}

// File is what a file of keys holds.
type File struct {
	Keys []Key `json:"keys"`
	// Tenants are the bounds of the customers of tenants, the default one's by the empty
	// name. Those of a tenant that is not there are zero.
	Tenants map[string]ltp.Bounds `json:"tenants,omitempty"`
}

// A secret is "ltp_", the key's ID, "_" and 32 random bytes in base64url: programs that
// look for leaked secrets find it by that.
const (
	idLength     = 10
	secretLength = len("ltp_") + idLength + len("_") + 43
)

var (
	idPattern     = regexp.MustCompile(`^[a-z2-7]{10}$`)
	secretPattern = regexp.MustCompile(`^ltp_([a-z2-7]{10})_[A-Za-z0-9_-]{43}$`)
	hashPattern   = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// maxName is the most bytes of a key's name.
const maxName = 64

// Create puts a new key into the file, with an ID and a secret made up here, and returns
// both. k says the rest. It returns an *ltp.InvalidError, whose Field is that of the key,
// for one that could not be.
func (f *File) Create(k Key, now time.Time) (made Key, secret string, err error) {
	random := make([]byte, 32)
	rand.Read(random) // it never fails
	k.ID = strings.ToLower(rand.Text()[:idLength])
	secret = "ltp_" + k.ID + "_" + base64.RawURLEncoding.EncodeToString(random)
	k.SHA256, k.CreatedAt, k.RevokedAt = hash(secret), now.UTC().Truncate(time.Second), time.Time{}
	if !k.ExpiresAt.IsZero() {
		if k.ExpiresAt = k.ExpiresAt.UTC().Truncate(time.Second); !k.ExpiresAt.After(now) {
			return Key{}, "", &ltp.InvalidError{Field: "expires", Hint: "give a time that has not passed"}
		}
	}
	if err := k.validate(); err != nil {
		return Key{}, "", err
	}
	f.Keys = append(f.Keys, k)
	return k, secret, nil
}

// Revoke ends a key, and returns it. It returns an error where there is no such key, or
// where it was revoked before.
func (f *File) Revoke(id string, now time.Time) (Key, error) {
	for i := range f.Keys {
		k := &f.Keys[i]
		switch {
		case k.ID != id:
		case !k.RevokedAt.IsZero():
			return *k, fmt.Errorf("the key %s was revoked before, at %s", id, k.RevokedAt.Format(time.RFC3339))
		default:
			k.RevokedAt = now.UTC().Truncate(time.Second)
			return *k, nil
		}
	}
	return Key{}, fmt.Errorf("there is no key %q: ltp keys list shows those there are", id)
}

// State says whether the key is good at a time.
func (k Key) State(now time.Time) string {
	switch {
	case !k.RevokedAt.IsZero():
		return "revoked"
	case !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt):
		return "expired"
	}
	return "good"
}

func (k Key) validate() error {
	if len(k.Name) > maxName || strings.ContainsFunc(k.Name, func(c rune) bool { return c < ' ' || c > '~' }) {
		return &ltp.InvalidError{Field: "name", Hint: fmt.Sprintf("use at most %d printable ASCII characters", maxName)}
	}
	return k.identity().Validate()
}

func (k Key) identity() ltp.Identity {
	return ltp.Identity{Tenant: k.Tenant, Role: k.Role, Customer: k.Customer, Name: k.ID, Expires: k.ExpiresAt}
}

// Parse reads a file of keys. It returns an error for anything that it does not know, or
// that could not be, and quotes no hash.
func Parse(data []byte) (f File, err error) {
	if err := strictjson.Decode(data, &f); err != nil {
		return File{}, fmt.Errorf("it is no file of keys: %w", err)
	}
	seen := map[string]bool{}
	for i, k := range f.Keys {
		err := k.validate()
		switch {
		case !idPattern.MatchString(k.ID):
			err = errors.New("its id is none of ltp keys create")
		case seen[k.ID]:
			err = errors.New("its id is that of a key above")
		case !hashPattern.MatchString(k.SHA256):
			err = errors.New("its sha256 is no SHA-256 in hex")
		}
		if err != nil {
			return File{}, fmt.Errorf("key %d: %w", i+1, err)
		}
		seen[k.ID] = true
	}
	for tenant, b := range f.Tenants {
		if err := errors.Join(ltp.ValidTenant(tenant), b.Validate()); err != nil {
			return File{}, fmt.Errorf("tenant %q: %w", tenant, err)
		}
	}
	return f, nil
}

func hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// ErrUnknown: nobody has this key. Who guesses learns no more.
var ErrUnknown = errors.New("nobody has this key; send one that whoever runs the order node has given you")

// index finds keys by ID.
type index struct {
	keys    map[string]Key
	tenants map[string]ltp.Bounds
}

func (f File) index() index {
	x := index{keys: map[string]Key{}, tenants: f.Tenants}
	for _, k := range f.Keys {
		x.keys[k.ID] = k
	}
	return x
}

// identify says whose secret it is at a time. Only who shows the whole secret of a key
// learns what became of it.
func (x index) identify(secret string, now time.Time) (ltp.Identity, error) {
	if len(secret) != secretLength {
		return ltp.Identity{}, ErrUnknown
	}
	var k Key
	if m := secretPattern.FindStringSubmatch(secret); m != nil {
		k = x.keys[m[1]]
	}
	if subtle.ConstantTimeCompare([]byte(hash(secret)), []byte(k.SHA256)) != 1 { // the zero key has no hash
		return ltp.Identity{}, ErrUnknown
	}
	switch k.State(now) {
	case "revoked":
		return ltp.Identity{}, fmt.Errorf("%s was revoked; send another one", k.ID)
	case "expired":
		return ltp.Identity{}, fmt.Errorf("%s expired at %s; send another one", k.ID, k.ExpiresAt.Format(time.RFC3339))
	}
	who := k.identity()
	who.Bounds = x.tenants[k.Tenant]
	return who, nil
}
