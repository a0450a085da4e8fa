-- +goose Up
CREATE TABLE orders (
    id           TEXT PRIMARY KEY,
    customer     TEXT    NOT NULL,
    currency     TEXT    NOT NULL,
    amount_minor INTEGER NOT NULL,
    content_hash TEXT    NOT NULL,
    body         TEXT    NOT NULL,
    created_at   TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
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
