-- A shop that was there before: articles in stock, orders and their lines.
CREATE SCHEMA shop;

CREATE TABLE shop.stock (
    sku   text PRIMARY KEY,
    units bigint NOT NULL,
    CONSTRAINT stock_units_check CHECK (units >= 0)
);

CREATE TABLE shop.orders (
    number      text PRIMARY KEY,
    customer    text        NOT NULL,
    currency    char(3)     NOT NULL,
    total_minor bigint      NOT NULL,
    gift        boolean     NOT NULL,
    placed_at   timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE shop.order_lines (
    order_number text   NOT NULL REFERENCES shop.orders,
    line         bigint NOT NULL,
    sku          text   NOT NULL REFERENCES shop.stock,
    quantity     bigint NOT NULL,
    PRIMARY KEY (order_number, line)
);

INSERT INTO shop.stock VALUES
    ('lamp', 47),
    ('ltp-probe', 1); -- what the order node's probe orders, and gives back: so it goes all the way
