package pglocal_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp/internal/pglocal"
	"github.com/ltp-node/ltp/orderdb/pgtest"
)

// abandoned has this program start a pair with a frozen leader, say so, and wait to be
// killed.
const abandoned = "LTP_TEST_ABANDON_PAIR"

func TestMain(m *testing.M) {
	if os.Getenv(abandoned) != "" {
		if err := abandon(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	os.Exit(pgtest.Main(m))
}

func abandon() error {
	pair, err := pglocal.StartPair(context.Background(), pglocal.Options{NoSync: true})
	if err != nil {
		return err
	}
	if err := pair.Leader().Freeze(); err != nil {
		return err
	}
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	return pgtest.Connect(t, url)
}

func query[T any](t *testing.T, conn *pgx.Conn, sql string) (v T) {
	t.Helper()
	require.NoError(t, conn.QueryRow(t.Context(), sql).Scan(&v))
	return v
}

func TestAPairSurvivesItsLeader(t *testing.T) {
	for name, loss := range map[string]func(*testing.T, *pglocal.Pair){
		"killed": func(_ *testing.T, p *pglocal.Pair) { p.Leader().Kill() },
		"frozen": func(t *testing.T, p *pglocal.Pair) { require.NoError(t, p.Leader().Freeze()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pair := pgtest.StartPair(t)
			first := pair.Leader()
			require.NoError(t, first.Exec(t.Context(), "CREATE TABLE x (n int)", "INSERT INTO x VALUES (1)"))
			loss(t, pair)
			require.NoError(t, pair.Promote(t.Context()))
			assert.Same(t, first, pair.Standby())

			conn := connect(t, pair.URL("postgres")+"&target_session_attrs=read-write&connect_timeout=1")
			assert.Equal(t, 1, query[int](t, conn, "SELECT count(*)::int FROM x"), "what was acknowledged is there")
			_, err := conn.Exec(t.Context(), "INSERT INTO x VALUES (2)")
			require.NoError(t, err)

			require.NoError(t, pair.Rejoin(t.Context()))
			standby := connect(t, first.URL("postgres"))
			assert.True(t, query[bool](t, standby, "SELECT pg_is_in_recovery()"))
			require.NoError(t, pair.Switchover(t.Context()), "and back")
			assert.Same(t, first, pair.Leader())
			assert.Equal(t, 2, query[int](t, connect(t, first.URL("postgres")), "SELECT count(*)::int FROM x"))
		})
	}
}

func TestACommitWaitsForTheStandby(t *testing.T) {
	t.Parallel()
	pair := pgtest.StartPair(t)
	pair.Standby().Stop()
	require.NoError(t, pair.Leader().Exec(t.Context(), "SELECT 1"), "it reads")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	assert.ErrorIs(t, pair.Leader().Exec(ctx, "CREATE TABLE x (n int)"), context.DeadlineExceeded)
	require.NoError(t, pair.Standby().Start(t.Context()))
	require.NoError(t, pair.Leader().Exec(t.Context(), "CREATE TABLE y (n int)"))
}

func TestAPairThatIsPartedFromItsLeader(t *testing.T) {
	t.Parallel()
	pair := pgtest.StartPair(t, func(o *pglocal.Options) { o.Links = true })
	before := connect(t, pair.URL("postgres"))
	pair.Leader().Link().Hang()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := before.Exec(ctx, "CREATE TABLE x (n int)")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, pair.Promote(t.Context()))
	after := connect(t, pair.URL("postgres")+"&target_session_attrs=read-write&connect_timeout=1")
	_, err = after.Exec(t.Context(), "CREATE TABLE x (n int)")
	require.NoError(t, err, "the parted leader never got that far")
	pair.Standby().Link().Mend()
	require.NoError(t, pair.Rejoin(t.Context()))
}

// TestNothingIsLeftBehind: this program is killed, which nothing can be done about,
// while one of its servers is frozen.
func TestNothingIsLeftBehind(t *testing.T) {
	pgtest.Shared(t) // skips where there is no Postgres
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o777))
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), abandoned+"=1", "TMPDIR="+dir)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	defer in.Close()
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	ready := make([]byte, 5)
	_, err = io.ReadFull(out, ready)
	require.NoError(t, err)
	require.Len(t, postmasters(t, dir), 2)
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	assert.Eventually(t, func() bool { return len(postmasters(t, dir)) == 0 }, time.Minute, 20*time.Millisecond)
}

// postmasters are the processes whose command line names a directory.
func postmasters(t *testing.T, dir string) (found []string) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	for _, path := range all {
		line, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) || err != nil {
			continue
		}
		if strings.Contains(string(line), dir) && strings.Contains(string(line), "postgres\x00-D") {
			found = append(found, path)
		}
	}
	return found
}
