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
	"github.com/ltp-node/ltp/orderdb"
)

func openLedger(t *testing.T, url string) orderdb.Ledger {
	t.Helper()
	l, err := orderdb.OpenLedger(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// TestALedgerTellsEveryRowAsItStands: more rows than fit on a page, and columns that
// no longer agree with each other.
func TestALedgerTellsEveryRowAsItStands(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		db := open(t, url)
		var ids []string
		for i := range 510 {
			ids = append(ids, fmt.Sprintf("L-%04d", i))
			mustPut(t, db, order(ids[i]))
		}
		b.exec(t, url, `UPDATE orders SET amount_minor = 7 WHERE id = 'L-0003';
			INSERT INTO order_outbox (order_id, payload) VALUES ('L-0004', '{}');
			UPDATE orders SET created_at = '2020-01-02T03:04:05.678Z' WHERE id = 'L-0005';`)

		l := openLedger(t, url)
		var told []string
		for e, err := range l.Created(t.Context(), time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC), time.Time{}) {
			require.NoError(t, err)
			told = append(told, e.ID)
			o := order(e.ID)
			assert.Equal(t, o.ContentHash(), e.ContentHash)
			assert.Equal(t, o.Customer, e.Customer)
			assert.Equal(t, o.Currency, e.Currency)
			assert.Equal(t, e.ID == "L-0003", e.AmountMinor == 7, e.ID)
			assert.Equal(t, e.ID == "L-0004", e.Outbox == 2, e.ID)
			var body ltp.Order
			require.NoError(t, json.Unmarshal(e.Body, &body))
			assert.Equal(t, o, body)
		}
		assert.Equal(t, slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return id == "L-0005" }), told)

		at := time.Date(2020, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
		for e, err := range l.Created(t.Context(), at, at) {
			require.NoError(t, err)
			assert.Equal(t, "L-0005", e.ID, "both ends are included")
			assert.True(t, at.Equal(e.CreatedAt))
		}
		told = nil
		for e, err := range l.Entries(t.Context(), append([]string{"nobody"}, ids...)) {
			require.NoError(t, err)
			told = append(told, e.ID)
		}
		assert.ElementsMatch(t, ids, told)
	})
}

func TestALedgerThatCannotBeReadSaysSo(t *testing.T) {
	conform(t, func(t *testing.T, b backend, _ string) {
		l := openLedger(t, b.nowhere(t))
		for _, err := range l.Created(t.Context(), time.Time{}, time.Time{}) {
			assert.ErrorContains(t, err, "row by row")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for _, err := range l.Entries(ctx, []string{"A1"}) {
			assert.Error(t, err)
		}
	})
}
