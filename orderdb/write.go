package orderdb

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ltp-node/ltp"
)

// write is an order, or the tombstone in place of it, on its way into the database.
type write struct {
	order ltp.Order
	hash  string
	body  []byte
	// tombstone is nil where the order is to be written.
	tombstone *ltp.Ending
	// admit is asked by admitted, which keeps the receipt and when it was given.
	admit      func() (ltp.Receipt, error)
	admittedAt time.Time
	receipt    ltp.Receipt
}

func newPut(o ltp.Order, admit func() (ltp.Receipt, error)) (*write, error) {
	body, err := json.Marshal(o)
	if err != nil {
		return nil, unavailable(fmt.Errorf("the order cannot be written as JSON: %w", err))
	}
	return &write{order: o, hash: o.ContentHash(), body: body, admit: admit}, nil
}

func newWithdrawal(o ltp.Order, end ltp.Ending, admit func() error) (*write, error) {
	switch end.State {
	case ltp.Cancelled, ltp.Expired, ltp.Rejected:
	default:
		return nil, unavailable(fmt.Errorf("an order cannot be withdrawn as %q", end.State))
	}
	// Postgres refuses what is no text, and a sentence must not keep an order from ending.
	end.Reason = strings.ReplaceAll(strings.ToValidUTF8(end.Reason, "\ufffd"), "\x00", "")
	w := &write{order: o, hash: o.ContentHash(), tombstone: &end}
	if admit != nil {
		w.admit = func() (ltp.Receipt, error) { return ltp.Receipt{}, admit() }
	}
	return w, nil
}

// admitted asks whether the write may begin, and for its receipt.
func (w *write) admitted() error {
	var receipt ltp.Receipt
	if w.admit != nil {
		var err error
		if receipt, err = w.admit(); err != nil {
			return unavailable(err)
		}
	}
	w.receipt, w.admittedAt = asStored(receipt), time.Now()
	return nil
}

// aMoment is for how long an answer to admit holds where nothing was written on it.
const aMoment = 100 * time.Millisecond

// stillAdmitted asks unless the write was admitted a moment ago.
func (w *write) stillAdmitted() error {
	if !w.admittedAt.IsZero() && time.Since(w.admittedAt) < aMoment {
		return nil
	}
	return w.admitted()
}

// written is the answer about a key that is new.
func (w *write) written() Stored {
	if w.tombstone != nil {
		return Stored{Tombstone: w.tombstone}
	}
	return Stored{Receipt: w.receipt}
}

// key is a row of order_keys.
type key struct{ kind, hash, reason string }

// orderKind is the kind of a key whose order is written; the others are the states of
// tombstones.
const orderKind = "ORDER"

// found is the answer about a key that stood there before; receipt reads the order's row.
func (w *write) found(k key, receipt func() (ltp.Receipt, error)) (Stored, error) {
	if k.hash != w.hash {
		return Stored{}, rejected(ErrConflict, ErrConflict.Error())
	}
	if k.kind != orderKind {
		return Stored{Repeated: true, Tombstone: &ltp.Ending{State: ltp.OrderState(k.kind), Reason: k.reason}}, nil
	}
	r, err := receipt()
	if err != nil {
		return Stored{}, unknown(fmt.Errorf("the key of order %s is taken by the order, and its receipt cannot be read: %w", w.order.ID, err))
	}
	return Stored{Repeated: true, Receipt: r}, nil
}

// neverRejected classes the error of a Withdraw. A rule of the database that refuses a
// tombstone says nothing about the order, and may be mended.
func neverRejected(err error) error {
	var e *Error
	if errors.As(err, &e) && e.Class == Rejected && !errors.Is(err, ErrConflict) {
		return unavailable(e.Err)
	}
	return err
}

// asStored is what a row holds of a receipt. A row without one has the written component
// all the same.
func asStored(r ltp.Receipt) ltp.Receipt {
	ms := func(t time.Time) time.Time {
		if t.IsZero() {
			return time.Time{}
		}
		return t.UTC().Truncate(time.Millisecond)
	}
	return ltp.Receipt{
		Attempt: r.Attempt, Worker: r.Worker, BegunAt: ms(r.BegunAt),
		Fence: ltp.Fence{Component: ltp.DefaultComponent, State: r.Fence.State, Epoch: r.Fence.Epoch, ReadAt: ms(r.Fence.ReadAt)},
	}
}

// receiptColumns are those of a receipt in the table orders, in the order in which
// receiptRow is scanned.
const receiptColumns = "attempt, epoch, fence_state, begun_at, read_at, worker"

// receiptRow scans the columns of a receipt. T is how the database's driver gives a time
// that may be missing.
type receiptRow[T any] struct {
	attempt, fence, worker string
	epoch                  int64
	begunAt, readAt        T
}

func (r *receiptRow[T]) columns() []any {
	return []any{&r.attempt, &r.epoch, &r.fence, &r.begunAt, &r.readAt, &r.worker}
}

func (r *receiptRow[T]) receipt(begunAt, readAt time.Time) ltp.Receipt {
	return ltp.Receipt{
		Attempt: r.attempt, Worker: r.worker, BegunAt: begunAt,
		Fence: ltp.Fence{Component: ltp.DefaultComponent, State: ltp.State(r.fence), Epoch: r.epoch, ReadAt: readAt},
	}
}
