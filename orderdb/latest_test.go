package orderdb_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/orderdb"
)

// TestWhatTheTablesTookBeforeShowsWhatAMigrationChanged: the probe's own order goes through
// each of these write paths, and an order fails at it with an error about what it holds.
func TestWhatTheTablesTookBeforeShowsWhatAMigrationChanged(t *testing.T) {
	for name, c := range map[string]struct {
		sqlite, postgres string
		refused          bool
	}{
		"a check that no order meets": {
			sqlite:   "UPDATE orders SET customer = ''; ALTER TABLE orders ADD COLUMN x TEXT CHECK (customer NOT LIKE 'c-%')",
			postgres: "ALTER TABLE orders ADD CONSTRAINT new_check CHECK (customer NOT LIKE 'c-%') NOT VALID", refused: true,
		},
		"a check that some order does not meet": {
			sqlite:   "ALTER TABLE orders ADD COLUMN x TEXT CHECK (id <> 'B1')",
			postgres: "ALTER TABLE orders ADD CONSTRAINT new_check CHECK (id <> 'B1') NOT VALID",
		},
		"a column that is too short": {
			postgres: "UPDATE orders SET customer = ''; ALTER TABLE orders ALTER customer TYPE varchar(9)", refused: true,
		},
		"values that are taken": {
			postgres: "CREATE UNIQUE INDEX one_each ON orders (customer)",
		},
		"values that may not come twice": {
			postgres: "ALTER TABLE orders ADD CONSTRAINT one_each EXCLUDE USING btree (customer WITH =)",
		},
		"a table of the shop's by the name of ours": {
			postgres: `CREATE TABLE public.orders (customer text CHECK (customer NOT LIKE 'c-%'));
				CREATE FUNCTION sell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.orders VALUES (NEW.customer); RETURN NEW; END $$;
				CREATE TRIGGER sell BEFORE INSERT ON ltp.orders FOR EACH ROW EXECUTE FUNCTION sell()`,
		},
		"a value that a trigger cannot take": {
			postgres: `CREATE FUNCTION sell() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE n smallint; BEGIN
					IF NEW.customer LIKE 'c-%' THEN n := 99999; END IF; RETURN NEW; END $$;
				CREATE TRIGGER sell BEFORE INSERT ON ltp.orders FOR EACH ROW EXECUTE FUNCTION sell()`,
		},
		"a table of the shop's": {
			postgres: `CREATE TABLE public.stock (customer text CHECK (customer NOT LIKE 'c-%'));
				CREATE FUNCTION sell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.stock VALUES (NEW.customer); RETURN NEW; END $$;
				CREATE TRIGGER sell BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION sell()`,
		},
	} {
		for _, b := range backends {
			statements := map[string]string{"sqlite": c.sqlite, "postgres": c.postgres}[b.name]
			if statements == "" {
				continue
			}
			t.Run(name+"/"+b.name, func(t *testing.T) {
				t.Parallel()
				url := b.fresh(t)
				db := open(t, url+b.single)
				require.NoError(t, db.Migrate(t.Context()))
				require.NoError(t, db.TryLatest(t.Context()), "there is no order yet")
				for id, customer := range map[string]string{"A1": "c-00000001", "A2": "c-00000002", "A3": "c-00000003"} {
					mustPut(t, db, ordertest.New(id, ordertest.Customer(customer)))
				}
				require.NoError(t, db.TryLatest(t.Context()))

				b.exec(t, url, statements)
				require.NoError(t, db.TryWritePath(t.Context()), "the probe's own order goes through")
				_, err := db.Put(t.Context(), ordertest.New("B1", ordertest.Customer("c-00000003")), nil)
				var e *orderdb.Error
				require.ErrorAs(t, err, &e)
				assert.True(t, orderdb.OfContent(e.Code), e.Code)
				if err := db.TryLatest(t.Context()); c.refused {
					assert.Error(t, err)
				} else {
					assert.NoError(t, err)
				}
				assert.Equal(t, [3]int64{3, 3, 3}, contents(t, b, url), "nothing is left of what was tried")
			})
		}
	}
}
