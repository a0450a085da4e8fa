package main

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/persistence/sql/sqlplugin/postgresql"
	"go.temporal.io/server/tools/common/schema"
	"go.temporal.io/server/tools/sql"
)

// Connections that each of the four services may keep to each of the two databases.
const postgresConnections = 20

// openPostgres creates Temporal's databases on a Postgres server where they are missing, with
// the name in the URL and with _visibility after it, and says how the server is to open them.
func openPostgres(o options) (store, visibility *config.SQL, err error) {
	u, err := url.Parse(o.postgres)
	name := ""
	if err == nil {
		name = strings.TrimPrefix(u.Path, "/")
	}
	if err != nil || !strings.HasPrefix(u.Scheme, "postgres") || u.Host == "" || name == "" {
		return nil, nil, errors.New("--postgres takes a URL such as postgres://user:password@127.0.0.1:5432/temporal")
	}
	password, _ := u.User.Password()
	open := func(database, definition string) (*config.SQL, error) {
		cfg := &config.SQL{
			PluginName: postgresql.PluginNamePGX, ConnectProtocol: "tcp", ConnectAddr: u.Host,
			User: u.User.Username(), Password: password, DatabaseName: database,
			MaxConns: postgresConnections, MaxIdleConns: postgresConnections,
		}
		if err := migrate(*cfg, definition); err != nil {
			return nil, fmt.Errorf("database %s: %w", database, err)
		}
		return cfg, nil
	}
	if store, err = open(name, "postgresql/v12/temporal"); err != nil {
		return nil, nil, err
	}
	if visibility, err = open(name+"_visibility", "postgresql/v12/visibility"); err != nil {
		return nil, nil, err
	}
	return store, visibility, setupNamespaces(store, o.namespaces, o.searchAttributes)
}

// migrate creates a database, or brings it up to this server's version, as
// temporal-sql-tool does.
func migrate(cfg config.SQL, definition string) error {
	logger := log.NewNoopLogger()
	creating := cfg
	if err := sql.DoCreateDatabase(&creating, "postgres", logger); err != nil {
		return err
	}
	db, err := sql.NewConnection(&cfg, logger)
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ReadSchemaVersion(); err != nil { // there are no tables yet
		if err := schema.NewSetupSchemaTask(db, &schema.SetupConfig{InitialVersion: "0.0"}, logger).Run(); err != nil {
			return err
		}
	}
	return schema.NewUpdateSchemaTask(db, &schema.UpdateConfig{DBName: cfg.DatabaseName, SchemaName: definition}, logger).Run()
}
