package replay

import "hash/maphash"

// generation is how many orders a generation of sent remembers: at the fastest, those
// of some minutes, and the store shows an order for seconds after it has gone on.
const generation = 1 << 18

// releasedSet remembers which orders were released: once is enough. Of a backlog of millions it
// remembers the latest, by a hash of 8 bytes each, in two generations; one that it has
// forgotten, and that is still listed, is released again, which changes nothing. Of two
// orders with the same hash, at odds of one in 10^13 for each order, the second is released
// by the release that follows, which hashes otherwise.
type releasedSet struct {
	seed       maphash.Seed
	most       int
	sweep      uint32 // the one under way
	young, old map[uint64]mark
}

// mark is what is remembered of an order.
type mark struct {
	retry bool   // to be tried again by the sweeps after this one
	late  bool   // it gave no answer in time
	sweep uint32 // in which it was marked
}

func newReleasedSet(most int) *releasedSet {
	return &releasedSet{seed: maphash.MakeSeed(), most: most, young: map[uint64]mark{}}
}

// lookup returns what is remembered of an order, and whether it is not to be released in
// the sweep under way.
func (s *releasedSet) lookup(id string) (m mark, done bool) {
	h := maphash.String(s.seed, id)
	m, marked := s.young[h]
	if !marked {
		m, marked = s.old[h]
	}
	return m, marked && (!m.retry || m.sweep == s.sweep)
}

func (s *releasedSet) has(id string) bool {
	_, done := s.lookup(id)
	return done
}

func (s *releasedSet) add(id string, m mark) {
	if len(s.young) >= s.most {
		s.young, s.old = make(map[uint64]mark, s.most), s.young
	}
	m.sweep = s.sweep
	s.young[maphash.String(s.seed, id)] = m
}

// forget forgets all.
func (s *releasedSet) forget() { s.young, s.old = map[uint64]mark{}, nil }
