package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ltp-node/ltp/api"
	"github.com/ltp-node/ltp/internal/codec"
	"github.com/ltp-node/ltp/internal/keyservice"
	"github.com/ltp-node/ltp/payload"
)

func (a *app) payloadKeyCommand() *cobra.Command {
	var kms, rewrap string
	cmd := &cobra.Command{
		Use:   "payload-key [ID]",
		Short: "Make a key that encrypts what Temporal stores of orders",
		Long: `Print a new key as a line of a file of keys: its id, and 32 random bytes in base64. Without
an ID one is chosen. Every command of the node is given that file by --payload-key or
$` + payload.FileVariable + `, and nobody but its owner may read it.

Of several keys in a file, the first encrypts and all decrypt. To go over to another key,
add it as the last line everywhere, restart, move it to the first, and restart again. A key
whose orders Temporal has forgotten can be removed.

With --kms the key is printed as a key service has wrapped it, and the file holds no secret.
Every command is then given the service, too, by --payload-key-kms or $` + keyservice.Variable + `, and asks
it once, at its start. To go over to another key of the service, or to begin with one, wrap
the file anew with --rewrap. A service that rotates its key and finds the version that
wrapped by itself needs nothing of this; Azure does not, and its versions are named.

  awskms://alias/ltp?region=eu-central-1
  azurekeyvault://VAULT.vault.azure.net/keys/KEY/VERSION
  hashivault://KEY   of the transit engine; VAULT_ADDR and VAULT_TOKEN say where, and who we are`,
		Example: `  (umask 077; ltp payload-key > payload.keys)
  ltp worker --payload-key payload.keys --orders-db postgres://…
  (umask 077; ltp payload-key --kms hashivault://ltp > payload.keys)
  (umask 077; ltp payload-key --rewrap payload.keys --kms hashivault://other --payload-key-kms hashivault://ltp > payload.new)`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			line, err := payload.NewKey(strings.Join(args, ""))
			if err != nil {
				return err
			}
			if kms = cmp.Or(kms, a.keyService()); kms == "" && rewrap == "" {
				fmt.Fprintln(cmd.OutOrStdout(), line)
				return nil
			}
			lines, err := a.wrapped(cmd.Context(), kms, line, rewrap)
			if err != nil {
				return err
			}
			fmt.Fprint(cmd.OutOrStdout(), lines)
			return nil
		},
	}
	cmd.Flags().StringVar(&kms, "kms", "", "the key of a key service that wraps what is printed; without, that of --payload-key-kms")
	cmd.Flags().StringVar(&rewrap, "rewrap", "", "print the keys of this file, wrapped by --kms, in place of a new one; --payload-key-kms unwraps those that are wrapped")
	return cmd
}

// wrapped is a line, or the lines of a file, wrapped by a key service.
func (a *app) wrapped(ctx context.Context, kms, line, file string) (lines string, err error) {
	if kms == "" {
		return "", errors.New("--rewrap wraps keys: name the key service with --kms")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, unwrapTimeout, fmt.Errorf("it took more than %s", unwrapTimeout))
	defer cancel()
	to, err := keyservice.Open(ctx, kms)
	if err != nil {
		return "", fmt.Errorf("--kms: %w", err)
	}
	defer to.Close()
	if file == "" {
		line, err = to.Wrap(ctx, line)
		return line + "\n", err
	}
	var from *keyservice.Service
	if with := a.keyService(); with != "" {
		if from, err = keyservice.Open(ctx, with); err != nil {
			return "", fmt.Errorf("--payload-key-kms: %w", err)
		}
		defer from.Close()
	}
	data, err := payload.ReadSecret(file)
	if err != nil {
		return "", fmt.Errorf("--rewrap: %w", err)
	}
	if lines, err = from.Rewrap(ctx, data, to); err != nil {
		return "", fmt.Errorf("--rewrap %s: %w", file, err)
	}
	return lines, nil
}

func (a *app) codecCommand() *cobra.Command {
	var o codecOptions
	cmd := &cobra.Command{
		Use:   "codec",
		Short: "Decrypt what Temporal stores of orders, for Temporal UI and the Temporal CLI",
		Long: `Serve Temporal's remote codec protocol: POST /encode and /decode, with the keys of
--payload-key. It needs no Temporal. Whoever asks shows the token of --token, and reads
with it whatever is encrypted: give it to whom you would give the orders.

Temporal CLI: --codec-endpoint http://127.0.0.1:8234 --codec-auth "Bearer TOKEN"
Temporal UI:  the codec endpoint http://127.0.0.1:8234/TOKEN, in the browser's settings of it`,
		Example: `  (umask 077; openssl rand -hex 24 > codec.token)
  ltp codec --payload-key payload.keys --token codec.token --origin http://127.0.0.1:8233`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			keys, err := a.payloadKeys(cmd.Context())
			if err != nil {
				return err
			}
			if keys == nil {
				return fmt.Errorf("there is nothing to decrypt with: name the file of keys with --payload-key or $%s", payload.FileVariable)
			}
			return o.serve(cmd, keys, a.log)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.listen, "listen", "127.0.0.1:8234", "where to listen")
	f.StringVar(&o.token, "token", "", "a file with the token that whoever asks shows; nobody but its owner may read it")
	f.StringSliceVar(&o.origins, "origin", nil, "the origin of the Temporal UI whose pages may ask, such as http://127.0.0.1:8233")
	f.StringVar(&o.cert, "tls-cert", "", "a certificate, in PEM; with --tls-key it serves HTTPS")
	f.StringVar(&o.key, "tls-key", "", "the certificate's key, in PEM")
	f.BoolVar(&o.plain, "insecure-no-tls", false, "lift the refusal of an address that other machines reach without TLS: something before it has it")
	return cmd
}

type codecOptions struct {
	listen, token, cert, key string
	origins                  []string
	plain                    bool
}

func (o codecOptions) serve(cmd *cobra.Command, keys *payload.Keys, log *slog.Logger) error {
	if err := o.valid(); err != nil {
		return err
	}
	secret, err := payload.ReadSecret(o.token)
	if err != nil {
		return fmt.Errorf("the token: %w", err)
	}
	token := strings.TrimSpace(string(secret))
	if len(token) < codec.MinToken || strings.ContainsAny(token, " \t\r\n/") {
		return fmt.Errorf("the token in %s: write one line of %d characters at least, without '/' and spaces, as openssl rand -hex 24 does", o.token, codec.MinToken)
	}
	ln, err := api.Listen(o.listen, o.access(), log)
	if err != nil {
		return ofFlag("--listen", err)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "ltp codec runs on %s with the keys %s. Ctrl-C ends it.\n", ln.URL(), strings.Join(keys.IDs(), ", "))
	return api.Serve(cmd.Context(), ln, codec.New(keys, token, o.origins), log)
}

// access is that of a listener that asks for the token.
func (o codecOptions) access() api.Access { return api.Access{Cert: o.cert, Key: o.key, NoAuth: true} }

// valid returns an error that says what to do.
func (o codecOptions) valid() error {
	if o.token == "" {
		return errors.New("--token: name a file with the token that whoever asks shows; openssl rand -hex 24 makes one")
	}
	if err := o.access().Validate(); err != nil {
		return asFlags(err)
	}
	for _, origin := range o.origins {
		u, err := url.Parse(origin)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || origin != u.Scheme+"://"+u.Host {
			return fmt.Errorf("--origin %q: write it as browsers do, without a path, such as http://127.0.0.1:8233", origin)
		}
	}
	_, err := api.Access{}.Admits(o.listen)
	exposed := errors.As(err, new(*api.ExposedError))
	if err != nil && !exposed {
		return ofFlag("--listen", err)
	}
	if exposed && o.cert == "" && !o.plain {
		return fmt.Errorf("%s is reached from other machines, and the token and the orders would go there in plain text: add --tls-cert and --tls-key, or --insecure-no-tls behind something that has it", o.listen)
	}
	return nil
}
