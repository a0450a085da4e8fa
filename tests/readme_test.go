package tests

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/orderdb/pgtest"
	"github.com/ltp-node/ltp/tests/child"
	"github.com/ltp-node/ltp/tests/harness"
)

// section is a chapter of a document, and what its shell blocks have a reader type.
type section struct {
	title      string
	statements []string
}

// sections are those of a document that have shell blocks. A statement goes on over lines
// for as long as the shell asks for more.
func sections(t *testing.T, document string) (all []section) {
	t.Helper()
	for _, chapter := range strings.Split("\n"+document, "\n## ")[1:] {
		title, text, _ := strings.Cut(chapter, "\n")
		s := section{title: title}
		for _, block := range shellBlocks(text) {
			var statement string
			for line := range strings.Lines(block) {
				statement += line
				if exec.CommandContext(t.Context(), "bash", "-nc", statement).Run() == nil {
					if statement = strings.TrimSpace(statement); statement != "" {
						s.statements = append(s.statements, statement)
					}
					statement = ""
				}
			}
			require.Emptyf(t, statement, "%s: a statement that does not end", title)
		}
		if len(s.statements) > 0 {
			all = append(all, s)
		}
	}
	return all
}

// reader follows a document in a directory of their own, on free ports.
type reader struct {
	t          *testing.T
	dir        string
	env        []string
	api, admin string
	parts      []*process
	said       map[string]string // by statement
}

// stays matches the statements that run until somebody ends them.
var stays = regexp.MustCompile(`^ltp (dev|worker|api|observe)\b`)

// types does what the statement says, which must go well.
func (r *reader) types(statement string) {
	r.t.Helper()
	statement = strings.ReplaceAll(statement, "127.0.0.1:8080", r.api)
	if part := stays.FindStringSubmatch(statement); part != nil && !strings.Contains(statement, "--once") {
		line, _, _ := strings.Cut(statement, " #")
		ready := map[string]string{"dev": " --api 127.0.0.1:0 --admin 127.0.0.1:0 --ui-port 0 --dwell 300ms", "api": " --admin ''"}[part[1]]
		p := child.Start{Env: r.env, Patience: patience}.Run(r.t, "bash", "-c", "cd "+r.dir+" && exec "+line+ready)
		r.parts = append(r.parts, p)
		if part[1] != "dev" {
			p.Says(&p.Stderr, "runs on Temporal namespace|Order API: http")
			return
		}
		r.api = strings.TrimPrefix(p.Says(&p.Stdout, `Order API\s+(http://\S+)`)[1], "http://")
		r.admin = p.Says(&p.Stdout, `Operators\s+(http://\S+)`)[1]
		p.Says(&p.Stdout, `orientation release( --state-dir .+)? --why`)
		r.until(ltp.Stable)
		return
	}
	cmd := exec.CommandContext(r.t.Context(), "bash", "-euo", "pipefail", "-c", statement)
	cmd.Dir, cmd.Env = r.dir, r.env
	said, err := cmd.CombinedOutput()
	require.NoErrorf(r.t, err, "%s\n%s", statement, said)
	r.said[statement] = string(said)
	switch { // as a person does, who takes a moment to type the next line
	case strings.HasPrefix(statement, "ltp orientation hold"):
		r.until(ltp.Unstable)
	case strings.HasPrefix(statement, "ltp orientation release"):
		r.until(ltp.Stable)
	}
}

func (r *reader) until(s ltp.State) {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		_, body := look(r.t, r.admin+"/orientation/"+ltp.DefaultComponent)
		return body["state"] == string(s)
	}, patience, 20*time.Millisecond, "the node says %s", s)
}

// ends ends every part that still runs.
func (r *reader) ends() {
	for _, p := range r.parts {
		p.Interrupt()
	}
	r.parts = nil
}

// answer is what the statement said that holds these words.
func (r *reader) answer(words string) string {
	r.t.Helper()
	for statement, said := range r.said {
		if strings.Contains(statement, words) {
			return said
		}
	}
	require.Failf(r.t, "nobody was asked to type it", "%s", words)
	return ""
}

// TestTheREADMEIsWhatOneTypes: every command of its shell blocks, as it stands there and in
// that order, does what the text says. Ports, Temporal and Postgres are the test's own.
func TestTheREADMEIsWhatOneTypes(t *testing.T) {
	for _, program := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(program); err != nil && os.Getenv("CI") == "" {
			t.Skip(err)
		}
	}
	t.Parallel()
	document, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	chapters := sections(t, string(document))
	require.Len(t, chapters, 5)

	dir := t.TempDir()
	examples, err := filepath.Abs("../examples")
	require.NoError(t, err)
	require.NoError(t, os.Symlink(examples, filepath.Join(dir, "examples")))
	path := "PATH=" + filepath.Dir(harness.Binary(t)) + string(filepath.ListSeparator) + os.Getenv("PATH")
	r := &reader{t: t, dir: dir, env: child.Environment(t, path), said: map[string]string{}}

	follow := func(s section) {
		for _, statement := range s.statements {
			switch {
			case strings.HasPrefix(statement, "go install "):
				_, err := os.Stat(filepath.Join("..", strings.TrimPrefix(statement, "go install ")))
				require.NoError(t, err, "what is installed is there")
			case strings.HasPrefix(statement, "ltp dev"):
				r.ends()
				fallthrough
			default:
				r.types(statement)
			}
		}
	}
	byName := map[string]section{}
	for _, c := range chapters {
		byName[regexp.MustCompile(`^\d+\. `).ReplaceAllString(c.title, "")] = c
	}

	follow(byName["Try it"])
	assert.Contains(t, r.answer(`"A1"`), "201 Created")
	assert.Contains(t, r.answer(`"A1"`), "Order Confirmed")
	assert.Contains(t, r.answer(`"A2"`), "202 Accepted")
	assert.Contains(t, r.answer(`"A2"`), "Order Received - Pending Confirmation")
	assert.Contains(t, r.answer("inspect A2"), "DEFER")
	assert.Contains(t, r.answer("--state DEFERRED"), "A2")

	follow(byName["Your own order"])
	assert.Contains(t, r.answer(`"A3"`), "201 Created")
	assert.Contains(t, r.answer("orders/A3"), "EXECUTED")
	response, body := do(t, http.MethodGet, "http://"+r.api+"/orders/A2", "", nil)
	assert.Equal(t, http.StatusOK, response.StatusCode)
	assert.Equal(t, "EXECUTED", body["state"], "the order that was held")

	follow(byName["The on-call engineer's hour"])
	assert.Contains(t, r.answer("orientation get"), "STABLE")
	follow(byName["Proof"])
	assert.Regexp(t, `(?m)^VERDICT|HELD`, r.answer("ltp audit"))
	assert.NotContains(t, r.answer("ltp audit"), "NOT CHECKED")
	assert.FileExists(t, filepath.Join(dir, "report.html"))
	r.ends()

	// On a Temporal and a Postgres of their own.
	url := pgtest.Start(t).Database(t)
	own := newRigOn(t, url)
	there := &reader{t: t, dir: dir, env: r.env, api: "127.0.0.1:0", said: map[string]string{}}
	for _, statement := range byName["Your own database"].statements {
		if name, value, ok := strings.Cut(strings.TrimPrefix(statement, "export "), "="); ok && strings.HasPrefix(statement, "export ") {
			there.env = append(there.env, name+"="+strings.ReplaceAll(value, "temporal.example:7233", own.Server.Address()), "TEMPORAL_NAMESPACE="+own.Server.Namespace())
			continue
		}
		there.types(regexp.MustCompile(`postgres://\w+@db1,db2/orders`).ReplaceAllString(statement, "'"+url+"'"))
	}
	own.Until(own.Watch(), ltp.Stable)
	there.ends()
}

// TestTheREADMENamesTargetsThatThereAre of the Makefile.
func TestTheREADMENamesTargetsThatThereAre(t *testing.T) {
	document, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	makefile, err := os.ReadFile("../Makefile")
	require.NoError(t, err)
	named := regexp.MustCompile("(?m)(?:^|`)make ([a-z]+)").FindAllStringSubmatch(string(document), -1)
	require.NotEmpty(t, named)
	for _, target := range named {
		assert.Regexp(t, `(?m)^`+target[1]+`:`, string(makefile))
	}
}
