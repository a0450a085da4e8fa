package replay

import (
	"maps"
	"sync"
	"time"
)

// recent remembers for the next releases of this process what happened in one, for
// rememberedFor. A release that runs elsewhere begins without. The zero recent is ready.
type recent[V any] struct {
	mu     sync.Mutex
	latest map[string]recentEntry[V]
}

type recentEntry[V any] struct {
	what V
	at   time.Time
}

// rememberedFor is for how long a failure counts: what caused it may be mended.
const rememberedFor = 10 * time.Minute

func (h recentEntry[V]) expired() bool { return time.Since(h.at) >= rememberedFor }

// add remembers what happened last under a key.
func (r *recent[V]) add(key string, what V) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.latest == nil {
		r.latest = map[string]recentEntry[V]{}
	}
	maps.DeleteFunc(r.latest, func(_ string, h recentEntry[V]) bool { return h.expired() })
	r.latest[key] = recentEntry[V]{what, time.Now()}
}

// get is what happened last under a key, and false if nothing did of late.
func (r *recent[V]) get(key string) (what V, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h, ok := r.latest[key]
	if !ok || h.expired() {
		return what, false
	}
	return h.what, true
}
