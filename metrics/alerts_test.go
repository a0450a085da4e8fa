package metrics

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ltp-node/ltp"
)

// TestAlertsFireAsTheirTestsSay has promtool play the series of deploy/alerts_test.yml.
// LTP_PROMTOOL names a promtool that is not in PATH; without one the test is skipped.
func TestAlertsFireAsTheirTestsSay(t *testing.T) {
	promtool := os.Getenv("LTP_PROMTOOL")
	if promtool == "" {
		var err error
		if promtool, err = exec.LookPath("promtool"); err != nil {
			t.Skip("no promtool: install Prometheus, or set LTP_PROMTOOL")
		}
	}
	for _, args := range [][]string{{"check", "rules", "alerts.yml"}, {"test", "rules", "alerts_test.yml"}} {
		cmd := exec.CommandContext(t.Context(), promtool, args...)
		cmd.Dir = filepath.Join("..", "deploy")
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, said)
		}
	}
}

// TestAlertsNameMetricsThatThereAre: a metric that is renamed takes its alerts with it.
func TestAlertsNameMetricsThatThereAre(t *testing.T) {
	rules, err := os.ReadFile(filepath.Join("..", "deploy", "alerts.yml"))
	if err != nil {
		t.Fatal(err)
	}
	m := New(Config{Board: observed(), Orders: &store{}, Stale: func() map[string]error { return map[string]error{"api-keys": nil} }})
	m.Replaying("orders-db", ltp.ReleaseReport{})
	there := scrape(t, m)
	named := 0
	for _, name := range regexp.MustCompile(`ltp_[a-z_]+`).FindAllString(string(rules), -1) {
		if named++; !strings.Contains(there, "\n"+name+"{") && !strings.Contains(there, "\n"+name+" ") {
			t.Errorf("there is no metric %s", name)
		}
	}
	if named < 10 {
		t.Errorf("%d metrics are named", named)
	}
}
