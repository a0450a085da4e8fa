-- +goose Up
CREATE TABLE orders (
    id           text COLLATE "C" PRIMARY KEY,
    customer     text        NOT NULL,
    currency     text        NOT NULL,
    amount_minor bigint      NOT NULL,
    content_hash text        NOT NULL,
    body         jsonb       NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now()
);

-- order_id is not unique here, so that an order which took effect twice shows.
CREATE TABLE order_outbox (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id   text COLLATE "C" NOT NULL,
    payload    jsonb            NOT NULL,
    created_at timestamptz      NOT NULL DEFAULT now()
);
CREATE INDEX order_outbox_order_id ON order_outbox (order_id);

CREATE TABLE ltp_probe (
    component text PRIMARY KEY,
    n         bigint      NOT NULL,
    at        timestamptz NOT NULL
);

-- +goose Down
DROP TABLE ltp_probe;
DROP TABLE order_outbox;
DROP TABLE orders;
