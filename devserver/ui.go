package main

import (
	uiserver "github.com/temporalio/ui-server/v2/server"
	"github.com/temporalio/ui-server/v2/server/config"
	"github.com/temporalio/ui-server/v2/server/server_options"
)

// startUI serves Temporal UI in the background. When it cannot listen it ends the
// process by itself, which is why the port is checked before.
func startUI(o options) *uiserver.Server {
	ui := uiserver.NewServer(server_options.WithConfigProvider(&config.Config{
		Host:                o.uiIP,
		Port:                o.uiPort,
		TemporalGRPCAddress: o.frontend(),
		EnableUI:            true,
		CORS:                config.CORS{CookieInsecure: true}, // it is served as http
		HideLogs:            true,
		DisableNewsFetch:    true, // a page of ours calls nobody else
	}))
	go func() { _ = ui.Start() }()
	return ui
}
