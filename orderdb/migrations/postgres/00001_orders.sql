-- +goose Up
-- Whoever writes an order or withdraws it inserts the key first: the key decides. One
-- whose kind is not ORDER is a tombstone. Nothing here is overwritten or deleted, and what
-- is added to orders, a constraint or a trigger, does not keep an order from being
-- withdrawn.
CREATE TABLE {schema}.order_keys (
    id           text COLLATE "C" PRIMARY KEY,
    kind         text        NOT NULL CHECK (kind IN ('ORDER', 'CANCELLED', 'EXPIRED', 'REJECTED')),
    content_hash text        NOT NULL,
    reason       text        NOT NULL DEFAULT '',
    written_at   timestamptz NOT NULL DEFAULT now()
);

-- attempt, epoch, fence_state, begun_at, read_at and worker are the receipt of the write.
CREATE TABLE {schema}.orders (
    id           text COLLATE "C" PRIMARY KEY,
    customer     text        NOT NULL,
    currency     text        NOT NULL,
    amount_minor bigint      NOT NULL,
    content_hash text        NOT NULL,
    body         jsonb       NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    attempt      text        NOT NULL DEFAULT '',
    epoch        bigint      NOT NULL DEFAULT 0,
    fence_state  text        NOT NULL DEFAULT '',
    begun_at     timestamptz,
    read_at      timestamptz,
    worker       text        NOT NULL DEFAULT ''
);

-- order_id is not unique here, so that an order which took effect twice shows.
CREATE TABLE {schema}.order_outbox (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id   text COLLATE "C" NOT NULL,
    payload    jsonb            NOT NULL,
    created_at timestamptz      NOT NULL DEFAULT now()
);
CREATE INDEX order_outbox_order_id ON {schema}.order_outbox (order_id);

CREATE TABLE {schema}.ltp_probe (
    component text PRIMARY KEY,
    n         bigint      NOT NULL,
    at        timestamptz NOT NULL
);

-- +goose Down
DROP TABLE {schema}.ltp_probe;
DROP TABLE {schema}.order_outbox;
DROP TABLE {schema}.orders;
DROP TABLE {schema}.order_keys;
