// Package simulate plays the release of a backlog against a modelled database,
// without a server and without waiting: the very controller of package pace, the
// loop of the replay engine (canaries, bounded concurrency, sweeps), the detector of package
// observer and the state machine of package ltp, over a clock of its own.
//
// Orders that wait are a number; only those on their way exist one by one. So 10^8
// orders take the memory of a few hundred, and the time of as many events. The same
// model and seed give the same result.
//
// It is not the real engine under testing/synctest: the engine lists orders in Temporal, page
// by page, and keeps a goroutine for each release, so that 10^8 orders would take hours, over
// a Temporal that would be the larger model. What decides how fast a backlog is released,
// package pace and the detector, is the same code here and there.
//
// What is a model: the database (its capacity, its cache, its failures), the time
// that Temporal takes from release to write and back, and the lag of the visibility store.
package simulate
