package webhook

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"regexp"
	"slices"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/reload"
	"github.com/ltp-node/ltp/internal/strictjson"
	"github.com/ltp-node/ltp/payload"
)

// Endpoint is where the messages of a tenant's orders are sent.
type Endpoint struct {
	Tenant string `json:"tenant,omitempty"` // empty is the default tenant
	// Name distinguishes the endpoints of a tenant, in Temporal too. A message that waits goes
	// to the URL that its endpoint has when it is sent.
	Name string `json:"name"`
	URL  string `json:"url"`
	// Secrets are those that messages are signed with, by each of them.
	Secrets []string `json:"secrets"`
	// Events are those that it wants; empty is all.
	Events []ltp.WebhookEvent `json:"events,omitempty"`

	signers []signer
}

// File is what a file of endpoints holds.
type File struct {
	Endpoints []Endpoint `json:"endpoints"`
}

// Bounds of the endpoints.
const (
	maxName    = 64
	maxURL     = 2048
	maxSecrets = 8
	maxOfOne   = 16 // endpoints of one tenant
)

var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// wants reports whether an event goes to the endpoint.
func (e Endpoint) wants(event ltp.WebhookEvent) bool {
	return len(e.Events) == 0 || slices.Contains(e.Events, event)
}

// Parse reads a file of endpoints. Without private, URLs are https alone. It returns an error
// for anything that it does not know, or that could not be, and quotes no secret.
func Parse(data []byte, private bool) (f File, err error) {
	if err := strictjson.Decode(data, &f); err != nil {
		return File{}, fmt.Errorf("it is no file of webhooks: %w", err)
	}
	for i := range f.Endpoints {
		e := &f.Endpoints[i]
		err := e.validate(private)
		switch n := 0; {
		case err != nil:
		case slices.ContainsFunc(f.Endpoints[:i], func(o Endpoint) bool { return o.Tenant == e.Tenant && o.Name == e.Name }):
			err = errors.New("its name is that of an endpoint above, of the same tenant")
		default:
			for _, o := range f.Endpoints[:i] {
				if o.Tenant == e.Tenant {
					n++
				}
			}
			if n >= maxOfOne {
				err = fmt.Errorf("a tenant has at most %d endpoints", maxOfOne)
			}
		}
		if err != nil {
			return File{}, fmt.Errorf("endpoint %d (%s): %w", i+1, cmp.Or(e.Name, "no name"), err)
		}
	}
	return f, nil
}

func (e *Endpoint) validate(private bool) error {
	if err := ltp.ValidTenant(e.Tenant); err != nil {
		return err
	}
	if len(e.Name) > maxName || !namePattern.MatchString(e.Name) {
		return fmt.Errorf("name: use 1 to %d letters, digits, '.', '_' and '-', and begin with a letter or digit", maxName)
	}
	if err := validURL(e.URL, private); err != nil {
		return fmt.Errorf("url: %w", err)
	}
	if len(e.Secrets) == 0 || len(e.Secrets) > maxSecrets {
		return fmt.Errorf("secrets: give 1 to %d: ltp webhooks secret makes one", maxSecrets)
	}
	e.signers = nil
	for i, s := range e.Secrets {
		sign, err := readSecret(s)
		if err != nil {
			return fmt.Errorf("secret %d: %w", i+1, err)
		}
		e.signers = append(e.signers, sign)
	}
	for _, event := range e.Events {
		if !slices.Contains(ltp.WebhookEvents(), event) {
			return fmt.Errorf("events: there is no %q; there are %v", event, ltp.WebhookEvents())
		}
	}
	return nil
}

// validURL returns an error for a URL to which no message is sent; it quotes none, as what
// stands behind the host may be secret.
func validURL(text string, private bool) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || len(text) > maxURL || u.Hostname() == "":
		return errors.New("give one with a host, as in https://shop.example/hooks")
	case u.Scheme == "http" && !private:
		return errors.New("use https; http is for --webhooks-allow-private")
	case u.Scheme != "https" && u.Scheme != "http":
		return errors.New("use https")
	case u.User != nil, u.Fragment != "":
		return errors.New("leave the user and the fragment out: signatures say who sends")
	}
	return nil
}

// index finds the endpoints of a tenant, in the order of the file.
type index map[string][]Endpoint

func (f File) index() index {
	x := index{}
	for _, e := range f.Endpoints {
		x[e.Tenant] = append(x[e.Tenant], e)
	}
	return x
}

// lookEvery is how often the file is looked at, at most.
const lookEvery = time.Second

// Read reads a file of endpoints that nobody but its owner can read or change, by the rule of
// [payload.ReadSecret].
func Read(path string, private bool) (File, error) {
	data, err := payload.ReadSecret(path)
	return parsed(path, data, err, private)
}

func parsed(path string, data []byte, err error, private bool) (f File, _ error) {
	if err == nil {
		if f, err = Parse(data, private); err != nil {
			err = fmt.Errorf("%s: %w", path, err)
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return File{}, fmt.Errorf("webhooks: %w: the README says what it holds", err)
	case err != nil:
		return File{}, fmt.Errorf("webhooks: %w", err)
	}
	return f, nil
}

// follow keeps the endpoints of a file as it is now.
func follow(path string, private bool, log *slog.Logger) (*reload.Value[index], error) {
	source := func() (string, func() (index, error)) {
		data, err := payload.ReadSecret(path)
		return fmt.Sprintf("%v\n%s", err, data), func() (index, error) {
			f, err := parsed(path, data, err, private)
			return f.index(), err
		}
	}
	return reload.New(source, lookEvery, func(x index, err error) {
		if err != nil {
			log.Warn("the file of webhooks has changed and is of no use: the endpoints and secrets of before stay", "error", err)
			return
		}
		log.Info("the file of webhooks has changed and was read", "tenants", len(x))
	})
}
