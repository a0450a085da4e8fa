package orderdb_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/internal/pglocal"
	"github.com/ltp-node/ltp/orderdb"
	"github.com/ltp-node/ltp/orderdb/pgtest"
)

// ownPair is an order database on a leader and a synchronous standby, which the test
// may treat as an incident does. The URL names both, the first leader first.
func ownPair(t *testing.T) (pair *pglocal.Pair, url string) {
	t.Helper()
	t.Parallel()
	pair = pgtest.StartPair(t)
	const applied = "&connect_timeout=20&synchronous_commit=remote_apply" // the standby has it, and shows it
	pgtest.Exec(t, pair.Leader().URL("postgres")+applied, "CREATE DATABASE orders")
	require.NoError(t, open(t, pair.Leader().URL("orders")+applied).Migrate(t.Context()))
	return pair, pair.URL("orders")
}

// startedNow is the URL as a process knows it that has just been started: nothing has
// been learned of those hosts.
func startedNow(t *testing.T, raw string) string {
	t.Helper()
	u, err := url.Parse(raw)
	require.NoError(t, err)
	u.Host += ",127.0.0.1:1"
	return u.String()
}

// persist puts an order again and again until it is acknowledged, as orders do.
func persist(t *testing.T, db orderdb.DB, o ltp.Order) (repeated bool) {
	t.Helper()
	patience, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		ctx, cancel := context.WithTimeout(patience, 5*time.Second)
		stored, err := db.Put(ctx, o, nil)
		cancel()
		if err == nil {
			return stored.Repeated
		}
		require.NotEqual(t, orderdb.Rejected, err.(*orderdb.Error).Class, "%v", err)
		require.NoError(t, patience.Err(), "%v", err)
	}
}

// putBriefly writes an order with a deadline that passes.
func putBriefly(t *testing.T, db orderdb.DB, id string) error {
	t.Helper()
	return briefly(t, func(ctx context.Context) error {
		_, err := db.Put(ctx, ordertest.New(id), nil)
		return err
	})
}

// withdrawBriefly withdraws an order with a deadline that passes.
func withdrawBriefly(t *testing.T, db orderdb.DB, id string) error {
	t.Helper()
	return briefly(t, func(ctx context.Context) error {
		_, err := db.Withdraw(ctx, ordertest.New(id), cancelled, nil)
		return err
	})
}

// briefly gives a write a deadline that passes after the write was sent. On a loaded
// machine a deadline may pass before: the write then gets twice the time.
func briefly(t *testing.T, write func(context.Context) error) error {
	t.Helper()
	for limit := 500 * time.Millisecond; ; limit *= 2 {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		err := write(ctx)
		cancel()
		class, _ := orderdb.ClassOf(err)
		unsent := class == orderdb.Unavailable && errors.Is(err, context.DeadlineExceeded)
		if !unsent || limit > 5*time.Second {
			return err
		}
	}
}

func assertThere(t *testing.T, server *pglocal.Server, ids ...string) {
	t.Helper()
	missing, err := open(t, server.URL("orders")+"&connect_timeout=20").Missing(t.Context(), ids)
	require.NoError(t, err)
	assert.Empty(t, missing)
}

// zombie makes the leader a former one that does not know it, and has an order that
// only it has, "lost".
func zombie(t *testing.T, pair *pglocal.Pair, url string) (former *pglocal.Server) {
	t.Helper()
	former = pair.Leader()
	db := open(t, url)
	assert.False(t, persist(t, db, ordertest.New("before")))
	pair.Standby().Stop()
	assertClass(t, orderdb.Unknown, putBriefly(t, db, "lost"))
	require.NoError(t, former.Freeze())
	require.NoError(t, pair.Standby().Start(t.Context()))
	require.NoError(t, pair.Promote(t.Context()))
	return former
}

func TestAFormerLeaderAcknowledgesNothing(t *testing.T) {
	pair, url := ownPair(t)
	former := zombie(t, pair, url)
	db := open(t, url)
	assert.False(t, persist(t, db, ordertest.New("after")))
	former.Thaw()

	// The obvious statement acknowledges an order that the leader does not have.
	conn := pgtest.Connect(t, former.URL("orders")+"&target_session_attrs=read-write")
	_, err := conn.Exec(t.Context(), `INSERT INTO orders (id, customer, currency, amount_minor, content_hash, body)
		VALUES ('lost', '', '', 0, '', '{}') ON CONFLICT DO NOTHING`)
	require.NoError(t, err)
	var there int
	require.NoError(t, pgtest.Connect(t, pair.Leader().URL("orders")).QueryRow(t.Context(),
		"SELECT count(*) FROM orders WHERE id = 'lost'").Scan(&there))
	require.Zero(t, there)

	alone := open(t, former.URL("orders"))
	for _, id := range []string{"before", "lost", "new"} {
		assertClass(t, orderdb.Unknown, putBriefly(t, alone, id))
		assertClass(t, orderdb.Unknown, withdrawBriefly(t, alone, id))
	}
	assert.False(t, persist(t, db, ordertest.New("lost")), "the leader never had it")
	assert.True(t, persist(t, db, ordertest.New("before")))
	assertThere(t, pair.Leader(), "before", "after", "lost")
}

// TestAProcessThatHasJustStartedKeepsFromTheFormerLeader: although it comes first in
// the URL, says read-write, and nothing was learned of the other. It takes no user of
// high rank.
func TestAProcessThatHasJustStartedKeepsFromTheFormerLeader(t *testing.T) {
	pair, url := ownPair(t)
	plain := plainUser(t, pair.Leader().URL("orders"), startedNow(t, url))
	zombie(t, pair, url).Thaw()

	facts, err := probe(t, openProbe(t, plain))
	require.NoError(t, err)
	assert.Equal(t, pair.Leader().Host(), facts["leader"])
	assert.False(t, persist(t, open(t, plain), ordertest.New("after")))
	assertThere(t, pair.Leader(), "before", "after")
}

// plainUser makes a user that may write orders and nothing else, and returns the URL
// with it.
func plainUser(t *testing.T, server, raw string) string {
	t.Helper()
	u, err := url.Parse(raw)
	require.NoError(t, err)
	password, _ := u.User.Password()
	pgtest.Exec(t, server, fmt.Sprintf("CREATE USER app PASSWORD '%s'", password),
		"GRANT USAGE ON SCHEMA ltp TO app",
		"GRANT SELECT, INSERT ON orders, order_outbox TO app", "GRANT SELECT, INSERT, UPDATE ON order_keys, ltp_probe TO app")
	u.User = url.UserPassword("app", password)
	return u.String()
}

// TestConnectionsToAFormerLeaderAreGivenUpUnused: they were idle while it was frozen
// and answer again. That there is another leader is known from the probe.
func TestConnectionsToAFormerLeaderAreGivenUpUnused(t *testing.T) {
	pair, url := ownPair(t)
	former := pair.Leader()
	db := open(t, url)
	connections(t, db, "before-", 8)
	require.NoError(t, former.Freeze())
	require.NoError(t, pair.Promote(t.Context()))
	facts, err := probe(t, openProbe(t, url))
	require.NoError(t, err)
	assert.Equal(t, "2", facts["timeline"])
	former.Thaw()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err = db.Put(ctx, ordertest.New("after"), nil)
	require.NoError(t, err, "not one write hangs")
	assertThere(t, pair.Leader(), "after", "before-a", "before-h")
}

func TestAfterAChangeOfLeaderAtMostOneWriteFails(t *testing.T) {
	for name, change := range map[string]func(*testing.T, *pglocal.Pair) error{
		"killed": func(t *testing.T, p *pglocal.Pair) error {
			p.Leader().Kill()
			return p.Promote(t.Context())
		},
		"frozen": func(t *testing.T, p *pglocal.Pair) error {
			require.NoError(t, p.Leader().Freeze())
			return p.Promote(t.Context())
		},
		"switched over": func(t *testing.T, p *pglocal.Pair) error { return p.Switchover(t.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			pair, url := ownPair(t)
			db := open(t, url)
			connections(t, db, "before-", 8)
			acknowledged := []string{"before-a", "before-d", "before-h"}
			require.NoError(t, change(t, pair))
			failed := 0
			for i := range 20 {
				id := fmt.Sprint("after-", i)
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				if failed == 0 {
					ctx, cancel = context.WithTimeout(ctx, 500*time.Millisecond) // a frozen server says nothing
				}
				_, err := db.Put(ctx, ordertest.New(id), nil)
				cancel()
				if err != nil {
					failed++
					continue
				}
				acknowledged = append(acknowledged, id)
			}
			assert.LessOrEqual(t, failed, 1)
			assertThere(t, pair.Leader(), acknowledged...)
			tally, err := db.Tally(t.Context(), "")
			require.NoError(t, err)
			assert.Zero(t, tally.Duplicates)
		})
	}
}

// TestAWriteThatWaitsForTheStandbyEndsWithItsContextOnly: nothing is refused, and the
// server's own timeout does not help.
func TestAWriteThatWaitsForTheStandbyEndsWithItsContextOnly(t *testing.T) {
	for name, mend := range map[string]func(*testing.T, *pglocal.Pair) error{
		"the standby returns": func(t *testing.T, p *pglocal.Pair) error { return p.Standby().Start(t.Context()) },
		"the leader no longer waits": func(_ *testing.T, p *pglocal.Pair) error {
			return p.Leader().Set("synchronous_standby_names", "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			pair, url := ownPair(t)
			const timeout = 100 * time.Millisecond
			db := open(t, url+fmt.Sprint("&statement_timeout=", timeout.Milliseconds()))
			assert.False(t, persist(t, db, ordertest.New("before")))
			pair.Standby().Stop()

			watcher := pgtest.Connect(t, pair.Leader().URL("orders"))
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			done := make(chan error, 1)
			go func() {
				_, err := db.Put(ctx, ordertest.New("A1"), nil)
				done <- err
			}()
			var waits time.Duration
			for waits < 3*timeout {
				require.Empty(t, done, "it did not hang")
				require.NoError(t, watcher.QueryRow(t.Context(), `SELECT COALESCE(max(clock_timestamp() - query_start), '0')
					FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE '%order_outbox%'`).Scan(&waits))
			}
			stop()
			assertClass(t, orderdb.Unknown, <-done)
			assertClass(t, orderdb.Unknown, putBriefly(t, db, "A1"))

			require.NoError(t, mend(t, pair))
			assert.True(t, persist(t, db, ordertest.New("A1")))
			assertTally(t, db, 2)
		})
	}
}

// TestAWriteThatHangsIsAcknowledgedWhenTheStandbyReturns: it need not be put again.
func TestAWriteThatHangsIsAcknowledgedWhenTheStandbyReturns(t *testing.T) {
	pair, url := ownPair(t)
	db := open(t, url)
	assert.False(t, persist(t, db, ordertest.New("before")))
	pair.Standby().Stop()
	done := inFlight(t, db, pair.Leader().URL("orders"), "A1", "SyncRep")
	require.NoError(t, pair.Standby().Start(t.Context()))
	require.NoError(t, <-done)
	assertTally(t, db, 2)
}

func TestAProbeFollowsThePromotion(t *testing.T) {
	pair, url := ownPair(t)
	p := openProbe(t, url)
	facts, err := probe(t, p)
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"database": "postgres", "leader": pair.Leader().Host(), "timeline": "1", "write_path": "orders"}, facts)

	pair.Leader().Kill()
	_, err = probe(t, p)
	assertFault(t, err, true, "DB Connection Refused")

	require.NoError(t, pair.Promote(t.Context()))
	facts, err = probe(t, p)
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"database": "postgres", "leader": pair.Leader().Host(), "timeline": "2", "write_path": "orders"}, facts)
}

// TestAClusterOfStandbysHasNoLeader: every server answers, and none takes writes.
func TestAClusterOfStandbysHasNoLeader(t *testing.T) {
	pair, url := ownPair(t)
	require.NoError(t, pair.Leader().Set("default_transaction_read_only", "on"))
	awaitSetting(t, pair.Leader().URL("orders"), "default_transaction_read_only", "on")
	_, err := probe(t, openProbe(t, url))
	assertFault(t, err, true, "DB Has No Leader")
	assertClass(t, orderdb.Unavailable, putBriefly(t, open(t, url), "A1"))
}

func TestAFrozenLeaderThatComesFirstIsPassedOver(t *testing.T) {
	pair, url := ownPair(t)
	require.NoError(t, pair.Leader().Freeze())
	require.NoError(t, pair.Promote(t.Context()))
	assert.False(t, persist(t, open(t, url), ordertest.New("A1")))
	assertThere(t, pair.Leader(), "A1")
}

// TestAServerThatDoesNotShowItsTimelineIsUsed: not everyone may ask everywhere.
func TestAServerThatDoesNotShowItsTimelineIsUsed(t *testing.T) {
	pair, url := ownPair(t)
	pgtest.Exec(t, pair.Leader().URL("orders")+"&synchronous_commit=remote_apply",
		"REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
	db := open(t, plainUser(t, pair.Leader().URL("orders"), url))
	assert.False(t, persist(t, db, ordertest.New("A1")))
	pair.Leader().Kill()
	require.NoError(t, pair.Promote(t.Context()))
	assert.True(t, persist(t, db, ordertest.New("A1")))
}

// TestAnotherClusterIsNoFormerLeader: its timeline is lower, and says nothing.
func TestAnotherClusterIsNoFormerLeader(t *testing.T) {
	pair, _ := ownPair(t)
	pair.Leader().Kill()
	require.NoError(t, pair.Promote(t.Context()))
	leader := pair.Leader().Host()
	raw := pgtest.Shared(t).Database(t)
	require.NoError(t, open(t, raw).Migrate(t.Context()))
	u, err := url.Parse(raw)
	require.NoError(t, err)
	pgtest.Exec(t, pair.Leader().URL("postgres"), "CREATE DATABASE "+strings.TrimPrefix(u.Path, "/"))
	other := u.Host
	u.Host += "," + leader
	facts, err := probe(t, openProbe(t, u.String()))
	require.NoError(t, err)
	assert.Equal(t, other, facts["leader"])
	assert.Equal(t, "1", facts["timeline"])
}
