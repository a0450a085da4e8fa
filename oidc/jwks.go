package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Bounds of fetching the keys of an issuer.
const (
	// fetchTimeout bounds one fetch, and how long a token waits for it.
	fetchTimeout = 5 * time.Second
	// fetchEvery is how old keys become: so long may one that the issuer has withdrawn count.
	fetchEvery = 5 * time.Minute
	// fetchPause is the least time between two fetches, whatever tokens name: so long may a
	// key be unknown that the issuer signs with at once when it publishes it.
	fetchPause = 5 * time.Second
	// longestAge is for how long keys count at most while they cannot be fetched again.
	longestAge = time.Hour
	// mostWaiting is how many tokens wait for a fetch at once: those over it are answered
	// without one.
	mostWaiting = 32
	// longestPause is the most time between two tries while the issuer does not answer.
	longestPause = 30 * time.Second
	// maxDocument is the most bytes of what an issuer publishes, maxKeys the most of its keys.
	maxDocument = 1 << 20
	maxKeys     = 100
	// leastRSA is the fewest bits of a key that RFC 7518 allows.
	leastRSA = 2048
)

// keys are those that an issuer publishes. One goroutine fetches them, so that tokens wait
// for a fetch at most, and never cause more than one in fetchPause.
type keys struct {
	issuer string
	client *http.Client
	log    *slog.Logger
	now    atomic.Pointer[published]
	wanted chan struct{} // by a token that no key of those that are there has signed
	// waiting holds one for each token that waits for a fetch.
	waiting chan struct{}
}

// published is what was known of the keys after a fetch.
type published struct {
	all     []jose.JSONWebKey
	known   bool          // whether a fetch has succeeded that is not too long ago
	fetched time.Time     // when it did
	failed  error         // of the last fetch
	at      time.Time     // when that ended
	next    chan struct{} // closed when another fetch has ended
}

func fetching(ctx context.Context, issuer string, log *slog.Logger) *keys {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	k := &keys{issuer: issuer, log: log, wanted: make(chan struct{}, 1), waiting: make(chan struct{}, mostWaiting), client: &http.Client{
		Transport: transport, Timeout: fetchTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	k.now.Store(&published{next: make(chan struct{})})
	go func() {
		k.run(ctx)
		transport.CloseIdleConnections()
	}()
	return k
}

// run fetches the keys until ctx ends: again and again, and sooner where a token names one
// that is not there.
func (k *keys) run(ctx context.Context) {
	wait := func(d time.Duration, wanted <-chan struct{}) {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-wanted:
		case <-ctx.Done():
		}
	}
	pause := fetchPause
	for ctx.Err() == nil {
		k.fetch(ctx)
		now := k.now.Load()
		switch {
		case !now.known: // nobody is let in until they are
			wait(pause, nil)
			pause = min(2*pause, longestPause)
		case now.failed != nil:
			wait(fetchPause, nil)
			wait(longestPause-fetchPause, k.wanted)
		default:
			wait(fetchPause, nil)
			wait(fetchEvery-fetchPause, k.wanted)
		}
	}
}

// fetch fetches the keys once. Where that fails, those of before stay, for longestAge at most.
func (k *keys) fetch(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	before := k.now.Load()
	after := &published{all: before.all, known: before.known, fetched: before.fetched, next: make(chan struct{})}
	all, err := k.get(ctx)
	switch {
	case err == nil:
		after.all, after.known, after.fetched = all, true, time.Now()
		switch {
		case len(all) == 0 && (len(before.all) > 0 || !before.known):
			k.log.Warn("the issuer publishes no key that tokens may be signed with: no token is accepted", "issuer", k.issuer)
		case before.failed != nil:
			k.log.Info("the keys of the issuer were fetched again", "issuer", k.issuer, "keys", len(all))
		}
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.Canceled):
		return
	default:
		after.failed = fmt.Errorf("the keys of the issuer %s cannot be fetched: %w", k.issuer, err)
		switch {
		case before.known && time.Since(before.fetched) > longestAge-longestPause-fetchTimeout: // the next try may end so much later
			after.all, after.known = nil, false
			k.log.Error("the keys of the issuer could not be fetched for too long, and count no more: tokens are answered 503 until they can", "issuer", k.issuer, "error", err)
		case before.failed != nil: // said before
		case before.known:
			k.log.Warn("the keys of the issuer cannot be fetched: those of before stay for an hour at most, and it is tried again", "issuer", k.issuer, "error", err)
		default:
			k.log.Warn("the keys of the issuer cannot be fetched: tokens are answered 503 until they can, and it is tried again", "issuer", k.issuer, "error", err)
		}
	}
	after.at = time.Now()
	k.now.Store(after)
	close(before.next)
}

// get asks the issuer where its keys are, and for them. A set of which no key is of use is as
// good as another: its keys were withdrawn.
func (k *keys) get(ctx context.Context) ([]jose.JSONWebKey, error) {
	var about struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	at := strings.TrimSuffix(k.issuer, "/") + "/.well-known/openid-configuration"
	if err := k.read(ctx, at, &about); err != nil {
		return nil, err
	}
	if about.Issuer != k.issuer {
		return nil, fmt.Errorf("%s is of the issuer %q: give that one, to the letter, where it is yours", at, about.Issuer)
	}
	if err := validURL(about.Keys); err != nil {
		return nil, fmt.Errorf("%s names no jwks_uri that is of use: %w", at, err)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := k.read(ctx, about.Keys, &set); err != nil {
		return nil, err
	}
	if set.Keys == nil {
		return nil, fmt.Errorf("%s holds no list of keys", about.Keys)
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("%s holds more than %d keys", about.Keys, maxKeys)
	}
	var all []jose.JSONWebKey
	for _, data := range set.Keys {
		var key jose.JSONWebKey
		if key.UnmarshalJSON(data) == nil && usable(key) { // others are for others
			all = append(all, key)
		}
	}
	return all, nil
}

func (k *keys) read(ctx context.Context, url string, to any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "application/json")
	response, err := k.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, maxDocument+1))
	switch {
	case err != nil:
		return fmt.Errorf("read %s: %w", url, err)
	case len(data) > maxDocument:
		return fmt.Errorf("%s has more than %d bytes", url, maxDocument)
	}
	if err := json.Unmarshal(data, to); err != nil {
		return fmt.Errorf("%s is not as OpenID Connect has it: %w", url, err)
	}
	return nil
}

// usable reports whether a key may check the signatures of tokens.
func usable(key jose.JSONWebKey) bool {
	if !key.Valid() || key.Use != "" && key.Use != "sig" {
		return false
	}
	switch public := key.Key.(type) {
	case *rsa.PublicKey:
		return public.N.BitLen() >= leastRSA
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return true
	}
	return false // it is secret, or of a kind that no algorithm here has
}

// fits reports whether a key is for an algorithm.
func fits(key jose.JSONWebKey, with jose.SignatureAlgorithm) bool {
	if key.Algorithm != "" && key.Algorithm != string(with) {
		return false
	}
	switch public := key.Key.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(string(with), "RS") || strings.HasPrefix(string(with), "PS")
	case ed25519.PublicKey:
		return with == jose.EdDSA
	case *ecdsa.PublicKey:
		return with == map[elliptic.Curve]jose.SignatureAlgorithm{elliptic.P256(): jose.ES256, elliptic.P384(): jose.ES384, elliptic.P521(): jose.ES512}[public.Curve]
	}
	return false
}

// of are the keys of an id that are for an algorithm. Without an id it is the one that there
// is: of several, a token must say which.
func (p *published) of(id string, with jose.SignatureAlgorithm) (found []jose.JSONWebKey) {
	for _, key := range p.all {
		if (id == "" || key.KeyID == id) && fits(key, with) {
			found = append(found, key)
		}
	}
	if id == "" && len(found) > 1 {
		return nil
	}
	return found
}

// newer is what is known after one more fetch than that of now, for a token that no key of
// now has signed. It is now itself where the last fetch is too recent to ask again. It returns
// an awayError where none ends in time, or too many wait for one already.
func (k *keys) newer(ctx context.Context, now *published) (*published, error) {
	if !now.at.IsZero() && (!now.known || time.Since(now.at) < fetchPause) {
		return now, nil
	}
	select {
	case k.waiting <- struct{}{}:
		defer func() { <-k.waiting }()
	default:
		return nil, awayError{}
	}
	select {
	case k.wanted <- struct{}{}:
	default:
	}
	patience := time.NewTimer(fetchTimeout)
	defer patience.Stop()
	select {
	case <-now.next:
		return k.now.Load(), nil
	case <-patience.C:
	case <-ctx.Done():
	}
	return nil, awayError{}
}

// without is why a token is not good that none of the keys has signed.
func (p *published) without(id string, with jose.SignatureAlgorithm) error {
	switch {
	case p.failed != nil || !p.known:
		return awayError{}
	case len(p.of(id, with)) > 0:
		return errors.New("its signature is not the issuer's; send an access token as the issuer made it")
	case id == "":
		return errors.New("it does not say which of the issuer's keys has signed it (kid)")
	}
	return errors.New("it is signed with a key that the issuer does not publish; send an access token of the issuer")
}

// awayError says that the issuer's keys cannot be had now.
type awayError struct{}

func (awayError) Error() string {
	return "the keys of the issuer cannot be had at the moment"
}

// RetryAfter is when it is worth to try again.
func (awayError) RetryAfter() time.Duration { return fetchPause }
