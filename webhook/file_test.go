package webhook

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
)

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func endpointJSON(fields string) string {
	return `{"endpoints":[{"name":"shop","url":"https://shop.example/sesame","secrets":["` + secret + `"]` + fields + `}]}`
}

func TestFileOfWebhooksIsRead(t *testing.T) {
	f, err := Parse([]byte(endpointJSON(`,"tenant":"acme","events":["order.confirmed"]`)), false)
	require.NoError(t, err)
	require.Len(t, f.Endpoints, 1)
	assert.True(t, f.Endpoints[0].wants(ltp.OrderConfirmed))
	assert.False(t, f.Endpoints[0].wants(ltp.OrderDeferred))
	f, err = Parse([]byte(endpointJSON("")), false)
	require.NoError(t, err)
	for _, e := range ltp.WebhookEvents() {
		assert.True(t, f.Endpoints[0].wants(e), e)
	}
	_, err = Parse([]byte(strings.Replace(endpointJSON(""), "https", "http", 1)), true)
	assert.NoError(t, err)
	_, err = Parse([]byte(`{"endpoints":[]}`), false)
	assert.NoError(t, err, "nobody has any")
}

// TestFileThatIsOfNoUseIsRefused with what is wrong; neither secrets nor URLs are quoted.
func TestFileThatIsOfNoUseIsRefused(t *testing.T) {
	one := strings.TrimSuffix(strings.TrimPrefix(endpointJSON(""), `{"endpoints":[`), `]}`)
	var many []string
	for i := range 17 {
		many = append(many, strings.Replace(one, "shop", fmt.Sprint("shop", i), 1))
	}
	for want, file := range map[string]string{
		"it is no file of webhooks":           `[]`,
		"null is no object":                   `null`,
		"stands there twice":                  endpointJSON(`,"Name":"x"`),
		"unknown field":                       endpointJSON(`,"secret":"x"`),
		"after the object":                    endpointJSON("") + `{}`,
		"begin with ltp-":                     endpointJSON(`,"tenant":"ltp-x"`),
		"small letters":                       endpointJSON(`,"tenant":"ACME"`),
		"there is no \"order.lost\"":          endpointJSON(`,"events":["order.lost"]`),
		"name: use":                           strings.Replace(endpointJSON(""), `"shop"`, `"a/b"`, 1),
		"url: use https; http":                strings.Replace(endpointJSON(""), "https", "http", 1),
		"url: use https":                      strings.Replace(endpointJSON(""), "https", "ftp", 1),
		"url: give one with a host":           strings.Replace(endpointJSON(""), "https://shop.example", "https://", 1),
		"url: leave the user":                 strings.Replace(endpointJSON(""), "https://", "https://ann:pw@", 1),
		"secrets: give 1 to 8":                strings.Replace(endpointJSON(""), `"`+secret+`"`, "", 1),
		"secret 1: after whsec_":              strings.Replace(endpointJSON(""), secret, "whsec_short", 1),
		"its name is that of":                 `{"endpoints":[` + one + "," + one + `]}`,
		"a tenant has at most 16 endpoints":   `{"endpoints":[` + strings.Join(many, ",") + `]}`,
		"secret 1: it begins neither with wh": strings.Replace(endpointJSON(""), secret, "whs_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", 1),
	} {
		_, err := Parse([]byte(file), false)
		require.ErrorContains(t, err, want, file)
		assert.NotContains(t, err.Error(), "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
		assert.NotContains(t, err.Error(), "/sesame")
	}
}

// TestFileIsReadAgain when it changes; one that is of no use changes nothing.
func TestFileIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "webhooks.json")
		write := func(text string) { require.NoError(t, os.WriteFile(path, []byte(text), 0o600)) }
		_, err := Open(path, false, slog.New(slog.DiscardHandler))
		assert.ErrorContains(t, err, "no such file")
		write(endpointJSON(""))
		require.NoError(t, os.Chmod(path, 0o644))
		_, err = Open(path, false, slog.New(slog.DiscardHandler))
		assert.ErrorContains(t, err, "by others than its owner")
		require.NoError(t, os.Chmod(path, 0o600))
		w, err := Open(path, false, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		assert.True(t, w.Has(""))
		assert.False(t, w.Has("acme"))
		write("{")
		write(endpointJSON(`,"tenant":"acme"`))
		time.Sleep(lookEvery)
		assert.True(t, w.Has("acme"))
		assert.False(t, w.Has(""))
		assert.Equal(t, []string{"shop"}, w.For("acme", ltp.OrderParked))
		write("{")
		time.Sleep(lookEvery)
		assert.True(t, w.Has("acme"))
	})
}
