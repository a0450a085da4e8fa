-- +goose Up
-- An order whose customer's data was erased keeps its key, and its row in orders with an
-- empty customer and an empty body: that alone is overwritten. erased_by and erased_why are
-- an operator's words.
ALTER TABLE order_keys ADD COLUMN erased_at TEXT;
ALTER TABLE order_keys ADD COLUMN erased_by TEXT;
ALTER TABLE order_keys ADD COLUMN erased_why TEXT;

-- +goose Down
ALTER TABLE order_keys DROP COLUMN erased_why;
ALTER TABLE order_keys DROP COLUMN erased_by;
ALTER TABLE order_keys DROP COLUMN erased_at;
