package starter

import "github.com/ltp-node/ltp"

// Option changes what a Starter does.
type Option func(*Starter)

// WithExecution has an activity of yours execute the orders that this Starter accepts,
// in place of the order database's: see [ltp.Execution]. An order keeps the execution
// that it was accepted with; a repeat of it changes nothing. Start every worker of the
// order node in a version that knows this before you use it: one that does not would
// write the order into the order database.
//
// An execution that is not valid makes Submit fail with an *ltp.InvalidError.
func WithExecution(e ltp.Execution) Option { return func(s *Starter) { s.by = e } }

// input is what an order's workflow is started with.
func (s *Starter) input(o ltp.Order) []any {
	if !s.by.Own() {
		return []any{o}
	}
	return []any{o, s.by}
}
