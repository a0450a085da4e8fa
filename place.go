package ltp

import "time"

// Place is where a deferred order stands in the backlog of the component that it waits for,
// as far as it is known. It is about: the visibility store that counts is late, seconds late
// in a burst, and the count may be some seconds old.
type Place struct {
	// Ahead is how many deferred orders of its tenant a replay would release before this one.
	// Those of others are not counted, since no tenant is to learn how many orders another has;
	// ExpectedAt takes all of them into account.
	Ahead int64 `json:"ahead"`
	// ExpectedAt is when it has its turn at the present pace; zero where nobody knows, as
	// while the component is unfit, or while an operator has paused the replay.
	ExpectedAt time.Time `json:"expected_at,omitzero"`
	// NotBefore is when the hold of an operator ends, before which it is not released; zero
	// where none is known to end.
	NotBefore time.Time `json:"not_before,omitzero"`
}
