// Package keyservice wraps keys of payloads by a key that a key service holds, such as AWS
// KMS or Vault (envelope encryption): whoever reads the file of keys alone has none of them.
//
// A wrapped line is an id, and "wrapped:" with what the service made of the whole plain line
// in base64. So nobody can put one key in the place of another without the service.
package keyservice

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"gocloud.dev/secrets"
	_ "gocloud.dev/secrets/awskms"        // awskms://
	_ "gocloud.dev/secrets/azurekeyvault" // azurekeyvault://
	_ "gocloud.dev/secrets/hashivault"    // hashivault://
	_ "gocloud.dev/secrets/localsecrets"  // base64key://, for tests

	"github.com/ltp-node/ltp/payload"
)

// Variable is the environment variable that names the key service.
const Variable = "LTP_PAYLOAD_KMS"

var schemes = []string{"awskms", "azurekeyvault", "base64key", "hashivault"}

// azureKey is the path of a key of Azure Key Vault. Without a version the newest one would be
// asked to unwrap, which after a rotation is not the one that wrapped.
var azureKey = regexp.MustCompile(`^/keys/[^/]+/[^/]+$`)

// Service is a key of a key service. Close it.
type Service struct {
	name   string // without what may be secret
	keeper *secrets.Keeper
}

// Open opens the key that a URL names, as in https://gocloud.dev/howto/secrets/. It asks the
// service nothing.
func Open(ctx context.Context, address string) (*Service, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || !slices.Contains(schemes, u.Scheme):
		return nil, fmt.Errorf("a key service is named by a URL that begins with one of %s, such as awskms://alias/ltp?region=eu-central-1 or hashivault://ltp", strings.Join(schemes, "://, ")+"://")
	case u.Scheme == "azurekeyvault" && !azureKey.MatchString(u.Path):
		return nil, fmt.Errorf("a key of Azure Key Vault is named with its version, since what one version wrapped no other unwraps: azurekeyvault://VAULT.vault.azure.net/keys/KEY/VERSION")
	case u.Scheme == "base64key" && u.Host == "":
		return nil, fmt.Errorf("base64key:// holds no key, and what a random one wraps is lost: put 32 bytes in base64 behind it")
	}
	name := u.Scheme + "://" + u.Host + u.Path
	if u.Scheme == "base64key" {
		name = "base64key"
	}
	keeper, err := secrets.OpenKeeper(ctx, address)
	if err != nil {
		if u.Scheme == "base64key" { // the error quotes it
			return nil, fmt.Errorf("base64key:// is followed by no 32 bytes in base64 for URLs")
		}
		return nil, fmt.Errorf("the key service %s: %w", name, err)
	}
	return &Service{name, keeper}, nil
}

// Close ends its connections, and waits for no call that was given up.
func (s *Service) Close() { go func() { _ = s.keeper.Close() }() }

// Wrap wraps a line that [payload.NewKey] has made.
func (s *Service) Wrap(ctx context.Context, line string) (string, error) {
	id, _, _ := strings.Cut(line, " ")
	wrapped, err := bounded(ctx, func() ([]byte, error) { return s.keeper.Encrypt(ctx, []byte(line)) })
	if err != nil {
		return "", fmt.Errorf("the key service %s did not wrap payload key %q: %w", s.name, id, err)
	}
	return id + " " + payload.WrappedPrefix + base64.StdEncoding.EncodeToString(wrapped), nil
}

// Unwrap is a file of keys with each wrapped line as it was, and comments unchanged. A nil Service unwraps none, and
// is of use for a file of plain lines. No error quotes a key.
func (s *Service) Unwrap(ctx context.Context, data []byte) ([]byte, error) {
	var plain bytes.Buffer
	no := 0
	for line := range bytes.Lines(data) {
		no++
		fields := strings.Fields(string(line))
		if len(fields) == 2 && !comment(fields) && strings.HasPrefix(fields[1], payload.WrappedPrefix) && s != nil {
			wrapped, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(fields[1], payload.WrappedPrefix))
			if err != nil {
				return nil, fmt.Errorf("line %d: behind %s stands no base64: take the line as ltp payload-key printed it", no, payload.WrappedPrefix)
			}
			line, err = bounded(ctx, func() ([]byte, error) { return s.keeper.Decrypt(ctx, wrapped) })
			if err != nil {
				return nil, fmt.Errorf("line %d: the key service %s did not unwrap payload key %q: check that it is the one that wrapped the key, that it is reached from here, and who the environment says we are: %w", no, s.name, fields[0], err)
			}
			if id, _, _ := strings.Cut(string(line), " "); id != fields[0] {
				return nil, fmt.Errorf("line %d: what is wrapped is another key than %q: take the line as ltp payload-key printed it", no, fields[0])
			}
			line = append(line, '\n')
		}
		plain.Write(line)
	}
	return plain.Bytes(), nil
}

// comment reports whether a line of such fields is one, as [payload.ParseKeys] has it.
func comment(fields []string) bool { return len(fields) > 0 && strings.HasPrefix(fields[0], "#") }

// plainKey is what may be 32 bytes in base64: a key that was put out of use by a # before it.
var plainKey = regexp.MustCompile(`(^|[^A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{43}=`)

// plainIn reports whether a line is a comment that holds a key in plain.
func plainIn(fields []string, line []byte) bool { return comment(fields) && plainKey.Match(line) }

func plainError(no int) error {
	return fmt.Errorf("line %d: this comment holds 32 bytes in base64, as a key in plain does: take them out of the file, which is to hold no secret", no)
}

// bounded gives up a call when ctx ends, and takes a panic for an error: the client of Vault
// looks at no context, and expects an answer that holds what was asked for.
func bounded(ctx context.Context, do func() ([]byte, error)) ([]byte, error) {
	type result struct {
		data []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		defer func() {
			if v := recover(); v != nil {
				done <- result{nil, fmt.Errorf("the service answered something else than was asked for (%v)", v)}
			}
		}()
		data, err := do()
		done <- result{data, err}
	}()
	select {
	case r := <-done:
		return r.data, r.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// ReadKeys is [payload.ReadKeys] for a file whose keys the service wraps. A line that is plain
// is an error, and so is a comment with a plain key: who names a key service means the file to
// hold no secret.
func (s *Service) ReadKeys(ctx context.Context, path string) (*payload.Keys, error) {
	data, err := payload.ReadSecret(path)
	if err != nil {
		return nil, fmt.Errorf("payload keys: %w", err)
	}
	no := 0
	for line := range bytes.Lines(data) {
		no++
		fields := strings.Fields(string(line))
		if plainIn(fields, line) {
			return nil, fmt.Errorf("payload keys: %s: %w", path, plainError(no))
		}
		if len(fields) > 0 && !comment(fields) && !(len(fields) == 2 && strings.HasPrefix(fields[1], payload.WrappedPrefix)) {
			return nil, fmt.Errorf("payload keys: %s: line %d is not wrapped by the key service: wrap the file with ltp payload-key --rewrap %s, or name no key service", path, no, path)
		}
	}
	plain, err := s.Unwrap(ctx, data)
	if err != nil {
		return nil, fmt.Errorf("payload keys: %s: %w", path, err)
	}
	keys, err := payload.ParseKeys(plain)
	if err != nil {
		return nil, fmt.Errorf("payload keys: %s: %w", path, err)
	}
	return keys, nil
}

// Rewrap is a file of keys with each line wrapped by the service to, and comments as they
// were; one that holds a plain key is an error. Lines that are wrapped already are unwrapped by s, which may be nil where there is none.
func (s *Service) Rewrap(ctx context.Context, data []byte, to *Service) (string, error) {
	plain, err := s.Unwrap(ctx, data)
	if err != nil {
		return "", err
	}
	if _, err := payload.ParseKeys(plain); err != nil {
		return "", err
	}
	var all strings.Builder
	no := 0
	for line := range strings.Lines(string(plain)) {
		no++
		fields := strings.Fields(line)
		switch {
		case plainIn(fields, []byte(line)):
			return "", plainError(no)
		case len(fields) > 0 && !comment(fields):
			if line, err = to.Wrap(ctx, strings.Join(fields, " ")); err != nil {
				return "", err
			}
		}
		all.WriteString(strings.TrimSuffix(line, "\n") + "\n")
	}
	return all.String(), nil
}
