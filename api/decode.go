package api

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/orderjson"
)

// readOrder reads the order of a request.
func (a *api) readOrder(w http.ResponseWriter, r *http.Request) (ltp.Order, *problem) {
	if p := declaredJSON(w, r.Header); p != nil {
		return ltp.Order{}, p
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	switch {
	case errors.As(err, new(*http.MaxBytesError)):
		return ltp.Order{}, bodyTooLarge.withDetail(fmt.Sprintf("Send at most %d bytes: split the order into several.", MaxBody))
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ltp.Order{}, requestTimeout.withDetail("Send the order again, all of it at once.")
	case err != nil:
		return ltp.Order{}, invalidJSON.withDetail("The body ended early. Send the order again.")
	}
	return a.decode(data)
}

// decode reads an order, as everybody reads it, and asks the operator's own check of it.
func (a *api) decode(data []byte) (ltp.Order, *problem) {
	o, err := orderjson.Read(data)
	if err == nil && a.check != nil {
		err = a.check(data)
	}
	var malformed *orderjson.MalformedError
	switch {
	case errors.As(err, &malformed):
		return ltp.Order{}, invalidJSON.withDetail(malformed.Hint)
	case err != nil:
		return ltp.Order{}, problemOf(err, "Nothing was accepted.")
	}
	return o, nil
}

func declaredJSON(w http.ResponseWriter, h http.Header) *problem {
	media, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	coding := h.Get("Content-Encoding")
	if err == nil && media == "application/json" && (coding == "" || strings.EqualFold(coding, "identity")) {
		return nil
	}
	w.Header().Set("Accept-Post", "application/json")
	return unsupportedMediaType.withDetail("Send the order as JSON with Content-Type: application/json, and not compressed.")
}
