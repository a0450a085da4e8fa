package main

import (
	"context"
	"log/slog"
)

// expected demotes what the Temporal SDK logs loudly and what is everyday life
// here: an Execute that finds its database unfit fails by design and is reported in the
// order's history, and an order may end with a second signal unread.
type expected struct{ slog.Handler }

func (h expected) Handle(ctx context.Context, r slog.Record) error {
	switch r.Message {
	case "Activity error.", "Workflow has unhandled signals", "RecordActivityHeartbeat with error":
		r.Level = slog.LevelDebug
		if !h.Enabled(ctx, r.Level) {
			return nil
		}
	}
	return h.Handler.Handle(ctx, r)
}

func (h expected) WithAttrs(attrs []slog.Attr) slog.Handler {
	return expected{h.Handler.WithAttrs(attrs)}
}

func (h expected) WithGroup(name string) slog.Handler { return expected{h.Handler.WithGroup(name)} }
