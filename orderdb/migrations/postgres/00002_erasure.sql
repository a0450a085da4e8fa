-- +goose Up
-- An order whose customer's data was erased keeps its key, and its row in orders with an
-- empty customer and an empty body: that alone is overwritten. erased_by and erased_why are
-- an operator's words.
ALTER TABLE {schema}.order_keys
    ADD COLUMN erased_at  timestamptz,
    ADD COLUMN erased_by  text,
    ADD COLUMN erased_why text;

-- +goose Down
ALTER TABLE {schema}.order_keys DROP COLUMN erased_at, DROP COLUMN erased_by, DROP COLUMN erased_why;
