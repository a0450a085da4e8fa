package main

import "github.com/spf13/cobra"

func (a *app) inspectCommand() *cobra.Command {
	return &cobra.Command{Use: "inspect [ORDER]", Short: "Show the timeline of an incident, or the frames of one order"}
}
