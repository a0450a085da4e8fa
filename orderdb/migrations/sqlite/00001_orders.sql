-- +goose Up
-- Whoever writes an order or withdraws it inserts the key first: the key decides. One
-- whose kind is not ORDER is a tombstone. Nothing here is overwritten or deleted, and what
-- is added to orders, a constraint or a trigger, does not keep an order from being
-- withdrawn.
CREATE TABLE order_keys (
    id           TEXT PRIMARY KEY,
    kind         TEXT NOT NULL CHECK (kind IN ('ORDER', 'CANCELLED', 'EXPIRED', 'REJECTED')),
    content_hash TEXT NOT NULL,
    reason       TEXT NOT NULL DEFAULT '',
    written_at   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) STRICT, WITHOUT ROWID;

-- attempt, epoch, fence_state, begun_at, read_at and worker are the receipt of the write; times
-- are UTC, in milliseconds.
CREATE TABLE orders (
    id           TEXT PRIMARY KEY,
    customer     TEXT    NOT NULL,
    currency     TEXT    NOT NULL,
    amount_minor INTEGER NOT NULL,
    content_hash TEXT    NOT NULL,
    body         TEXT    NOT NULL,
    created_at   TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    attempt      TEXT    NOT NULL DEFAULT '',
    epoch        INTEGER NOT NULL DEFAULT 0,
    fence_state  TEXT    NOT NULL DEFAULT '',
    begun_at     TEXT,
    read_at      TEXT,
    worker       TEXT    NOT NULL DEFAULT ''
) STRICT;

-- order_id is not unique here, so that an order which took effect twice shows.
CREATE TABLE order_outbox (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    order_id   TEXT NOT NULL,
    payload    TEXT NOT NULL,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) STRICT;
CREATE INDEX order_outbox_order_id ON order_outbox (order_id);

CREATE TABLE ltp_probe (
    component TEXT PRIMARY KEY,
    n         INTEGER NOT NULL,
    at        TEXT    NOT NULL
) STRICT;

-- +goose Down
DROP TABLE ltp_probe;
DROP TABLE order_outbox;
DROP TABLE orders;
DROP TABLE order_keys;
