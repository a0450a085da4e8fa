package orderdb_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/internal/pglocal"
	"github.com/ltp-node/ltp/orderdb"
	"github.com/ltp-node/ltp/orderdb/pgtest"
)

// BenchmarkPut writes orders into SQLite with every commit synced to the disk.
func BenchmarkPut(b *testing.B) {
	db, _ := benchSQLite(b)
	var n atomic.Int64
	for _, clients := range []int{1, 16} {
		b.Run(fmt.Sprint("clients=", clients), func(b *testing.B) {
			b.SetParallelism(clients)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := db.Put(b.Context(), ordertest.New(fmt.Sprint("A", n.Add(1))), nil); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "orders/s")
		})
	}
}

func BenchmarkProbe(b *testing.B) {
	_, path := benchSQLite(b)
	p, err := orderdb.OpenProbe(path, "orders-db")
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	for b.Loop() {
		if _, err := p.Probe(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkProbeOfAPair probes a leader that waits for its standby, both on the disk of
// this machine, and prints what that leaves behind.
func BenchmarkProbeOfAPair(b *testing.B) {
	pair := pgtest.StartPair(b, func(o *pglocal.Options) { o.NoSync = false })
	url := pair.Leader().URL("postgres")
	db, err := orderdb.Open(b.Context(), url)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	if err := db.Migrate(b.Context()); err != nil {
		b.Fatal(err)
	}
	p, err := orderdb.OpenProbe(url, "orders-db")
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	measure := func() (wal, updates, hot, pages float64) {
		err := pgtest.Connect(b, url).QueryRow(b.Context(), `SELECT pg_current_wal_lsn() - '0/0', n_tup_upd, n_tup_hot_upd,
			pg_relation_size('ltp_probe') / 8192 FROM pg_stat_user_tables WHERE relname = 'ltp_probe'`).Scan(&wal, &updates, &hot, &pages)
		if err != nil {
			b.Fatal(err)
		}
		return wal, updates, hot, pages
	}
	var took []time.Duration
	before, _, _, _ := measure()
	for b.Loop() {
		began := time.Now()
		if _, err := p.Probe(b.Context()); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	if err := p.Close(); err != nil { // the session reports its figures when it ends
		b.Fatal(err)
	}
	after, updates, hot, pages := measure()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric((after-before)/float64(len(took)), "WAL-B/probe")
	b.ReportMetric(100*hot/max(updates, 1), "HOT-%")
	b.ReportMetric(pages, "pages")
}

func benchSQLite(b *testing.B) (orderdb.DB, string) {
	path := filepath.Join(b.TempDir(), "orders.db")
	db, err := orderdb.Open(b.Context(), path)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	if err := db.Migrate(b.Context()); err != nil {
		b.Fatal(err)
	}
	return db, path
}
