package report

import (
	"bytes"
	_ "embed"
	"html/template"
	"io"
	"strings"

	"github.com/ltp-node/ltp/audit"
	"github.com/ltp-node/ltp/internal/words"
)

//go:embed report.html.tmpl
var page string

//go:embed report.css
var style string

var pages = template.Must(template.New("report").Funcs(template.FuncMap{
	"clean": words.Clean,
	"style": func() template.CSS { return template.CSS(style) },
	"mark":  func(v audit.Verdict) string { return v.Mark() },
	"class": func(v audit.Verdict) string { return strings.ToLower(string(v)) },
	// A column of numbers is one of the last.
	"number": func(t table, column int) bool { return column >= len(t.Head)-t.Right },
	"more":   func(c audit.Claim) int { return c.Broken - len(c.Breaches) },
}).Parse(page))

// WriteHTML writes the report as one page that needs nothing else: no script, no font,
// no network.
func WriteHTML(w io.Writer, r Report) error {
	var b bytes.Buffer
	if err := pages.Execute(&b, r.document()); err != nil {
		return err
	}
	_, err := w.Write(b.Bytes())
	return err
}
