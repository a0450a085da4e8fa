package starter

import (
	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
)

// Option changes what a Starter does.
type Option func(*Starter)

// WithExecution has an activity of yours execute the orders that this Starter accepts,
// in place of the order database's: see [ltp.Execution]. An order keeps the execution
// that it was accepted with; a repeat of it changes nothing.
//
// An execution that is not valid makes Submit fail with an *ltp.InvalidError.
func WithExecution(e ltp.Execution) Option { return func(s *Starter) { s.execution = e } }

// WithBoard has the Starter take the orientation of components from the board of its
// process, which costs no call of Temporal. Where the board is blind, or does not have a
// component, the Starter reads by itself, as it does without a board.
func WithBoard(b *board.Board) Option { return func(s *Starter) { s.board = b } }
