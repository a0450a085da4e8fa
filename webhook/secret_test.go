package webhook

import (
	"crypto/ed25519"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ltp-node/ltp"
)

// TestEverySignatureIsGood for whoever has the secret that it is of, by the library of
// Standard Webhooks, and for nobody else.
func TestEverySignatureIsGood(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first, second := NewSecret(), NewSecret()
		private, public := NewKeys()
		m := ltp.Message{ID: rapid.StringMatching(`msg_[a-z0-9]{1,40}`).Draw(t, "id"), Body: rapid.SliceOf(rapid.Byte()).Draw(t, "body")}
		var with []signer
		for _, s := range []string{first, private, second} {
			one, err := readSecret(s)
			require.NoError(t, err)
			with = append(with, one)
		}
		at := time.Now()
		signature := sign(with, m, at)
		header := http.Header{}
		header.Set("webhook-id", m.ID)
		header.Set("webhook-timestamp", strconv.FormatInt(at.Unix(), 10))
		header.Set("webhook-signature", signature)
		for secret, good := range map[string]bool{first: true, second: true, NewSecret(): false} {
			official, err := standardwebhooks.NewWebhook(secret)
			require.NoError(t, err)
			assert.Equal(t, good, official.Verify(m.Body, header) == nil)
		}
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(public, "whpk_"))
		require.NoError(t, err)
		made, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(strings.Fields(signature)[1], "v1a,"))
		require.NoError(t, err)
		signed := m.ID + "." + strconv.FormatInt(at.Unix(), 10) + "." + string(m.Body)
		assert.True(t, ed25519.Verify(key, []byte(signed), made))
		assert.False(t, ed25519.Verify(key, []byte(signed+"x"), made))
	})
}

// TestSignatureIsThatOfTheSpecification: its own example.
func TestSignatureIsThatOfTheSpecification(t *testing.T) {
	one, err := readSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	require.NoError(t, err)
	m := ltp.Message{ID: "msg_p5jXN8AQM9LWM0D4loKWxJek", Body: []byte(`{"test": 2432232314}`)}
	assert.Equal(t, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", sign([]signer{one}, m, time.Unix(1614265330, 0)))
}

// TestSecretThatIsNoneIsRefused, and not quoted.
func TestSecretThatIsNoneIsRefused(t *testing.T) {
	seed := base64.StdEncoding.EncodeToString(make([]byte, 32))
	_, err := readSecret("whsk_" + seed)
	assert.NoError(t, err, "a seed alone")
	for _, s := range []string{
		"", "hunter2hunter2", "whsec_", "whsec_hunter2", "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 23)),
		"whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 65)), "whsk_hunter2",
		"whsk_" + base64.StdEncoding.EncodeToString(make([]byte, 64)), "whpk_" + seed,
	} {
		_, err := readSecret(s)
		require.Error(t, err, s)
		if len(s) > 6 {
			assert.NotContains(t, err.Error(), s[6:])
		}
	}
}
