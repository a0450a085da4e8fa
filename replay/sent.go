package replay

import "hash/maphash"

// generation is how many orders a generation of sent remembers: at the fastest, those
// of some minutes, and the store shows an order for seconds after it has gone on.
const generation = 1 << 18

// sent remembers which orders have the signal: one is enough. Of a backlog of millions
// it remembers the latest, by a hash of 8 bytes each, in two generations; one that it
// has forgotten, and that is still listed, gets another signal, which changes nothing.
// Two orders of the same hash, at odds of one in 10^13 for each order, are told apart by
// the release that follows, which hashes otherwise.
type sent struct {
	seed       maphash.Seed
	most       int
	young, old map[uint64]struct{}
}

func newSent(most int) *sent {
	return &sent{seed: maphash.MakeSeed(), most: most, young: map[uint64]struct{}{}}
}

func (s *sent) has(id string) bool {
	h := maphash.String(s.seed, id)
	_, young := s.young[h]
	_, old := s.old[h]
	return young || old
}

func (s *sent) add(id string) {
	if len(s.young) >= s.most {
		s.young, s.old = make(map[uint64]struct{}, s.most), s.young
	}
	s.young[maphash.String(s.seed, id)] = struct{}{}
}

func (s *sent) remove(id string) {
	h := maphash.String(s.seed, id)
	delete(s.young, h)
	delete(s.old, h)
}

// forget forgets all.
func (s *sent) forget() { s.young, s.old = map[uint64]struct{}{}, nil }

func (s *sent) len() int { return len(s.young) + len(s.old) }
