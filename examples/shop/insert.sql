-- Run for every order, once, in the transaction that writes it.

-- Orders of the same articles take them in one order, or two could wait for each other.
SELECT FROM shop.stock
WHERE sku IN (SELECT item->>'sku' FROM jsonb_array_elements(@lines) AS item)
ORDER BY sku FOR NO KEY UPDATE;

UPDATE shop.stock SET units = stock.units - taken.units
FROM (SELECT item->>'sku' AS sku, sum((item->>'quantity')::bigint) AS units
      FROM jsonb_array_elements(@lines) AS item GROUP BY 1) AS taken
WHERE stock.sku = taken.sku;

INSERT INTO shop.orders (number, customer, currency, total_minor, gift)
VALUES (@id, @customer, @currency, @total_minor, coalesce((@attributes->>'gift')::boolean, false));

INSERT INTO shop.order_lines (order_number, line, sku, quantity)
SELECT @id, line, item->>'sku', (item->>'quantity')::bigint
FROM jsonb_array_elements(@lines) WITH ORDINALITY AS l (item, line);
