package orderdb_test

import (
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/ltp-node/ltp/orderdb"
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
					if _, err := db.Put(b.Context(), order(fmt.Sprint("A", n.Add(1))), nil); err != nil {
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
