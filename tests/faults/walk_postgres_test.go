package faults

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/internal/pglocal"
	"github.com/ltp-node/ltp/orderdb/pgtest"
)

// TestRandomFaultsOnPostgresLoseAndRepeatNoOrder is the walk on a Postgres, with the faults that only such a
// database has, and that orders share: privileges that are revoked, a tablespace that is
// full, a lock on the table of orders, a pooler that restarts; an Orientation that somebody
// ends, policies that change, and now and then one order that keeps failing by its own fault. Only that is
// ever parked.
//
// The workers reach the database through a pooler, and the observers do not: what that
// does to orders, no probe sees.
func TestRandomFaultsOnPostgresLoseAndRepeatNoOrder(t *testing.T) {
	t.Parallel()
	takeWalk(t, newWalkOnPostgres)
}

func newWalkOnPostgres(t *testing.T, seed int) *walk {
	t.Helper()
	server := pgtest.Start(t)
	b := newSickbed(t, server)
	r := newRig(t, b.direct)
	b.furnish()
	pooler := server.StartPooler(t, 5)
	w := r.walk(seed, b, pooler.URL("orders"))
	b.pooler = pooler
	return w
}

// sickbed is a Postgres and what is wrong with it.
type sickbed struct {
	t      *testing.T
	admin  *pgx.Conn
	direct string // the URL of its database, for the role app
	pooler *pglocal.Pooler
	small  *tablespace // nil where none can be mounted

	revoked map[string]bool // tables into which app may not insert
	unlock  func()          // lets go of the table of orders; nil while nobody holds it
	full    func()          // gives the room back; nil while there is some
}

// newSickbed makes the database "orders". Who logs in there as postgres, as the pooler does,
// is app from then on: so privileges can be revoked.
func newSickbed(t *testing.T, server *pgtest.Server) *sickbed {
	t.Helper()
	pgtest.Exec(t, server.URL(), "CREATE DATABASE orders", "CREATE ROLE app LOGIN",
		"GRANT CREATE ON DATABASE orders TO app", "ALTER ROLE postgres IN DATABASE orders SET role = 'app'")
	b := &sickbed{t: t, direct: server.Server.URL("orders") + "&connect_timeout=20", revoked: map[string]bool{}}
	b.admin = pgtest.Connect(t, b.direct)
	b.exec("SET ROLE postgres; GRANT ALL ON SCHEMA public TO app")
	b.small = newTablespace(t)
	return b
}

func (b *sickbed) exec(sql string) {
	b.t.Helper()
	_, err := b.admin.PgConn().Exec(context.WithoutCancel(b.t.Context()), sql).ReadAll()
	require.NoError(b.t, err, sql)
}

// furnish has the database refuse an article for good, and fail on poison, and puts the
// orders where there is little room.
func (b *sickbed) furnish() {
	b.t.Helper()
	b.exec(`
CREATE FUNCTION public.refuses() RETURNS trigger AS $$ BEGIN
	IF NEW.body::text LIKE '%` + refusedSKU + `%' THEN RAISE EXCEPTION 'not sold'; END IF;
	IF NEW.id LIKE '%` + poison + `%' THEN RAISE EXCEPTION 'out of range' USING ERRCODE = '22003'; END IF;
	RETURN NEW;
END $$ LANGUAGE plpgsql;
CREATE TRIGGER refuses BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION public.refuses()`)
	if b.small != nil {
		b.exec("CREATE TABLESPACE small LOCATION '" + b.small.location + "'")
		b.exec("ALTER TABLE orders SET TABLESPACE small")
	}
}

// fit reports whether orders can be written.
func (b *sickbed) fit() bool { return len(b.revoked) == 0 && b.unlock == nil }

// doubtful reports whether some orders can be written, and others perhaps not.
func (b *sickbed) doubtful() bool { return b.full != nil }

func (b *sickbed) mend() {
	b.t.Helper()
	for table := range b.revoked {
		b.grant(table)
	}
	if b.unlock != nil {
		b.unlock()
		b.unlock = nil
	}
	if b.full != nil {
		b.full()
		b.full = nil
	}
}

func (b *sickbed) revoke(table string) {
	b.exec("REVOKE INSERT ON " + table + " FROM app")
	b.revoked[table] = true
}

func (b *sickbed) grant(table string) {
	b.exec("GRANT INSERT ON " + table + " TO app")
	delete(b.revoked, table)
}

// lock holds tables as another session would.
func (b *sickbed) lock(tables string) (unlock func()) {
	b.t.Helper()
	conn := pgtest.Connect(b.t, b.direct)
	sql := func(sql string) {
		_, err := conn.PgConn().Exec(context.WithoutCancel(b.t.Context()), sql).ReadAll()
		require.NoError(b.t, err, sql)
	}
	sql("SET ROLE postgres; BEGIN; LOCK TABLE " + tables + " IN SHARE ROW EXCLUSIVE MODE")
	return func() {
		sql("ROLLBACK")
		_ = conn.Close(context.WithoutCancel(b.t.Context()))
	}
}

// restart ends the pooler and every session through it, and starts it again.
func (b *sickbed) restart() {
	b.t.Helper()
	b.pooler.Stop()
	require.NoError(b.t, b.pooler.Start(b.t.Context()))
}

// ofPostgres are the steps that need this database.
func (w *walk) ofPostgres(fault, repair func(name string, do func())) {
	b := w.pg
	for range 2 { // what this walk is about comes more often
		for _, table := range []string{"orders", "order_outbox"} {
			if b.revoked[table] {
				repair("app may insert into "+table+" again", func() { b.grant(table) })
			} else {
				fault("app may not insert into "+table, func() { b.revoke(table) })
			}
		}
		if b.unlock == nil {
			fault("somebody holds a lock on the orders", func() { b.unlock = b.lock("orders") })
		} else {
			repair("the lock on the orders goes", func() { b.unlock(); b.unlock = nil })
		}
		switch {
		case b.small == nil:
		case b.full == nil:
			fault("the tablespace of the orders is full", func() { b.full = b.small.fill() })
		default:
			repair("there is room in the tablespace", func() { b.full(); b.full = nil })
		}
	}
	fault("the pooler restarts", b.restart)
	if w.working("worker") == 0 { // nobody carries it out
		return
	}
	for range 2 {
		fault("somebody ends the Orientation", w.endOrientation)
	}
	fault("the policy changes", w.changePolicy)
}

// endOrientation has the workflow ended by force. A process that runs starts it again, at
// the latest after a minute.
func (w *walk) endOrientation() {
	w.T.Helper()
	before := w.seen.Orientation(ltp.DefaultComponent)
	require.NoError(w.T, w.Client.TerminateWorkflow(w.rig.Ctx, ltp.OrientationWorkflowID(ltp.DefaultComponent), "", "a step"))
	w.UntilFits(w.seen, "a later epoch", func(now board.Reading) bool { return !now.Unreadable && now.Epoch > before.Epoch })
}

func (w *walk) changePolicy() {
	w.T.Helper()
	dwell := time.Duration(100+w.random.IntN(500)) * time.Millisecond
	require.NoError(w.T, w.Operator(ltp.PolicyUpdate, ltp.PolicyChange{Dwell: &dwell, By: "ann", Why: "a step"}))
}

// poisoned makes one of the orders, every other time, one that keeps failing by its own fault. It has no
// ordering key: others would wait for it.
func (w *walk) poisoned(all []wish) []wish {
	if w.random.IntN(2) == 0 {
		return all
	}
	i := w.random.IntN(len(all))
	id := all[i].id + "-" + poison
	var o map[string]any
	require.NoError(w.T, json.Unmarshal([]byte(all[i].body), &o))
	o["id"] = id
	delete(o, "ordering_key")
	body, err := json.Marshal(o)
	require.NoError(w.T, err)
	all[i].body = string(body)
	all[i].id = id
	return all
}

// tablespace is a small disk that a Postgres can use, which runs as another user.
type tablespace struct {
	*disk
	location string
}

// newTablespace mounts one of a few megabytes, or returns nil where that cannot be.
func newTablespace(t *testing.T) *tablespace {
	t.Helper()
	owner, err := user.Lookup("postgres")
	if err != nil || runtime.GOOS != "linux" || os.Getuid() != 0 || exec.Command("unshare", "-m", "true").Run() != nil {
		t.Log("no small file system can be mounted here: no tablespace is filled")
		return nil
	}
	dir, err := os.MkdirTemp("", "small-") // in a directory of the test's own the other user may not look
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o711))
	d := &disk{t: t, dir: dir}
	// Postgres reaches the disk through its keeper, which therefore is of the same user.
	const script = `mount -t tmpfs -o size=4m,mode=700,uid="$2",gid="$3" ltp "$1" && echo mounted &&
		exec setpriv --reuid="$2" --regid="$3" --clear-groups --pdeathsig KILL sleep infinity`
	d.keeper = launch(t, os.Environ(), "unshare", "-m", "sh", "-c", script, "keeper", d.dir, owner.Uid, owner.Gid)
	d.keeper.Says(&d.keeper.Stdout, "mounted")
	d.seen = filepath.Join("/proc", strconv.Itoa(d.keeper.Cmd.Process.Pid), "root", d.dir)
	status := filepath.Join("/proc", strconv.Itoa(d.keeper.Cmd.Process.Pid), "comm")
	require.Eventually(t, func() bool {
		name, err := os.ReadFile(status)
		return err == nil && strings.TrimSpace(string(name)) == "sleep"
	}, patience, look)
	return &tablespace{disk: d, location: d.seen}
}
