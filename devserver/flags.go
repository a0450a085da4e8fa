package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/server/common/dynamicconfig"
)

// options are the arguments, checked and typed.
type options struct {
	ip, uiIP         string
	port, uiPort     int
	httpPort         int    // 0: a free one
	metricsPort      int    // 0: no metrics
	pprof            string // address; empty: no profiles
	namespaces       []string
	searchAttributes map[string]enums.IndexedValueType
	dynamicConfig    dynamicconfig.StaticClient
	dbFilename       string            // "": in memory
	pragmas          map[string]string // of the file, over our own
	postgres         string            // URL; empty: SQLite
	logLevel         string
	logFormat        string
	headless         bool
	parent           int // pid of the process to end with; 0: none
}

func (o options) frontend() string { return hostPort(o.ip, o.port) }
func (o options) ui() string       { return hostPort(o.uiIP, o.uiPort) }

func (o options) database() string {
	switch {
	case o.postgres != "":
		return "Postgres"
	case o.dbFilename == "":
		return "in-memory"
	}
	return o.dbFilename
}

// command parses `server start-dev …` and hands the options to run.
func command(run func(options) error) *cobra.Command {
	root := &cobra.Command{
		Use:           "devserver",
		Short:         "An embedded Temporal server that takes the arguments of the Temporal CLI",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	server := &cobra.Command{Use: "server", Short: "Run Temporal Server"}

	var o options
	var attributes, values, pragmas []string
	startDev := &cobra.Command{
		Use:   "start-dev",
		Short: "Start a Temporal server with its data in memory or in one file",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := o.complete(attributes, values, pragmas); err != nil {
				return err
			}
			return run(o)
		},
	}
	f := startDev.Flags()
	f.StringVar(&o.ip, "ip", "localhost", "IP address of the frontend")
	f.IntVarP(&o.port, "port", "p", 7233, "port of the frontend's gRPC")
	f.IntVar(&o.httpPort, "http-port", 0, "port of the frontend's HTTP API (default a free one)")
	f.IntVar(&o.metricsPort, "metrics-port", 0, "port of /metrics (default none)")
	f.StringVar(&o.pprof, "pprof", "", "`address` of /debug/pprof, such as 127.0.0.1:6060 (default none)")
	f.StringVar(&o.uiIP, "ui-ip", "", "IP address of Temporal UI (default that of --ip)")
	f.IntVar(&o.uiPort, "ui-port", 0, "port of Temporal UI (default --port + 1000)")
	f.BoolVar(&o.headless, "headless", false, "run without Temporal UI")
	f.StringVarP(&o.dbFilename, "db-filename", "f", "", "file that keeps the data (default in memory)")
	f.StringVar(&o.postgres, "postgres", "", "`URL` of a Postgres database that keeps the data in place of SQLite; it is created where it is missing")
	f.StringArrayVar(&pragmas, "sqlite-pragma", nil, "pragma of the database file, as NAME=VALUE (repeatable)")
	f.StringArrayVarP(&o.namespaces, "namespace", "n", nil, `namespace to create beside "default" (repeatable)`)
	f.StringArrayVar(&attributes, "search-attribute", nil, "search attribute to create, as Name=Type (repeatable)")
	f.StringArrayVar(&values, "dynamic-config-value", nil, "dynamic configuration, as KEY=JSON (repeatable)")
	f.StringVar(&o.logLevel, "log-level", "warn", "debug, info, warn, error or never")
	f.StringVar(&o.logFormat, "log-format", "text", "text (also called pretty) or json")
	f.IntVar(&o.parent, "exit-with-parent", 0, "stop when the parent process is gone (its `pid` may follow after =)")
	f.Lookup("exit-with-parent").NoOptDefVal = strconv.Itoa(os.Getppid())

	server.AddCommand(startDev)
	root.AddCommand(server)
	return root
}

// complete fills in defaults that depend on other flags and checks the rest.
func (o *options) complete(attributes, values, pragmas []string) (err error) {
	if o.uiIP == "" {
		o.uiIP = o.ip
	}
	for _, host := range []*string{&o.ip, &o.uiIP} {
		if *host == "localhost" {
			*host = loopback // the server binds to IP addresses alone
		}
		if net.ParseIP(*host) == nil {
			return fmt.Errorf("%q is not an IP address: give --ip and --ui-ip an address such as 127.0.0.1", *host)
		}
	}
	if o.uiPort == 0 {
		o.uiPort = o.port + 1000
	}
	if !slices.Contains(o.namespaces, "default") {
		o.namespaces = append(o.namespaces, "default")
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error", "never"}, o.logLevel) {
		return fmt.Errorf("--log-level %q: use debug, info, warn, error or never", o.logLevel)
	}
	if !slices.Contains([]string{"text", "pretty", "json"}, o.logFormat) {
		return fmt.Errorf("--log-format %q: use text or json", o.logFormat)
	}
	if o.postgres != "" && (o.dbFilename != "" || len(pragmas) > 0) {
		return errors.New("--postgres and --db-filename say where the data is kept: give one of them")
	}
	o.pragmas = map[string]string{}
	for _, pair := range pragmas {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return fmt.Errorf("--sqlite-pragma %q: use NAME=VALUE", pair)
		}
		o.pragmas[name] = value
	}
	if o.searchAttributes, err = parseSearchAttributes(attributes); err != nil {
		return err
	}
	o.dynamicConfig, err = parseDynamicConfig(values)
	return err
}

func parseSearchAttributes(pairs []string) (map[string]enums.IndexedValueType, error) {
	parsed := make(map[string]enums.IndexedValueType, len(pairs))
	for _, pair := range pairs {
		name, typeName, _ := strings.Cut(pair, "=")
		t, err := enums.IndexedValueTypeFromString(typeName)
		if err != nil || t == enums.INDEXED_VALUE_TYPE_UNSPECIFIED || name == "" {
			return nil, fmt.Errorf("--search-attribute %q: use Name=Type, Type being one of "+
				"Text, Keyword, Int, Double, Bool, Datetime, KeywordList", pair)
		}
		parsed[name] = t
	}
	return parsed, nil
}

// parseDynamicConfig reads KEY=JSON. Whole numbers become int, the only integer
// type that the server's settings accept.
func parseDynamicConfig(pairs []string) (dynamicconfig.StaticClient, error) {
	parsed := make(dynamicconfig.StaticClient, len(pairs))
	for _, pair := range pairs {
		key, text, _ := strings.Cut(pair, "=")
		var value any
		if n, err := strconv.Atoi(text); err == nil {
			value = n
		} else if err := json.Unmarshal([]byte(text), &value); err != nil || key == "" {
			return nil, fmt.Errorf("--dynamic-config-value %q: use KEY=VALUE, VALUE being JSON "+
				`(a string needs its quotes: KEY='"text"')`, pair)
		}
		parsed[dynamicconfig.MakeKey(key)] = value
	}
	return parsed, nil
}
