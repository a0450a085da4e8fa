package orderdb

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// DefaultSchema is the schema of Postgres that holds our tables.
const DefaultSchema = "ltp"

// versions is the table that keeps which migrations were applied. Its name is our
// own, so that orders may live beside the tables of another user of goose.
const versions = "ltp_migrations"

// ours are our tables with the columns that statements of this build use.
var ours = map[string][]string{
	"order_keys":   {"id", "kind", "content_hash", "reason", "erased_at", "erased_by", "erased_why"},
	"orders":       {"id", "customer", "currency", "amount_minor", "content_hash", "body", "created_at", "attempt", "epoch", "fence_state", "begun_at", "read_at", "worker"},
	"order_outbox": {"id", "order_id", "payload", "created_at"},
	"ltp_probe":    {"component", "n", "at"},
	versions:       {"version_id"},
}

// privileges are all that a role needs on our tables to run a worker and an observer,
// besides USAGE of the schema. The numbers of the outbox are an identity column's, whose
// sequence takes no privilege.
var privileges = []grant{
	{table: "order_keys", privilege: "SELECT"},
	{table: "order_keys", privilege: "INSERT"},
	{table: "order_keys", privilege: "UPDATE", column: "id"}, // it is set to what it is
	{table: "orders", privilege: "SELECT"},
	{table: "orders", privilege: "INSERT"},
	{table: "order_outbox", privilege: "SELECT"},
	{table: "order_outbox", privilege: "INSERT"},
	{table: "ltp_probe", privilege: "SELECT"},
	{table: "ltp_probe", privilege: "INSERT"},
	{table: "ltp_probe", privilege: "UPDATE"},
	{table: versions, privilege: "SELECT"},
}

// grant is a privilege on a table, or on one column of it.
type grant struct{ table, privilege, column string }

// statement grants it.
func (g grant) statement(schema, role string) string {
	what := g.privilege
	if g.column != "" {
		what += " (" + quoted(g.column) + ")"
	}
	return fmt.Sprintf("GRANT %s ON %s.%s TO %s", what, quoted(schema), g.table, role)
}

var schemaName = regexp.MustCompile(`^[\pL_][\pL\pN_$]*(-[\pL\pN_$]+)*$`)

// validSchema refuses what Postgres would not take, or would cut short, and what would end
// a statement of a migration.
func validSchema(name string) error {
	const longest = 63 // bytes
	switch {
	case len(name) > longest, !schemaName.MatchString(name):
		return fmt.Errorf("%q is no name of a schema: use letters, digits, _ and -, at most %d of them", name, longest)
	case strings.HasPrefix(name, "pg_"), name == "information_schema":
		return fmt.Errorf("the schema %s is Postgres's own: name another one", name)
	}
	return nil
}

// tables are the names of our tables as statements write them. They are qualified in
// Postgres: a pooler lends each transaction another session, which knows of no search_path
// of ours.
type tables struct{ keys, orders, outbox, probe, versions string }

var sqliteTables = tables{"order_keys", "orders", "order_outbox", "ltp_probe", versions}

func tablesIn(schema string) tables {
	in := func(table string) string { return quoted(schema) + "." + table }
	return tables{in("order_keys"), in("orders"), in("order_outbox"), in("ltp_probe"), in(versions)}
}

// own reports whether an error is about a constraint of one of them.
func (t tables) own(e *pgconn.PgError) bool {
	return slices.Contains([]string{t.keys, t.orders, t.outbox, t.probe}, quoted(e.SchemaName)+"."+e.TableName)
}

func quoted(identifier string) string { return pgx.Identifier{identifier}.Sanitize() }
