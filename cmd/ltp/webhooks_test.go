package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/webhook"
)

// TestListOfWebhooksSaysWhatItIsOf: of how many orders it is, where there are more.
func TestListOfWebhooksSaysWhatItIsOf(t *testing.T) {
	said := func(all []webhook.Trouble, looked int, more bool) string {
		var out strings.Builder
		require.NoError(t, printTroubles(&out, all, looked, more))
		return out.String()
	}
	assert.Equal(t, "No delivery fails, and none was given up.\n", said(nil, 7, false))
	assert.Contains(t, said(nil, 1000, true), "of the 1,000 orders looked at")
	text := said([]webhook.Trouble{
		{OrderID: "A2", Endpoint: "shop", Event: ltp.OrderConfirmed, Attempts: 3, Why: "it answered\x1b[2J 500"},
		{OrderID: "A3", GivenUp: true, Why: "what the order has announced could not be read"},
	}, 12, true)
	assert.Contains(t, text, "the latest 12 were looked at")
	assert.NotContains(t, text, "\x1b")
	assert.Regexp(t, `A3 +- +- +given up`, text)
}

// TestURLOfAWebhookIsShownToItsHost: what stands behind it may be secret.
func TestURLOfAWebhookIsShownToItsHost(t *testing.T) {
	assert.Equal(t, "https://shop.example:8443", origin("https://shop.example:8443/hooks/sesame?key=1"))
}
