package api

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/google/uuid"

	"github.com/ltp-node/ltp"
)

// maxKeyLength is the most characters of an Idempotency-Key.
const maxKeyLength = 255

// identify gives the order its id: its own, or the one that the Idempotency-Key
// stands for, or a new one.
func identify(o *ltp.Order, h http.Header, who ltp.Identity) *problem {
	key, p := idempotencyKey(h)
	switch {
	case p != nil:
		return p
	case ofKey.MatchString(o.ID):
		return invalidOrder.in("id", "ids of this form are those of orders with an Idempotency-Key: send that header, and no id")
	case key == "" && o.ID == "":
		o.ID = uuid.Must(uuid.NewV7()).String()
	case o.ID == "":
		o.ID = keyedID(who.Customer, key)
	case key != "" && key != o.ID:
		return keyAndID.withDetail("The order has an id, and an Idempotency-Key that differs from it. Send one of them: the id alone makes a repeat safe.").of(o.ID)
	}
	return nil
}

// ofKey matches the ids that keyedID makes. No client may choose one, or it could take the id
// of somebody else's Idempotency-Key.
var ofKey = regexp.MustCompile(`^key-[0-9a-f]{32}$`)

// keyedID is the order id that an Idempotency-Key stands for, the same every time: for
// whoever is bound to a customer that customer's own. It is a hash, since a key may hold
// what an id may not.
func keyedID(customer, key string) string {
	if customer != "" {
		key = customer + "\x00" + key // which neither may hold
	}
	sum := sha256.Sum256([]byte(key))
	return "key-" + hex.EncodeToString(sum[:16])
}

// idempotencyKey reads the Idempotency-Key header: a quoted string, as the IETF
// draft has it, or a bare one, as most clients send it. Without the header it is
// empty.
func idempotencyKey(h http.Header) (string, *problem) {
	const name = "Idempotency-Key"
	values := h.Values(name)
	if len(values) == 0 {
		return "", nil
	}
	if len(values) > 1 {
		return "", invalidRequest.in(name, "send the header once")
	}
	key := strings.TrimSpace(values[0])
	if strings.HasPrefix(key, `"`) {
		unquoted, ok := unquote(key)
		if !ok {
			return "", invalidRequest.in(name, `close the quotes, and send nothing after them: "8e03978e"`)
		}
		key = unquoted
	}
	switch {
	case key == "":
		return "", invalidRequest.in(name, "give a key, such as a new UUID for every order, or leave the header out")
	case len(key) > maxKeyLength:
		return "", invalidRequest.in(name, fmt.Sprintf("use at most %d characters", maxKeyLength))
	case strings.ContainsFunc(key, func(c rune) bool { return c < ' ' || c > '~' }):
		return "", invalidRequest.in(name, "use printable ASCII characters only")
	}
	return key, nil
}
