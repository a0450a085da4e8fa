package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/ltp-node/ltp/demo"
	"github.com/ltp-node/ltp/orderdb"
)

// Rows are the orders as the order database of the stack has them.
func (s *Stack) Rows() demo.Rows { return rows{s} }

// rows asks the order database by psql in the container of its leader: nothing outside of its
// network reaches it.
type rows struct{ *Stack }

// Tally implements demo.Rows.
func (r rows) Tally(ctx context.Context, prefix string) (t orderdb.Tally, err error) {
	err = r.ask(ctx, &t, fmt.Sprintf(`SELECT json_build_object(
		'orders', (SELECT count(*) FROM ltp.orders WHERE starts_with(id, %[1]s)),
		'outbox', (SELECT count(*) FROM ltp.order_outbox WHERE starts_with(order_id, %[1]s)),
		'duplicates', (SELECT count(*) FROM (SELECT FROM ltp.orders WHERE starts_with(id, %[1]s) GROUP BY id HAVING count(*) > 1
			UNION ALL SELECT FROM ltp.order_outbox WHERE starts_with(order_id, %[1]s) GROUP BY order_id HAVING count(*) > 1) AS twice))`, literal(prefix)))
	return t, err
}

// Missing implements demo.Rows.
func (r rows) Missing(ctx context.Context, ids []string) (missing []string, err error) {
	asked := make([]string, len(ids))
	for i, id := range ids {
		asked[i] = "(" + literal(id) + ")"
	}
	if len(asked) == 0 {
		return nil, nil
	}
	err = r.ask(ctx, &missing, "SELECT coalesce(json_agg(id), '[]') FROM (VALUES "+strings.Join(asked, ",")+
		") AS asked (id) WHERE NOT EXISTS (SELECT FROM ltp.orders AS o WHERE o.id = asked.id)")
	return missing, err
}

// ask runs a query of one value, JSON.
func (r rows) ask(ctx context.Context, into any, query string) error {
	leader, err := r.Leader(ctx)
	if err != nil {
		return err
	}
	out, err := leader.psql(ctx, query)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(out), into)
}

func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
