package starter

import (
	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/payload"
)

// Option changes what a Starter does.
type Option func(*Starter)

// WithExecution has an activity of yours execute the orders that this Starter accepts,
// in place of the order database's: see [ltp.Execution]. An order keeps the execution
// that it was accepted with; a repeat of it changes nothing.
//
// An execution that is not valid makes Submit fail with an *ltp.InvalidError.
func WithExecution(e ltp.Execution) Option { return func(s *Starter) { s.execution = e } }

// WithKeys has the Starter write customers into the index of orders as the keys have them
// stand there, and find them by that: those that the client's payloads are encrypted with.
func WithKeys(k *payload.Keys) Option { return func(s *Starter) { s.keys = k } }

// WithPageKey has the Starter take the page tokens of all others with this key: see
// [PageKey].
func WithPageKey(key []byte) Option { return func(s *Starter) { s.pages = pages{key} } }

// WithBoard has the Starter take the orientation of components from the board of its
// process, which costs no call of Temporal. Where the board cannot read it, or does not have a
// component, the Starter reads by itself, as it does without a board.
func WithBoard(b *board.Board) Option { return func(s *Starter) { s.board = b } }

// WithWebhooks has the orders of tenants that have webhooks tell them: has is asked of every
// order that is accepted. An order keeps what it was accepted with. Without it, or where has
// says no, an order announces nothing and pays nothing for it.
func WithWebhooks(has func(tenant string) bool) Option { return func(s *Starter) { s.webhooks = has } }
