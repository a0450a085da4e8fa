package tests

import (
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/audit"
	"github.com/ltp-node/ltp/erase"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/orderdb"
	"github.com/ltp-node/ltp/orderdb/pgtest"
	"github.com/ltp-node/ltp/tests/harness"
)

// What is to be erased, and what stands beside it.
const (
	erasedName, erasedStreet, erasedKey = "Zebulon Quast", "hollyhock lane", "quast-line"
	keptName                            = "Ottilie Marsh"
)

func privateJSON(id string) string {
	return fmt.Sprintf(`{"id":%q,"customer":%q,"currency":"USD","lines":[{"sku":"book","quantity":2,"unit_amount_minor":6000}],
		"attributes":{"street":%q},"ordering_key":%q}`, id, erasedName, erasedStreet, erasedKey)
}

// rows are all values of all tables of the order database, as text.
func (r *rig) rows() string {
	r.T.Helper()
	var all []string
	if path, ok := orderdb.File(r.Orders); ok {
		db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)")
		require.NoError(r.T, err)
		defer db.Close()
		for _, table := range texts(r.T, db, "SELECT name FROM sqlite_schema WHERE type = 'table'") {
			columns := texts(r.T, db, fmt.Sprintf("SELECT name FROM pragma_table_info('%s')", table))
			for _, column := range columns {
				all = append(all, texts(r.T, db, fmt.Sprintf("SELECT coalesce(CAST(%s AS TEXT), '') FROM %s", column, table))...)
			}
		}
		return strings.Join(all, "\n")
	}
	conn := pgtest.Connect(r.T, r.Orders)
	rows, err := conn.Query(r.Ctx, `SELECT format('SELECT t::text FROM %I.%I AS t', table_schema, table_name) FROM information_schema.tables
		WHERE table_schema NOT IN ('pg_catalog', 'information_schema')`)
	require.NoError(r.T, err)
	queries, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(r.T, err)
	for _, q := range queries {
		rows, err := conn.Query(r.Ctx, q)
		require.NoError(r.T, err)
		found, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(r.T, err)
		all = append(all, found...)
	}
	return strings.Join(all, "\n")
}

func texts(t *testing.T, db *sql.DB, query string) (all []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var s string
		require.NoError(t, rows.Scan(&s))
		all = append(all, s)
	}
	require.NoError(t, rows.Err())
	return all
}

// nowhere checks that no row holds the words of the customer, and that Temporal has nothing
// of the orders.
func (r *rig) nowhere(ids ...string) {
	r.T.Helper()
	rows := r.rows()
	require.Contains(r.T, rows, keptName, "the look finds what is there")
	for _, word := range []string{erasedName, erasedStreet, erasedKey} {
		assert.NotContains(r.T, rows, word)
	}
	for _, id := range ids {
		for _, workflow := range []string{ltp.OrderWorkflowID(id), ltp.DeliveryWorkflowID(id)} {
			_, err := r.Client.DescribeWorkflowExecution(r.Ctx, workflow, "")
			require.ErrorAs(r.T, err, new(*serviceerror.NotFound), workflow)
			_, err = r.Client.GetWorkflowHistory(r.Ctx, workflow, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT).Next()
			require.ErrorAs(r.T, err, new(*serviceerror.NotFound), workflow)
			assert.Zero(r.T, r.counted(fmt.Sprintf("WorkflowId='%s'", workflow)), workflow)
		}
	}
	assert.Zero(r.T, r.counted(fmt.Sprintf("WorkflowId='%s'", ltp.SequenceWorkflowID(erasedKey))))
}

func (r *rig) counted(query string) int64 {
	r.T.Helper()
	n, err := r.Client.CountWorkflow(r.Ctx, &workflowservice.CountWorkflowExecutionsRequest{Namespace: r.Server.Namespace(), Query: query})
	require.NoError(r.T, err)
	return n.GetCount()
}

// nobodyInLine waits until the sequence of the customer's orders has ended.
func (r *rig) nobodyInLine() {
	r.T.Helper()
	require.Eventually(r.T, func() bool {
		d, err := r.Client.DescribeWorkflowExecution(r.Ctx, ltp.SequenceWorkflowID(erasedKey), "")
		return gone(err) || assert.NoError(r.T, err) && d.GetWorkflowExecutionInfo().GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING
	}, patience, 20*time.Millisecond)
}

// ends waits until an order of a customer's, as the API shows it, has come to a state.
func (r *rig) ends(api, id, state string) {
	r.T.Helper()
	require.Eventually(r.T, func() bool {
		_, said := do(r.T, "GET", api+"/orders/"+id, "", nil)
		return said["state"] == state
	}, patience, 50*time.Millisecond, "%s is to be %s", id, state)
}

// TestAnErasedOrderLeavesNothingOfItsCustomer: neither in a table of the order database nor
// in Temporal. That it was executed stays known: a repeat writes nothing, and an audit takes
// what was erased for neither too many nor missing.
func TestAnErasedOrderLeavesNothingOfItsCustomer(t *testing.T) {
	for name, orders := range map[string]func(*testing.T) string{
		"sqlite":   func(*testing.T) string { return "" },
		"postgres": func(t *testing.T) string { return pgtest.Start(t).Database(t) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRigOn(t, orders(t))
			c := r.config()
			to := receiver(t)
			r.hooked(&c, harness.NewEndpointFile(t, to.As("shop", "")))
			api := r.listen(&c)
			n := r.up(c)
			r.Until(n.Board, ltp.Stable)
			term := r.at()
			erases := func(id string, more ...string) []string {
				return append([]string{"orders", "erase", id, "--why", "request 17", "--by", "ann", "--orders-db", r.Orders}, more...)
			}

			do(t, "POST", api+"/orders", ordertest.JSON("K1", ordertest.Customer(keptName)), nil)
			r.ends(api, "K1", "EXECUTED")
			r.Hold("test")
			r.Until(n.Board, ltp.Unstable)
			for _, id := range []string{"X1", "X2"} {
				do(t, "POST", api+"/orders", privateJSON(id), nil)
				r.ends(api, id, "DEFERRED")
			}
			assert.Equal(t, "ltp: order X2 is DEFERRED: it can be erased when it has ended, and ltp orders cancel X2 ends it\n", term.sentence(erases("X2", "--yes")...))
			do(t, "DELETE", api+"/orders/X2", "", nil)
			r.ends(api, "X2", "CANCELLED")
			r.Release()
			r.ends(api, "X1", "EXECUTED")
			to.gets("X1", ltp.OrderDeferred, ltp.OrderConfirmed)
			r.Until(n.Board, ltp.Stable)
			require.Contains(t, r.rows(), erasedName)
			require.Eventually(t, func() bool { return r.counted("LtpCustomer='"+erasedName+"'") > 0 }, patience, 50*time.Millisecond)
			r.nobodyInLine()

			assert.Contains(t, term.sentence("orders", "erase", "X1", "--yes", "--orders-db", r.Orders), "say why with --why")
			missing := term.refused(erases("X9", "--yes")...)
			assert.Contains(t, missing, "there is no order X9: neither namespace")
			other := filepath.Join(t.TempDir(), "other.db")
			term.run("setup", "--orders-db", other)
			said := term.refused("orders", "erase", "X1", "--yes", "--why", "request 17", "--orders-db", other)
			assert.Contains(t, said, "is it another one? Nothing was erased")
			r.ends(api, "X1", "EXECUTED")

			// The command is cut short: the order database is done, and Temporal is not.
			looked, err := erase.Look(r.Ctx, r.Client, r.Server.Namespace(), "X1")
			require.NoError(t, err)
			assert.Equal(t, erasedKey, looked.OrderingKey)
			require.NotEmpty(t, looked.Incidents, "it waited in one")
			_, _, err = erase.Rows(r.Ctx, n.DB, looked, "ann", "request 17")
			require.NoError(t, err)
			rows := r.audited(2, "--orders-db", r.Orders).Claim(audit.RowsAgree)
			assert.Equal(t, audit.NotChecked, rows.Verdict, rows.Breaches)
			assert.EqualValues(t, 1, rows.Figures["erased"])
			printed := term.run(erases("X1", "--yes")...)
			assert.Contains(t, printed, "Order database: erased, for the first time at ")
			assert.Contains(t, printed, "whose export will lack it: ltp trace export --component orders-db --incident ")
			assert.Contains(t, printed, "Temporal: deleted 1 run of the order, ")

			refused := launchWith(t, strings.NewReader("X1\n"), term.env, harness.Binary(t), erases("X2")...)
			assert.Equal(t, 1, refused.Wait())
			assert.Contains(t, refused.Stderr.String(), `not confirmed, nothing was done: it is X2, and not "X1"`)
			r.ends(api, "X2", "CANCELLED")
			confirmed := launchWith(t, strings.NewReader("X2\n"), term.env, harness.Binary(t), erases("X2")...)
			require.Zero(t, confirmed.Wait(), confirmed.Stderr.String())
			assert.Contains(t, confirmed.Stdout.String(), "a tombstone CANCELLED stays")

			r.nowhere("X1", "X2")
			assert.Zero(t, r.counted("LtpCustomer='"+erasedName+"'"))
			response, _ := do(t, "GET", api+"/orders/X1", "", nil)
			assert.Equal(t, http.StatusNotFound, response.StatusCode)
			assert.Contains(t, term.refused("orders", "get", "X1"), "no such order")
			assert.Contains(t, term.refused("inspect", "X1"), "X1")

			// The customer repeats both, and nothing is written.
			do(t, "POST", api+"/orders", privateJSON("X1"), nil)
			do(t, "POST", api+"/orders", privateJSON("X2"), nil)
			r.ends(api, "X1", "EXECUTED")
			r.ends(api, "X2", "CANCELLED")
			r.nobodyInLine()
			tally, err := n.DB.Tally(r.Ctx, "")
			require.NoError(t, err)
			assert.Equal(t, orderdb.Tally{Orders: 2, Outbox: 1, Withdrawn: 1}, tally)
			assert.NotContains(t, r.rows(), erasedName)
			for _, id := range []string{"X1", "X2"} {
				assert.Contains(t, term.run(erases(id, "--yes")...), "deleted 1 run of the order")
			}
			r.nowhere("X1", "X2")
			assert.Contains(t, term.run(erases("X1", "--yes")...), "Temporal has nothing of X1", "it may be run again")

			n.Stop()
			last := r.audited(2, "--orders-db", r.Orders)
			for _, claim := range last.Claims {
				assert.NotEqual(t, audit.Broken, claim.Verdict, "%s: %v", claim.Name, claim.Breaches)
			}
			assert.EqualValues(t, 1, last.Claim(audit.RowsAgree).Figures["erased"])
			r.verified()
			r.afterwards()
		})
	}
}

// afterwards says what is left in the file of the Temporal server, which is not ours to clean.
func (r *rig) afterwards() {
	r.T.Helper()
	require.NoError(r.T, r.Server.Stop())
	file, err := os.ReadFile(filepath.Join(r.Dir, "temporal.db"))
	require.NoError(r.T, err)
	r.T.Logf("in temporal.db: the name %d times, the street %d times", strings.Count(string(file), erasedName), strings.Count(string(file), erasedStreet))
}

// TestEveryRunOfAnOrderIsErased: of one that continued as new. A command was cut short when
// it had deleted the oldest run.
func TestEveryRunOfAnOrderIsErased(t *testing.T) {
	r := newRig(t, shortHistories)
	c := r.config()
	c.Backstop = impatient
	n := r.up(c)
	r.Until(n.Board, ltp.Stable)
	r.Hold("migration")
	r.Until(n.Board, ltp.Unstable)
	require.Equal(t, ltp.Deferred, r.Decided(r.Submit("L1")).State)
	r.awaitRuns("L1", 3)
	require.NoError(t, r.Start.Cancel(r.Ctx, "L1"))
	assert.Equal(t, ltp.Cancelled, r.Ended("L1").State)
	runs := r.continued("L1").Runs
	require.GreaterOrEqual(t, len(runs), 3)

	_, err := r.Client.WorkflowService().DeleteWorkflowExecution(r.Ctx, &workflowservice.DeleteWorkflowExecutionRequest{
		Namespace: r.Server.Namespace(), WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: ltp.OrderWorkflowID("L1"), RunId: runs[0]},
	})
	require.NoError(t, err)
	has := func(run string) bool {
		_, err := r.Client.DescribeWorkflowExecution(r.Ctx, ltp.OrderWorkflowID("L1"), run)
		return !gone(err)
	}
	require.Eventually(t, func() bool { return !has(runs[0]) }, patience, 10*time.Millisecond)
	require.True(t, has(runs[1]))

	looked, err := erase.Look(r.Ctx, r.Client, r.Server.Namespace(), "L1")
	require.NoError(t, err)
	assert.Equal(t, ordertest.New("L1").ContentHash(), looked.ContentHash)
	_, elsewhere, err := erase.Rows(r.Ctx, n.DB, looked, "ann", "request 17")
	require.NoError(t, err)
	assert.False(t, elsewhere)
	_, err = erase.Histories(r.Ctx, r.Client, r.Server.Namespace(), looked)
	require.NoError(t, err)
	for _, run := range append(runs, "") {
		assert.False(t, has(run), run)
	}
	assert.Zero(t, r.counted(fmt.Sprintf("WorkflowId='%s'", ltp.OrderWorkflowID("L1"))))
	stored, err := n.DB.Put(r.Ctx, ordertest.New("L1"), nil)
	require.NoError(t, err)
	assert.Equal(t, &ltp.Ending{State: ltp.Cancelled}, stored.Tombstone, "it is never written")
}
