package orderdb_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/orderdb"
)

func openLedger(t *testing.T, url string) orderdb.Ledger {
	t.Helper()
	l, err := orderdb.OpenLedger(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// TestALedgerReadsEveryRowAsItStands: more rows than fit on a page, and columns that
// no longer agree with each other.
func TestALedgerReadsEveryRowAsItStands(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		db := open(t, url)
		var ids []string
		for i := range 510 {
			ids = append(ids, fmt.Sprintf("L-%04d", i))
			mustPut(t, db, ordertest.New(ids[i]))
		}
		b.exec(t, url, `UPDATE orders SET amount_minor = 7 WHERE id = 'L-0003';
			INSERT INTO order_outbox (order_id, payload) VALUES ('L-0004', '{}');
			UPDATE order_outbox SET payload = '{"amount":7}' WHERE order_id = 'L-0006';
			DELETE FROM order_outbox WHERE order_id = 'L-0007';
			UPDATE orders SET created_at = '2020-01-02T03:04:05.678Z' WHERE id = 'L-0005';`)

		l := openLedger(t, url)
		var found []string
		for e, err := range l.Created(t.Context(), time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC), time.Time{}) {
			require.NoError(t, err)
			found = append(found, e.ID)
			o := ordertest.New(e.ID)
			assert.Equal(t, o.ContentHash(), e.ContentHash)
			assert.Equal(t, o.Customer, e.Customer)
			assert.Equal(t, o.Currency, e.Currency)
			assert.Equal(t, e.ID == "L-0003", e.AmountMinor == 7, e.ID)
			outbox, differs := 1, 0
			switch e.ID {
			case "L-0004":
				outbox, differs = 2, 1
			case "L-0006":
				differs = 1
			case "L-0007":
				outbox = 0
			}
			assert.Equal(t, []int{outbox, differs}, []int{e.Outbox, e.OutboxDiffers}, e.ID)
			var body ltp.Order
			require.NoError(t, json.Unmarshal(e.Body, &body))
			assert.Equal(t, o, body)
		}
		assert.Equal(t, slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return id == "L-0005" }), found)

		at := time.Date(2020, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
		for e, err := range l.Created(t.Context(), at, at) {
			require.NoError(t, err)
			assert.Equal(t, "L-0005", e.ID, "both ends are included")
			assert.True(t, at.Equal(e.CreatedAt))
		}
		found = nil
		for e, err := range l.Entries(t.Context(), append([]string{"nobody"}, ids...)) {
			require.NoError(t, err)
			found = append(found, e.ID)
		}
		assert.ElementsMatch(t, ids, found)
	})
}

// TestOutboxRowsWithoutAnOrderAreGhosts: more than fit on a page, within the time asked for.
func TestOutboxRowsWithoutAnOrderAreGhosts(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		db := open(t, url)
		mustPut(t, db, ordertest.New("A1"))
		mustPut(t, db, ordertest.New("G-0000a"))
		mustWithdraw(t, db, ordertest.New("W1"), cancelled)
		var want []string
		rows := "INSERT INTO order_outbox (order_id, payload) VALUES ('W1', '{}')"
		for i := range 510 {
			want = append(want, fmt.Sprintf("G-%04d", i))
			rows += fmt.Sprintf(", ('%s', '{}'), ('%[1]s', '{}')", want[i])
		}
		b.exec(t, url, rows+"; INSERT INTO order_outbox (order_id, payload, created_at) VALUES ('old', '{}', '2020-01-02T03:04:05.678Z')")

		ghosts := func(from, to time.Time) (ids []string) {
			for id, err := range openLedger(t, url).Ghosts(t.Context(), from, to) {
				require.NoError(t, err)
				ids = append(ids, id)
			}
			return ids
		}
		assert.Equal(t, append(slices.Clone(want), "W1"), ghosts(time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC), time.Time{}))
		at := time.Date(2020, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
		assert.Equal(t, []string{"old"}, ghosts(at, at), "both ends are included")
	})
}

func TestALedgerThatCannotBeReadSaysSo(t *testing.T) {
	conform(t, func(t *testing.T, b backend, _ string) {
		l := openLedger(t, b.nowhere(t))
		for _, err := range l.Created(t.Context(), time.Time{}, time.Time{}) {
			assert.ErrorContains(t, err, "row by row")
		}
		for _, err := range l.Ghosts(t.Context(), time.Time{}, time.Time{}) {
			assert.ErrorContains(t, err, "row by row")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for _, err := range l.Entries(ctx, []string{"A1"}) {
			assert.Error(t, err)
		}
	})
}
