package orderdb

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/ltp-node/ltp/internal/sqlitefile"
)

// Problem is what is wrong with our tables.
type Problem string

// The problems that [DB.Check] finds.
const (
	// SchemaMissing: the database, the schema, the file or the tables are not there.
	SchemaMissing Problem = "missing"
	// SchemaForeign: what bears the name of a table of ours was not made by us, or was
	// changed so that statements do not fit it.
	SchemaForeign Problem = "foreign"
	// SchemaOlder and SchemaNewer: another build made the tables.
	SchemaOlder Problem = "older"
	SchemaNewer Problem = "newer"
	// SchemaDenied: the role lacks a privilege.
	SchemaDenied Problem = "denied"
	// SchemaStatement: the database does not take a statement of the shop's ([WithSQL]).
	SchemaStatement Problem = "statement"
)

// SchemaError says why orders cannot be written as the database stands. It waits for a
// person; time does not mend it.
type SchemaError struct {
	Problem Problem
	words   string
}

// Error is one sentence with what to do.
func (e *SchemaError) Error() string { return e.words }

// Wrong reports whether an error of [DB.Check] or [DB.Migrate] is of what the database
// holds, and not of reaching it.
func Wrong(err error) bool {
	return errors.As(err, new(*SchemaError)) || errors.As(err, new(*sqlitefile.DamagedError))
}

// Denied reports whether the role lacks a privilege on tables that are ours.
func Denied(err error) bool {
	var e *SchemaError
	return errors.As(err, &e) && e.Problem == SchemaDenied
}

// mayMigrate reports whether what Check has found is a matter for Migrate: it is there,
// not there yet, or older. Where Check could not ask, Migrate says why it cannot either.
func mayMigrate(found error) bool {
	if !Wrong(found) {
		return true
	}
	var e *SchemaError
	return errors.As(found, &e) && e.Problem != SchemaForeign && e.Problem != SchemaNewer
}

// catalogue is what stands in the database under the names of our tables.
type catalogue struct {
	// columns of each table that is there.
	columns map[string][]string
	// version is that of the latest migration, where the table of versions could be read.
	version int64
	// denied are privileges that the role lacks, as one would grant them.
	denied []string
}

// location is where tables stand, in the words of sentences.
type location struct {
	in     string // "schema ltp of the order database"
	choose string // how to choose another
	setup  string // the command that makes the tables
}

func (p location) wrong(problem Problem, format string, args ...any) error {
	return &SchemaError{problem, fmt.Sprintf(format, args...)}
}

func (p location) missing() error {
	return p.wrong(SchemaMissing, "%s has no tables of ltp: run %s", p.in, p.setup)
}

// unversioned judges tables without the table of versions, or with an empty one.
func (p location) unversioned(s catalogue) error {
	for _, table := range orderOfTables {
		if _, there := s.columns[table]; there && table != versions {
			return p.wrong(SchemaForeign, "%s has a table %s that ltp did not make: %s", p.in, table, p.choose)
		}
	}
	return p.missing()
}

// orderOfTables is that in which they are looked at.
var orderOfTables = []string{"orders", "order_keys", "order_outbox", "ltp_probe", versions}

// judge compares what stands there with what this build needs.
func (p location) judge(s catalogue, latest int64) error {
	switch {
	case s.version == 0:
		return p.unversioned(s)
	case s.version < latest:
		return p.wrong(SchemaOlder, "%s has version %d of the tables of ltp, and this build needs version %d: run %s", p.in, s.version, latest, p.setup)
	case s.version > latest:
		return p.wrong(SchemaNewer, "%s has version %d of the tables of ltp, and this build knows version %d: run the newer build that made them", p.in, s.version, latest)
	}
	for _, table := range orderOfTables {
		have, there := s.columns[table]
		if !there {
			return p.wrong(SchemaForeign, "%s lacks the table %s that ltp made there: put it back, or %s", p.in, table, p.choose)
		}
		for _, column := range ours[table] {
			if !slices.Contains(have, column) {
				return p.wrong(SchemaForeign, "%s has a table %s without the column %s, not as ltp makes it: put the column back, or %s", p.in, table, column, p.choose)
			}
		}
	}
	return nil
}

// Check asks in a few statements, none of which needs a privilege before it is known to be
// there.
func (p *postgresDB) Check(ctx context.Context) error {
	latest, err := p.build.latest("postgres")
	if err != nil {
		return err
	}
	at := location{
		in: "schema " + p.schema + " of the order database", setup: "ltp setup --orders-db URL",
		choose: "name another schema with --orders-schema",
	}
	if p.schema != DefaultSchema {
		at.setup += " --orders-schema " + p.schema
	}
	var found error
	err = p.read(ctx, func(conn *pgxpool.Conn) (err error) {
		found, err = p.checkTables(ctx, conn.Conn(), at, latest)
		return err
	})
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &refused) && refused.Code == "3D000":
		return at.wrong(SchemaMissing, "%s: create it, and run %s", refused.Message, at.setup)
	case err != nil:
		return fmt.Errorf("looking at the tables of the order database: %w", err)
	}
	return found
}

// checkTables returns what is wrong, and an error where it cannot be found out.
func (p *postgresDB) checkTables(ctx context.Context, conn *pgx.Conn, at location, latest int64) (found, err error) {
	var role string
	var schema, usage bool
	err = conn.QueryRow(ctx, `SELECT current_user::text, n.oid IS NOT NULL, coalesce(has_schema_privilege(n.oid, 'USAGE'), false)
		FROM (SELECT) AS one LEFT JOIN pg_namespace AS n ON n.nspname = $1`, p.schema).Scan(&role, &schema, &usage)
	switch {
	case err != nil:
		return nil, err
	case !schema:
		return at.wrong(SchemaMissing, "the order database has no schema %s: run %s", p.schema, at.setup), nil
	}
	s, err := p.readCatalogue(ctx, conn)
	switch {
	case err != nil:
		return nil, err
	case !slices.Contains(s.columns[versions], "version_id"):
		return at.unversioned(s), nil
	}
	if !usage {
		s.denied = append([]string{"GRANT USAGE ON SCHEMA " + quoted(p.schema) + " TO " + quoted(role)}, s.denied...)
	}
	denied := func() error {
		return at.wrong(SchemaDenied, "the role %s lacks privileges on %s: %s", role, at.in, strings.Join(s.denied, "; "))
	}
	if !usage || slices.ContainsFunc(s.denied, func(grant string) bool { return strings.Contains(grant, p.tables.versions) }) {
		return denied(), nil // the version cannot be read
	}
	if err := conn.QueryRow(ctx, "SELECT coalesce(max(version_id), 0) FROM "+p.tables.versions).Scan(&s.version); err != nil {
		return nil, err
	}
	if found := at.judge(s, latest); found != nil {
		return found, nil
	}
	for _, own := range p.shop.statements {
		if found, err := own.checkPostgres(ctx, conn); found != nil || err != nil {
			return found, err
		}
	}
	if len(s.denied) > 0 {
		return denied(), nil
	}
	return nil, nil
}

// checkPostgres has a statement parsed and its names and types resolved. Privileges on
// tables are not looked at there.
func (s ownStatement) checkPostgres(ctx context.Context, conn *pgx.Conn) (found, err error) {
	_, err = conn.PgConn().Prepare(ctx, "", s.sql, nil)
	var e *pgconn.PgError
	switch {
	case !errors.As(err, &e):
		return nil, err
	case e.Code == "42501":
		return &SchemaError{SchemaDenied, fmt.Sprintf("--orders-sql, line %d: the role may not run the statement: %s", s.lineOf(e.Position), messageOf(err))}, nil
	case !strings.HasPrefix(e.Code, "42") && slices.Contains(ofTheDatabase, e.Code[:2]):
		return nil, err
	}
	return s.refusedError(s.lineOf(e.Position), messageOf(err)), nil
}

// readCatalogue reads the catalogue, which is for everyone.
func (p *postgresDB) readCatalogue(ctx context.Context, conn *pgx.Conn) (catalogue, error) {
	s := catalogue{columns: map[string][]string{}}
	rows, err := conn.Query(ctx, `SELECT c.relname::text, a.attname::text FROM pg_class AS c
		JOIN pg_namespace AS n ON n.oid = c.relnamespace
		JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
		WHERE n.nspname = $1 AND c.relname = ANY($2::text[]) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')`, p.schema, orderOfTables)
	if err != nil {
		return s, err
	}
	var table, column string
	if _, err := pgx.ForEachRow(rows, []any{&table, &column}, func() error {
		s.columns[table] = append(s.columns[table], column)
		return nil
	}); err != nil {
		return s, err
	}
	for _, g := range privileges {
		// No column, no privilege: the table is judged for that.
		if !slices.Contains(s.columns[g.table], cmp.Or(g.column, ours[g.table][0])) {
			continue
		}
		var role string
		var granted bool
		err := conn.QueryRow(ctx, `SELECT current_user::text, CASE WHEN $3 = '' THEN has_table_privilege(c.oid, $4) ELSE has_column_privilege(c.oid, $3, $4) END
			FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2`,
			p.schema, g.table, g.column, g.privilege).Scan(&role, &granted)
		if err != nil {
			return s, err
		}
		if !granted {
			s.denied = append(s.denied, g.statement(p.schema, quoted(role)))
		}
	}
	return s, nil
}

// mayNotCreate is the sentence about a role that may not migrate.
func (p *postgresDB) mayNotCreate(e *pgconn.PgError) string {
	return fmt.Sprintf("the role %s may not create the tables of ltp (%s): have one that may run what this command prints with --print", p.config.User, e.Message)
}

// Check looks for damage first: what is read of a damaged file means nothing.
func (s *sqliteDB) Check(ctx context.Context) error {
	latest, err := s.build.latest("sqlite")
	if err != nil {
		return err
	}
	at := location{
		in: "the order database " + s.path, setup: "ltp setup --orders-db " + s.path,
		choose: "name another file with --orders-db",
	}
	if _, err := os.Stat(s.path); errors.Is(err, os.ErrNotExist) {
		return at.wrong(SchemaMissing, "there is no order database %s: run %s", s.path, at.setup)
	}
	if err := sqlitefile.Check(ctx, s.path); err != nil {
		return err
	}
	// Not over a connection of ours, which would change the journal of a file that may be
	// somebody else's.
	db, err := sql.Open("sqlite", sqlitefile.DSN(s.path, url.Values{"mode": {"rw"}}))
	if err != nil {
		return err
	}
	defer db.Close()
	var tables catalogue
	var found error
	err = awaitLock(ctx, func() (err error) {
		if tables, err = readSQLiteCatalogue(ctx, db); err != nil {
			return err
		}
		found = at.judge(tables, latest)
		for i := 0; i < len(s.shop.statements) && found == nil && err == nil; i++ {
			found, err = s.shop.statements[i].checkSQLite(ctx, db)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("looking at the tables of the order database: %w", err)
	}
	return found
}

// checkSQLite has a statement compiled and not run.
func (s ownStatement) checkSQLite(ctx context.Context, db *sql.DB) (found, err error) {
	args := make([]any, len(s.params))
	for i, name := range s.params {
		args[i] = sql.Named(name, nil)
	}
	rows, err := db.QueryContext(ctx, "EXPLAIN "+s.sql, args...)
	if err == nil {
		err = rows.Close()
	}
	if sqliteCode(err) == sqlite3.SQLITE_ERROR {
		return s.refusedError(s.line, messageOf(err)), nil
	}
	return nil, err
}

func readSQLiteCatalogue(ctx context.Context, db *sql.DB) (catalogue, error) {
	s := catalogue{columns: map[string][]string{}}
	for _, table := range orderOfTables {
		rows, err := db.QueryContext(ctx, "SELECT name FROM pragma_table_info(?)", table)
		if err != nil {
			return s, err
		}
		for rows.Next() {
			var column string
			if err := rows.Scan(&column); err != nil {
				return s, errors.Join(err, rows.Close())
			}
			s.columns[table] = append(s.columns[table], column)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return s, err
		}
	}
	if !slices.Contains(s.columns[versions], "version_id") {
		return s, nil
	}
	err := db.QueryRowContext(ctx, "SELECT coalesce(max(version_id), 0) FROM "+versions).Scan(&s.version)
	return s, err
}
