package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/api"
	"github.com/ltp-node/ltp/internal/embedded"
	"github.com/ltp-node/ltp/node"
	"github.com/ltp-node/ltp/observer"
	"github.com/ltp-node/ltp/replay/pace"
)

func (a *app) devCommand() *cobra.Command {
	c := node.Config{
		Worker: true, Pace: pace.Default(),
		Observe: true, Policy: ltp.DefaultPolicy(), Settings: observer.DefaultSettings(),
	}
	var addr string
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
			if c.Listen, err = api.Listen(addr); err != nil {
				return err
			}
			defer c.Listen.Close()
			t, err := a.embedded(cmd.Context(), embedded.Start, embedded.Options{UI: true, UIPort: uiPort})
			if err != nil {
				return err
			}
			defer t.stop()
			c.Client, c.Namespace, c.Log = t.Client, t.namespace, a.log
			n, err := node.Start(cmd.Context(), c)
			if err != nil {
				return err
			}
			defer n.Stop()
			fmt.Fprintf(cmd.OutOrStdout(), `The order node runs. Its data is kept in %s. Ctrl-C ends it.

  Order API     http://%s
  Temporal UI   %s
  Temporal      TEMPORAL_ADDRESS=%s

Try:
  curl -i http://%s/orders -H 'Content-Type: application/json' \
       -d '{"id":"A1","customer":"c-17","currency":"USD","lines":[{"sku":"book","quantity":2,"unit_amount_minor":6000}]}'
  ltp orientation hold --why 'see what happens'    then the same with "id":"A2"
  ltp inspect A2
  ltp orientation release --why done
`, a.stateDir, c.Listen.Addr(), t.ui, t.address, c.Listen.Addr())
			return t.waitFor(cmd.Context(), n)
		},
	}
	a.componentsFlag(cmd, &c)
	a.ordersDBFlag(cmd, &c)
	apiFlag(cmd, &addr)
	cmd.Flags().IntVar(&uiPort, "ui-port", 8233, "where Temporal UI listens on 127.0.0.1")
	executionFlags(cmd, &c.Execution)
	backstopFlags(cmd, &c.Backstop)
	policyFlags(cmd, &c.Policy)
	settingsFlags(cmd, &c.Settings)
	return cmd
}
