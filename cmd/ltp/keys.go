package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/apikey"
	"github.com/ltp-node/ltp/internal/table"
	"github.com/ltp-node/ltp/internal/words"
)

func (a *app) keysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Make, list and revoke the keys of the order API",
		Long: `Whoever shows a key at the order API (Authorization: Bearer SECRET) reaches the orders of
its tenant, by its role:

  customer   submits, reads, lists and cancels orders; with --customer those of one customer
  support    reads, lists and cancels orders
  operator   does everything; without --tenant, at --admin, too

The ids, Idempotency-Keys and ordering keys of a tenant are its own. Commands and Temporal
call the order A2 of the tenant acme acme/A2. Without --tenant a key is of the default
tenant, whose orders are called as they are.

The file of keys holds the SHA-256 of each secret and not the secret. ltp api, ltp dev and
every other process that is given it by --keys reads it again within a second of a change.
Beside "keys" it may hold what customers of a tenant may ask for, where that is more than
the priorities 3 to 5, normal risk and orders-db:

  "tenants": {"acme": {"first_priority": 2, "risk": true, "depends_on": ["payments"]}}`,
	}
	cmd.AddCommand(keysCreate(), keysList(), keysRevoke())
	return cmd
}

// keysFlag names the file of keys.
func keysFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "keys", "", "the file of keys; nobody but its owner may read it")
	_ = cmd.MarkFlagRequired("keys")
}

func keysCreate() *cobra.Command {
	var file, role, expires string
	var as format
	var k apikey.Key
	cmd := &cobra.Command{
		Use:   "create --keys FILE --role ROLE",
		Short: "Make a key, and print its secret once",
		Example: `  ltp keys create --keys api.keys --tenant acme --role customer --name web --expires 90d
  ltp keys create --keys api.keys --role operator --name prometheus`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			now := time.Now()
			k.Role = ltp.Role(role)
			if expires != "" {
				if k.ExpiresAt, err = later("--expires", expires, now); err != nil {
					return err
				}
			}
			var made apikey.Key
			var secret string
			err = apikey.Change(file, func(f *apikey.File) (err error) {
				made, secret, err = f.Create(k, now)
				return err
			})
			var invalid *ltp.InvalidError
			switch {
			case errors.As(err, &invalid):
				return fmt.Errorf("--%s: %s", invalid.Field, invalid.Hint)
			case err != nil:
				return err
			}
			shown := struct {
				listedKey
				Secret string `json:"secret"`
			}{listKey(made, now), secret}
			if err := as.show(cmd, shown, func(w io.Writer) { fmt.Fprintln(w, secret) }); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "ltp: this is the secret of the key %s, and it is printed this once: %s keeps its SHA-256 alone\n", made.ID, file)
			return nil
		},
	}
	keysFlag(cmd, &file)
	f := cmd.Flags()
	as.flag(cmd, "the key and its secret, as one object")
	f.StringVar(&role, "role", "", "customer, support or operator")
	f.StringVar(&k.Tenant, "tenant", "", "the tenant whose orders it reaches; without, the default one")
	f.StringVar(&k.Customer, "customer", "", "the one customer whose orders a key of the role customer reaches")
	f.StringVar(&k.Name, "name", "", "what people call the key")
	f.StringVar(&expires, "expires", "", "when it ends: in 90d or 12h, or at 2030-01-31T14:30:00Z; without, never")
	_ = cmd.MarkFlagRequired("role")
	_ = cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions([]cobra.Completion{string(ltp.CustomerRole), string(ltp.SupportRole), string(ltp.OperatorRole)}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// later reads a time to come: one of RFC 3339, or how long from now.
func later(flag, s string, now time.Time) (t time.Time, err error) {
	days, inDays := strings.CutSuffix(s, "d")
	n, err := strconv.ParseUint(days, 10, 16)
	if d, wrong := time.ParseDuration(s); wrong == nil {
		t = now.Add(d)
	} else if inDays && err == nil {
		t = now.AddDate(0, 0, int(n))
	} else if t, err = time.Parse(time.RFC3339, s); err != nil {
		return t, fmt.Errorf("%s %q: say in how long, such as 90d or 12h, or a time such as 2030-01-31T14:30:00Z", flag, s)
	}
	if !t.After(now) || t.Year() > 9999 {
		return t, fmt.Errorf("%s %q: give a time that has not passed, before the year 10000", flag, s)
	}
	return t, nil
}

// listedKey is a key as ltp keys list --format json has it. The hash of the secret helps
// nobody who reads a list.
type listedKey struct {
	ID        string    `json:"id"`
	State     string    `json:"state"`
	Tenant    string    `json:"tenant,omitempty"`
	Role      ltp.Role  `json:"role"`
	Customer  string    `json:"customer,omitempty"`
	Name      string    `json:"name,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	RevokedAt time.Time `json:"revoked_at,omitzero"`
}

func listKey(k apikey.Key, now time.Time) listedKey {
	return listedKey{k.ID, fmt.Sprint(k.State(now)), k.Tenant, k.Role, k.Customer, k.Name, k.CreatedAt, k.ExpiresAt, k.RevokedAt}
}

func keysList() *cobra.Command {
	var file string
	var as format
	cmd := &cobra.Command{
		Use:   "list --keys FILE",
		Short: "List the keys, and which of them are good",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := apikey.Read(file)
			if err != nil {
				return err
			}
			now := time.Now()
			if as.JSON() {
				for _, k := range f.Keys {
					if err := printJSONLine(cmd.OutOrStdout(), listKey(k, now)); err != nil {
						return err
					}
				}
				return nil
			}
			t := table.New(cmd.OutOrStdout(), "id", "state", "tenant", "role", "customer", "name", "created", "expires", "revoked")
			for _, k := range f.Keys {
				t.Row(k.ID, k.State(now), k.Tenant, k.Role, k.Customer, k.Name, words.Time(k.CreatedAt), words.Time(k.ExpiresAt), words.Time(k.RevokedAt))
			}
			return t.Flush()
		},
	}
	as.flag(cmd, "one key a line")
	keysFlag(cmd, &file)
	return cmd
}

func keysRevoke() *cobra.Command {
	var file string
	var as format
	cmd := &cobra.Command{
		Use:   "revoke --keys FILE ID",
		Short: "End a key, within a second wherever the file is read",
		Long: `End a key, within a second wherever the file is read. A stream of events that is open then
ends within seconds.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var k apikey.Key
			err := apikey.Change(file, func(f *apikey.File) (err error) {
				k, err = f.Revoke(args[0], time.Now())
				return err
			})
			if err != nil {
				return err
			}
			return as.show(cmd, listKey(k, time.Now()), func(w io.Writer) { fmt.Fprintf(w, "the key %s is revoked\n", k.ID) })
		},
	}
	cmd.ValidArgsFunction = completeFrom(func() (all []cobra.Completion, err error) {
		f, err := apikey.Read(file)
		if err != nil {
			return nil, err
		}
		for _, k := range f.Keys {
			if k.RevokedAt.IsZero() {
				all = append(all, cobra.CompletionWithDesc(k.ID, string(k.Role)+" "+k.Name))
			}
		}
		return all, nil
	})
	as.flag(cmd, "the key as one object")
	keysFlag(cmd, &file)
	return cmd
}
