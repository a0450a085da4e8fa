package webhook

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ltp-node/ltp"
)

// The prefixes of secrets, as Standard Webhooks has them: what follows is base64.
const (
	symmetricPrefix = "whsec_"
	privatePrefix   = "whsk_"
	publicPrefix    = "whpk_"
)

// The bounds that Standard Webhooks sets to a symmetric secret, in bytes.
const shortestSecret, longestSecret = 24, 64

// signer makes signatures of one secret.
type signer func(signed []byte) (signature string)

// readSecret reads a secret. Its errors quote none.
func readSecret(s string) (signer, error) {
	switch {
	case strings.HasPrefix(s, symmetricPrefix):
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s, symmetricPrefix))
		if err != nil || len(key) < shortestSecret || len(key) > longestSecret {
			return nil, fmt.Errorf("after %s stand no %d to %d bytes in base64: make a secret with ltp webhooks secret", symmetricPrefix, shortestSecret, longestSecret)
		}
		return func(signed []byte) string {
			h := hmac.New(sha256.New, key)
			h.Write(signed)
			return "v1," + base64.StdEncoding.EncodeToString(h.Sum(nil))
		}, nil
	case strings.HasPrefix(s, privatePrefix):
		key, err := privateKey(strings.TrimPrefix(s, privatePrefix))
		if err != nil {
			return nil, err
		}
		return func(signed []byte) string {
			return "v1a," + base64.StdEncoding.EncodeToString(ed25519.Sign(key, signed))
		}, nil
	case strings.HasPrefix(s, publicPrefix):
		return nil, errors.New("it is a public key, which is for who receives: the secret begins with " + privatePrefix)
	}
	return nil, fmt.Errorf("it begins neither with %s nor with %s: make a secret with ltp webhooks secret", symmetricPrefix, privatePrefix)
}

// privateKey reads an ed25519 key: its seed, or the seed and the public key.
func privateKey(text string) (ed25519.PrivateKey, error) {
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(data) != ed25519.SeedSize && len(data) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("after %s stand no %d or %d bytes in base64: make a secret with ltp webhooks secret --ed25519", privatePrefix, ed25519.SeedSize, ed25519.PrivateKeySize)
	}
	key := ed25519.NewKeyFromSeed(data[:ed25519.SeedSize])
	if len(data) == ed25519.PrivateKeySize && !key.Equal(ed25519.PrivateKey(data)) {
		return nil, errors.New("its public key is not that of its seed: make a secret with ltp webhooks secret --ed25519")
	}
	return key, nil
}

// NewSecret makes a symmetric secret.
func NewSecret() string {
	key := make([]byte, 32)
	rand.Read(key) // it never fails
	return symmetricPrefix + base64.StdEncoding.EncodeToString(key)
}

// NewKeys makes an ed25519 secret, and the public key that receivers check signatures with.
func NewKeys() (secret, public string) {
	open, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		panic(err) // the system's randomness never fails
	}
	return privatePrefix + base64.StdEncoding.EncodeToString(key), publicPrefix + base64.StdEncoding.EncodeToString(open)
}

// sign makes the webhook-signature of a message that is sent at a time: one signature for
// each secret, so that a receiver may have any of them.
func sign(with []signer, m ltp.Message, at time.Time) string {
	signed := fmt.Appendf(nil, "%s.%d.%s", m.ID, at.Unix(), m.Body)
	all := make([]string, len(with))
	for i, one := range with {
		all[i] = one(signed)
	}
	return strings.Join(all, " ")
}
