package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/embedded"
	"github.com/ltp-node/ltp/node"
	"github.com/ltp-node/ltp/observer"
	"github.com/ltp-node/ltp/replay/pace"
)

func (a *app) devCommand() *cobra.Command {
	c := node.Config{
		Worker: true, Pace: pace.Default(),
		Observe: true, Settings: observer.DefaultSettings(),
	}
	var l listeners
	var uiPort int
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run everything in one process, on an embedded Temporal server",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if err := c.Settings.Validate(); err != nil {
				return err
			}
			if !slices.Contains(c.Components, ltp.DefaultComponent) {
				c.Components = append(c.Components, ltp.DefaultComponent) // which it observes
			}
			if err := l.open(cmd.Context(), &c, a.log); err != nil {
				return err
			}
			defer l.close(c)
			t, err := a.embedded(cmd.Context(), embedded.Start, embedded.Options{UI: true, UIPort: uiPort})
			if err != nil {
				return err
			}
			defer t.stop()
			if err := a.noteOrders(c.OrdersURL); err != nil {
				return err
			}
			c.Client, c.Namespace, c.Keys, c.Away, c.Log = t.Client, t.namespace, t.keys, t.reach.Away, a.log
			n, err := node.Start(cmd.Context(), c)
			if err != nil {
				return err
			}
			defer n.Stop()
			operators, show := "", ""
			if l.identity.asked() {
				show = " -H \"Authorization: Bearer $SECRET\""
			}
			if l.admin != "" {
				operators = fmt.Sprintf("  Operators     %s\n", l.adminURL)
			}
			fmt.Fprintf(cmd.OutOrStdout(), `The order node runs. Its data is kept in %s. Ctrl-C ends it.

  Order API     %s
%s  Temporal UI   %s
  Temporal      TEMPORAL_ADDRESS=%s

Try:
  curl -i %s/orders%s -H 'Content-Type: application/json' \
       -d '{"id":"A1","customer":"c-17","currency":"USD","lines":[{"sku":"book","quantity":2,"unit_amount_minor":6000}]}'
  %[8]s orientation hold%[9]s --why 'see what happens'    then the same with "id":"A2"
  %[8]s inspect%[9]s A2
  %[8]s orientation release%[9]s --why done
`, a.stateDir, l.apiURL, operators, t.ui, t.address, l.apiURL, show, called(), a.stateFlag())
			return t.waitFor(cmd.Context(), n)
		},
	}
	a.componentsFlag(cmd, &c)
	a.ordersDBFlags(cmd, &c, true)
	awaitOrdersFlag(cmd, &c)
	writePathFlags(cmd, &c)
	ordersSQLFlag(cmd, &c.OrdersSQL)
	apiFlags(cmd, &l)
	orderSchemaFlag(cmd, &c.CheckOrder)
	l.webhooks.flags(cmd)
	cmd.Flags().IntVar(&uiPort, "ui-port", 8233, "where Temporal UI listens on 127.0.0.1")
	executionFlags(cmd, &c.Execution)
	backstopFlags(cmd, &c.Backstop)
	policyFlags(cmd, &c.Policy)
	settingsFlags(cmd, &c.Settings)
	return cmd
}
