package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// documents are what people type from.
func documents(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("../../docs/*.md")
	require.NoError(t, err)
	more, err := filepath.Glob("../../examples/*/README.md")
	require.NoError(t, err)
	design, err := filepath.Glob("../../docs/design/*.md")
	require.NoError(t, err)
	more = append(more, design...)
	all := map[string]string{}
	for _, path := range append(append(paths, more...), "../../README.md", "../../ARCHITECTURE.md", "../../CONTRIBUTING.md", "../../deploy/alerts.yml") {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		all[filepath.Base(filepath.Dir(path))+"/"+filepath.Base(path)] = string(text)
	}
	return all
}

var (
	// inline is a command within a sentence, and shown one at the beginning of a line of
	// a block, behind variables and a prompt.
	inline = regexp.MustCompile("`ltp ([^`]+)`")
	shown  = regexp.MustCompile(`(?m)^(?:\$ |\(umask 077; |[A-Z_]+=\S+ )*ltp (.+)$`)
	// aside is what is no argument: a comment, another command, a redirection, a shell's quotes.
	aside = regexp.MustCompile(`\s+#.*|\s*[|;>].*|\\$|'[^']*'|"[^"]*"`)
	flag  = regexp.MustCompile(`--[a-z][a-z-]*`)
)

// TestTheDocumentsNameCommandsAndFlagsThatThereAre.
func TestTheDocumentsNameCommandsAndFlagsThatThereAre(t *testing.T) {
	checked := 0
	for name, text := range documents(t) {
		for _, found := range append(inline.FindAllStringSubmatch(text, -1), shown.FindAllStringSubmatch(text, -1)...) {
			if strings.HasPrefix(found[1], "inspect trace ") { // LTP's own tool of the same name
				continue
			}
			line := aside.ReplaceAllString(found[1], "")
			command, _, err := root().Find(strings.Fields(line))
			if !assert.NoError(t, err, "%s: ltp %s", name, found[1]) {
				continue
			}
			word := strings.Fields(line)
			if command.Parent() == nil && len(word) > 0 && !strings.HasPrefix(word[0], "-") {
				t.Errorf("%s: there is no command %q: ltp %s", name, word[0], found[1])
			}
			for _, f := range flag.FindAllString(line, -1) {
				assert.NotNil(t, lookup(command, strings.TrimPrefix(f, "--")), "%s: %s is no flag of ltp %s", name, f, found[1])
			}
			checked++
		}
	}
	assert.Greater(t, checked, 100)
}

// TestTheDocumentsAreFinished: nothing is left to be filled in.
func TestTheDocumentsAreFinished(t *testing.T) {
	for name, text := range documents(t) {
		for _, left := range []string{"@@", "TODO", "VAULTNOTE", "<<<<", ">>>>"} {
			assert.NotContains(t, text, left, name)
		}
	}
}

var (
	linked  = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	fenced  = regexp.MustCompile("(?s)```.*?```")
	noSlug  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchors are those of the headings of a document, as GitHub makes them.
func anchors(text string) map[string]bool {
	there := map[string]bool{}
	for _, h := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		there[strings.ReplaceAll(noSlug.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-")] = true
	}
	return there
}

// TestTheDocumentsLinkToWhatIsThere: files, folders and headings.
func TestTheDocumentsLinkToWhatIsThere(t *testing.T) {
	checked := 0
	for name, text := range documents(t) {
		dir := map[string]string{"..": "../..", "docs": "../../docs", "design": "../../docs/design", "deploy": "../../deploy"}[filepath.Dir(name)]
		if dir == "" {
			dir = filepath.Join("../../examples", filepath.Dir(name))
		}
		for _, found := range linked.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
			if strings.Contains(found[1], "://") {
				continue
			}
			path, anchor, _ := strings.Cut(found[1], "#")
			target := text
			if path != "" {
				info, err := os.Stat(filepath.Join(dir, path))
				if !assert.NoError(t, err, "%s links to %s", name, found[1]) || info.IsDir() {
					continue
				}
				there, err := os.ReadFile(filepath.Join(dir, path))
				require.NoError(t, err)
				target = string(there)
			}
			assert.True(t, anchor == "" || anchors(target)[anchor], "%s links to %s, and there is no such heading", name, found[1])
			checked++
		}
	}
	assert.Greater(t, checked, 50)
}

// lookup is a flag of a command, also one of all commands.
func lookup(c *cobra.Command, name string) *pflag.Flag {
	switch name {
	case "help", "version":
		return &pflag.Flag{}
	}
	if f := c.Flags().Lookup(name); f != nil {
		return f
	}
	return c.InheritedFlags().Lookup(name)
}

var metric = regexp.MustCompile(`\bltp_[a-z_]+\b`)

// TestTheDocumentsNameMetricsThatThereAre, and tables of ours.
func TestTheDocumentsNameMetricsThatThereAre(t *testing.T) {
	source, err := filepath.Glob("../../metrics/*.go")
	require.NoError(t, err)
	more, err := filepath.Glob("../../orderdb/migrations/*/*")
	require.NoError(t, err)
	more2, err := filepath.Glob("../../orderdb/*.go")
	require.NoError(t, err)
	there := map[string]bool{}
	for _, path := range append(append(source, more...), more2...) {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, name := range metric.FindAllString(string(text), -1) {
			there[name] = true
		}
	}
	for name, text := range documents(t) {
		for _, m := range metric.FindAllString(text, -1) {
			m = strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(m, "_bucket"), "_count"), "_sum")
			assert.True(t, there[m], "%s: there is no metric or table %s", name, m)
		}
	}
}
