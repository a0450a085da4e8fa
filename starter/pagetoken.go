package starter

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp"
)

// sealLength is how many bytes of a seal go before a page token of Temporal's.
const sealLength = 16

// pages seals the page tokens of listings. Temporal takes some damaged tokens, and those of
// other listings, for the beginning of the list, and fails on others as if it were out of
// order: it gets none that it did not make for this very listing.
type pages struct{ key []byte }

// PageKey is the key of the page tokens of all that serve one namespace, so that each takes
// the tokens of the others: it is made of the namespace's ID, which clients are not shown.
func PageKey(ctx context.Context, c client.Client, namespace string) ([]byte, error) {
	d, err := c.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: namespace})
	if err != nil {
		return nil, unreachable("describe namespace "+namespace, err)
	}
	if d.GetNamespaceInfo().GetId() == "" {
		return nil, fmt.Errorf("namespace %s has no ID to make the key of page tokens of", namespace)
	}
	sum := sha256.Sum256([]byte("page tokens of orders\x00" + d.GetNamespaceInfo().GetId()))
	return sum[:], nil
}

// newPages seals by a key of its own: no other process takes its tokens.
func newPages() pages {
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // it never fails
	return pages{key}
}

func (p pages) seal(query string, token []byte) []byte {
	h := hmac.New(sha256.New, p.key)
	fmt.Fprintf(h, "%d:%s", len(query), query)
	h.Write(token)
	return h.Sum(nil)[:sealLength]
}

// sealed is a token of Temporal's for users; the token of no further page is empty.
func (p pages) sealed(query string, token []byte) string {
	if len(token) == 0 {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(append(p.seal(query, token), token...))
}

// unsealed is the token of Temporal's that was sealed for the query. No token is that of
// the first page.
func (p pages) unsealed(query, s string) ([]byte, error) {
	if s == "" {
		return nil, nil
	}
	data, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err == nil && len(data) > sealLength {
		if token := data[sealLength:]; hmac.Equal(data[:sealLength], p.seal(query, token)) {
			return token, nil
		}
	}
	return nil, errPageToken
}

var errPageToken = &ltp.InvalidError{Field: "page_token", Hint: "send the next_page_token of the page before as it was, with the same filters"}
