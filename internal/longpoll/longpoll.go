// Package longpoll is about one trait of Temporal's long polls: a server answers one a
// second before the deadline of the caller, so that the answer arrives in time. A poll
// with less than a second left is answered at once, with nothing new, and the SDK asks
// again: hundreds of times a second, for as long as the order takes.
package longpoll

import "context"

// Patient is ctx for a long poll: it ends when ctx does, and shows no deadline.
func Patient(ctx context.Context) (context.Context, context.CancelFunc) {
	patient, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	return patient, func() { stop(); cancel(nil) }
}
