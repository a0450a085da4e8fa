package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/table"
	"github.com/ltp-node/ltp/internal/words"
	"github.com/ltp-node/ltp/webhook"
)

// webhooksFile is a file of webhooks as flags name it.
type webhooksFile struct {
	path    string
	private bool
}

// flags are those of a part that accepts orders or sends webhooks.
func (w *webhooksFile) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&w.path, "webhooks", "", "the webhooks of tenants (ltp webhooks); the file may be changed at any time. Give it to ltp api, which marks orders, and to ltp worker, which sends")
	cmd.Flags().BoolVar(&w.private, "webhooks-allow-private", false, "send webhooks to addresses that are not public, too, and to http URLs")
	before(cmd, func() error {
		if cmd.Flags().Changed("webhooks") && w.path == "" {
			return errors.New("--webhooks is empty: name a file, or leave the flag out")
		}
		return nil
	})
}

func (w *webhooksFile) open(log *slog.Logger) (*webhook.Webhooks, error) {
	opened, err := webhook.Open(w.path, w.private, log)
	if err != nil {
		return nil, fmt.Errorf("--webhooks: %w", err)
	}
	return opened, nil
}

func (a *app) webhooksCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "webhooks",
		Short: "List, try and send again the webhooks of tenants",
		Long: `Webhooks tell the systems of a tenant what becomes of its orders, as Standard Webhooks has
it. The file that --webhooks names holds where they go:

  {"endpoints": [
    {"tenant": "acme", "name": "shop", "url": "https://shop.example/hooks",
     "secrets": ["whsec_…"], "events": ["order.confirmed", "order.rejected"]}
  ]}

Without "tenant" an endpoint is of the default tenant, and without "events" it is sent all:
` + eventNames() + `.
Each message is signed with every secret: put a new one in, wait until the receiver has it,
and take the old one out. Nobody but its owner may read the file.`,
	}
	cmd.AddCommand(a.webhooksList(), a.webhooksTest(), a.webhooksRedeliver(), webhooksSecret())
	return cmd
}

func eventNames() string {
	var names []string
	for _, e := range ltp.WebhookEvents() {
		names = append(names, string(e))
	}
	return strings.Join(names, ", ")
}

// required has a command ask for the file.
func (w *webhooksFile) required(cmd *cobra.Command) {
	w.flags(cmd)
	_ = cmd.MarkFlagRequired("webhooks")
}

// tenantFlag is one tenant, and nil where none is named.
func tenantFlag(cmd *cobra.Command, usage string) func() *string {
	tenant := cmd.Flags().String("tenant", "", usage)
	return func() *string {
		if cmd.Flags().Changed("tenant") {
			return tenant
		}
		return nil
	}
}

// shownDeliveries is how many orders with deliveries that fail are shown.
const shownDeliveries = 100

// listedWebhooks is what ltp webhooks list --format json prints.
type listedWebhooks struct {
	Endpoints []listedEndpoint  `json:"endpoints"`
	Troubles  []webhook.Trouble `json:"troubles"` // the latest first
	// Looked is how many orders with deliveries were looked at, and More says that there are others.
	Looked int  `json:"looked"`
	More   bool `json:"more"`
}

// listedEndpoint shows of a URL scheme and host, and of secrets their kinds.
type listedEndpoint struct {
	Tenant  string             `json:"tenant,omitempty"`
	Name    string             `json:"name"`
	URL     string             `json:"url"`
	Secrets string             `json:"secrets"`
	Events  []ltp.WebhookEvent `json:"events,omitempty"` // all where there are none
}

func (a *app) webhooksList() *cobra.Command {
	var file webhooksFile
	var as format
	var tenant func() *string
	cmd := &cobra.Command{
		Use:   "list --webhooks FILE",
		Short: "List the endpoints, and the messages that they did not receive",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := webhook.Read(file.path, file.private)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			list := listedWebhooks{Endpoints: []listedEndpoint{}, Troubles: []webhook.Trouble{}}
			for _, e := range f.Endpoints {
				if t := tenant(); t == nil || *t == e.Tenant {
					list.Endpoints = append(list.Endpoints, listedEndpoint{e.Tenant, e.Name, origin(e.URL), kinds(e.Secrets), e.Events})
				}
			}
			if !as.JSON() { // before Temporal is asked, which may not answer
				t := table.New(out, "tenant", "name", "url", "secrets", "events")
				for _, e := range list.Endpoints {
					t.Row(e.Tenant, e.Name, e.URL, e.Secrets, events(e.Events))
				}
				if err := t.Flush(); err != nil {
					return err
				}
			}
			t, err := a.connect(cmd.Context())
			if err != nil {
				return fmt.Errorf("what was not delivered cannot be listed: %w", err)
			}
			defer t.stop()
			all, looked, more, err := webhook.Troubles(cmd.Context(), t.Client, tenant(), shownDeliveries)
			if err != nil {
				return err
			}
			if as.JSON() {
				list.Troubles, list.Looked, list.More = append(list.Troubles, all...), looked, more
				return printJSON(out, list)
			}
			fmt.Fprintln(out)
			return printTroubles(out, all, looked, more)
		},
	}
	file.required(cmd)
	as.flag(cmd, "one object")
	tenant = tenantFlag(cmd, "the endpoints and orders of this tenant alone; '' is the default one")
	return cmd
}

// printTroubles says what was not delivered of the orders that were looked at, of which there
// are more or not.
func printTroubles(out io.Writer, all []webhook.Trouble, looked int, more bool) error {
	switch {
	case len(all) == 0 && more:
		_, err := fmt.Fprintf(out, "No delivery fails of the %s looked at, and none was given up; there are more orders.\n", words.Plural(looked, "order"))
		return err
	case len(all) == 0:
		_, err := fmt.Fprintln(out, "No delivery fails, and none was given up.")
		return err
	}
	troubles := table.New(out, "order", "endpoint", "event", "state", "why")
	for _, t := range all {
		state := fmt.Sprintf("failed %s, tried again", words.Plural(int(t.Attempts), "time"))
		if t.GivenUp {
			state = "given up"
		}
		troubles.Row(t.OrderID, t.Endpoint, t.Event, state, t.Why)
	}
	if err := troubles.Flush(); err != nil {
		return err
	}
	if more {
		fmt.Fprintf(out, "… and there are more orders: the latest %d were looked at.\n", looked)
	}
	_, err := fmt.Fprintln(out, "ltp webhooks redeliver ORDER sends again, now.")
	return err
}

// origin is scheme and host of a URL: what stands behind them may be secret.
func origin(of string) string {
	u, err := url.Parse(of)
	if err != nil {
		return "-"
	}
	return u.Scheme + "://" + u.Host
}

// kinds says of what kind secrets are, and nothing else of them.
func kinds(secrets []string) string {
	var all []string
	for _, s := range secrets {
		kind, _, _ := strings.Cut(s, "_")
		all = append(all, map[string]string{"whsec": "v1", "whsk": "v1a"}[kind])
	}
	return strings.Join(all, ",")
}

func events(of []ltp.WebhookEvent) string {
	if len(of) == 0 {
		return "all"
	}
	var all []string
	for _, e := range of {
		all = append(all, string(e))
	}
	return strings.Join(all, ",")
}

func (a *app) webhooksTest() *cobra.Command {
	var file webhooksFile
	var as format
	var tenant func() *string
	cmd := &cobra.Command{
		Use:   "test --webhooks FILE [NAME...]",
		Short: "Send a webhook.test message, and say what is answered",
		Long: `Send a message of the type webhook.test from this process, to the endpoints that are named
or to all, and say what each answers. It needs no Temporal. Exits 1 unless all answer 2xx.`,
		RunE: func(cmd *cobra.Command, names []string) error {
			f, err := webhook.Read(file.path, file.private)
			if err != nil {
				return err
			}
			hooks, err := file.open(a.log)
			if err != nil {
				return err
			}
			named := map[string]bool{}
			for _, name := range names {
				named[name] = false
			}
			tried, failed := 0, 0
			for _, e := range f.Endpoints {
				if _, meant := named[e.Name]; len(names) > 0 && !meant {
					continue
				}
				if t := tenant(); t != nil && *t != e.Tenant {
					continue
				}
				named[e.Name] = true
				tried++
				answer := try(cmd.Context(), hooks, e)
				if !answer.OK {
					failed++
				}
				if as.JSON() {
					err = printJSONLine(cmd.OutOrStdout(), answer)
				} else {
					_, err = fmt.Fprintln(cmd.OutOrStdout(), answer)
				}
				if err != nil {
					return err
				}
			}
			for _, name := range names {
				if !named[name] {
					return fmt.Errorf("there is no endpoint %q: ltp webhooks list shows those there are", name)
				}
			}
			switch {
			case tried == 0:
				return errors.New("there is no such endpoint: ltp webhooks list shows those there are")
			case failed > 0:
				return fmt.Errorf("%d of %d endpoints did not take the message", failed, tried)
			}
			return nil
		},
	}
	file.required(cmd)
	cmd.ValidArgsFunction = completeFrom(func() (all []cobra.Completion, err error) {
		f, err := webhook.Read(file.path, file.private)
		if err != nil {
			return nil, err
		}
		for _, e := range f.Endpoints {
			all = append(all, cobra.CompletionWithDesc(e.Name, e.Tenant))
		}
		return all, nil
	})
	as.flag(cmd, "one answer a line")
	tenant = tenantFlag(cmd, "the endpoints of this tenant alone; '' is the default one")
	return cmd
}

// tested is what an endpoint answered to a test message.
type tested struct {
	Endpoint string `json:"endpoint"`
	OK       bool   `json:"ok"`
	Status   int    `json:"status,omitempty"`
	Error    string `json:"error,omitempty"`
	Answer   string `json:"answer,omitempty"` // its beginning
	ID       string `json:"message_id,omitempty"`
	TookMs   int64  `json:"took_ms"`
}

// String is a line for people.
func (t tested) String() string {
	said := cmp.Or(t.Error, fmt.Sprintf("answered %d", t.Status))
	if t.Answer != "" {
		said += ": " + t.Answer
	}
	return fmt.Sprintf("%s: %s (%s, %d ms)", t.Endpoint, said, t.ID, t.TookMs)
}

// try sends a test message.
func try(ctx context.Context, hooks *webhook.Webhooks, e webhook.Endpoint) tested {
	t := tested{Endpoint: ltp.FullID(e.Tenant, e.Name)}
	m, err := webhook.TestMessage(e.Name, time.Now())
	if err != nil {
		t.Error = err.Error()
		return t
	}
	t.ID = m.ID
	begun := time.Now()
	status, answer, err := hooks.Try(ctx, e.Tenant, e.Name, m)
	t.OK, t.Status, t.TookMs = err == nil, status, time.Since(begun).Milliseconds()
	if err != nil {
		t.Error = err.Error()
	}
	t.Answer = words.Clean(string(answer[:min(len(answer), 200)]))
	return t
}

func (a *app) webhooksRedeliver() *cobra.Command {
	var all, failed bool
	var as format
	var tenant func() *string
	cmd := &cobra.Command{
		Use:   "redeliver ORDER... | --failed",
		Short: "Send again what the webhooks of orders did not receive",
		Long: `Send again what the webhooks of orders did not receive: of the orders named, or with --failed
of all whose Delivery has given a message up, or was cancelled or terminated.

--failed does not find an announcement that was missed, since Temporal did not take it: no
Delivery has it. It is sent with the next announcement of its order, or where its order is
named here. The log of the worker names it: "the webhooks of an order were not called".

A message that waits for its next attempt is sent at once. Messages keep their webhook-id, by
which receivers tell a repeat. It works for as long as Temporal keeps the order.`,
		Example: `  ltp webhooks redeliver A2 acme/A7
  ltp webhooks redeliver --failed --tenant acme`,
		RunE: func(cmd *cobra.Command, ids []string) error {
			if failed == (len(ids) > 0) {
				return errors.New("name orders, or give --failed")
			}
			t, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer t.stop()
			if failed {
				if ids, err = webhook.GivenUpOrders(cmd.Context(), t.Client, tenant()); err != nil {
					return err
				}
			}
			wrong, asked := 0, []string{}
			for _, id := range ids {
				if err := webhook.Redeliver(cmd.Context(), t.Client, id, all); err != nil {
					wrong++
					fmt.Fprintf(cmd.ErrOrStderr(), "ltp: %s: %v\n", id, err)
					continue
				}
				what := "what was not delivered is sent again; --all is for all messages"
				if all {
					what = "all messages are sent again"
				}
				asked = append(asked, id)
				if !as.JSON() {
					fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", id, what)
				}
			}
			if as.JSON() {
				if err := printJSON(cmd.OutOrStdout(), map[string][]string{"orders": asked}); err != nil {
					return err
				}
			}
			if wrong > 0 {
				return fmt.Errorf("%d of %s could not be asked", wrong, words.Plural(len(ids), "order"))
			}
			if failed && len(ids) == 0 && !as.JSON() {
				fmt.Fprintln(cmd.OutOrStdout(), "Nothing was given up.")
			}
			return nil
		},
	}
	as.flag(cmd, "the orders whose messages are sent again, as one object")
	cmd.Flags().BoolVar(&all, "all", false, "every message of the orders, also what was delivered")
	cmd.Flags().BoolVar(&failed, "failed", false, "all orders whose Delivery has given a message up, or was ended by hand; not those of which an announcement was missed")
	tenant = tenantFlag(cmd, "with --failed, the orders of this tenant alone; '' is the default one")
	return cmd
}

func webhooksSecret() *cobra.Command {
	var asymmetric bool
	var as format
	cmd := &cobra.Command{
		Use:   "secret",
		Short: "Make a secret to sign messages with",
		Long: `Make a secret for the file of webhooks. Without --ed25519 the receiver has the same one (v1,
HMAC-SHA256); with it, the receiver has the public key that is printed on standard error
(v1a).`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var made struct {
				Secret    string `json:"secret"`
				PublicKey string `json:"public_key,omitempty"`
			}
			if made.Secret = webhook.NewSecret(); asymmetric {
				made.Secret, made.PublicKey = webhook.NewKeys()
				fmt.Fprintln(cmd.ErrOrStderr(), "ltp: the receiver checks signatures with", made.PublicKey)
			}
			return as.show(cmd, made, func(w io.Writer) { fmt.Fprintln(w, made.Secret) })
		},
	}
	as.flag(cmd, "the secret, and the public key where there is one, as one object")
	cmd.Flags().BoolVar(&asymmetric, "ed25519", false, "make an ed25519 key pair")
	return cmd
}
