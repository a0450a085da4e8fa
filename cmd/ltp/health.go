package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// healthPatience is how long a process has to answer. The health checks of
// docker-compose.yml give the command longer than that.
const healthPatience = 3 * time.Second

// healthCommand asks a process how it is, for health checks in containers that hold
// nothing but this program.
func (a *app) healthCommand() *cobra.Command {
	var cert, key string
	var as format
	cmd := &cobra.Command{
		Use:   "health [URL]",
		Short: "Ask a running part how it is: for health checks of containers",
		Long: `Ask /readyz or /healthz of a running part, and print what it says as one sentence.
The default is http://` + defaultAdmin + `/readyz, where an order API listens for operators; a
URL without a path means /readyz.

With https the certificate of the process is not verified: it is asked on its own
loopback, under a name that the certificate does not have, and gets nothing secret. Where
it lets in only clients with certificates, give one by --tls-cert and --tls-key.

The exit status is 0 if the answer is 200, and 1 otherwise.`,
		Example: "  ltp health\n  ltp health http://127.0.0.1:9464/healthz",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			at, err := healthURL(args)
			if err != nil {
				return err
			}
			settings := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}
			if cert != "" || key != "" {
				shown, err := tls.LoadX509KeyPair(cert, key)
				if err != nil {
					return fmt.Errorf("--tls-cert and --tls-key: %w", err)
				}
				settings.Certificates = []tls.Certificate{shown}
			}
			says, err := askHealth(cmd.Context(), at, settings)
			if err != nil {
				return err
			}
			answer := struct {
				URL  string `json:"url"`
				Says string `json:"says"`
			}{at, says}
			return as.show(cmd, answer, func(w io.Writer) { fmt.Fprintln(w, says) })
		},
	}
	as.flag(cmd, "what was asked and the answer, as one object")
	cmd.Flags().StringVar(&cert, "tls-cert", "", "a certificate to show, in PEM")
	cmd.Flags().StringVar(&key, "tls-key", "", "the key of --tls-cert, in PEM")
	return cmd
}

// healthURL is what is asked.
func healthURL(args []string) (string, error) {
	if len(args) == 0 {
		return "http://" + defaultAdmin + "/readyz", nil
	}
	u, err := url.Parse(args[0])
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", fmt.Errorf("%q is no URL of a listener: give one such as http://%s/readyz", args[0], defaultAdmin)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/readyz"
	}
	return u.String(), nil
}

// askHealth returns what the process says of itself where it answers 200; everything else
// is an error. Redirects are not followed: none of ours answers with one.
func askHealth(ctx context.Context, at string, settings *tls.Config) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, healthPatience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return "", err
	}
	c := http.Client{
		// No proxy: what the environment names is not between a process and itself.
		Transport:     &http.Transport{TLSClientConfig: settings, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	answer, err := c.Do(request)
	if errors.Is(err, context.DeadlineExceeded) {
		return "", fmt.Errorf("%s does not answer within %s", at, healthPatience)
	}
	if err != nil {
		return "", fmt.Errorf("%s cannot be asked: %w", at, errors.Unwrap(err))
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(answer.Body, 4096))
	says := strings.Join(strings.FieldsFunc(string(body), func(r rune) bool { return r == '\n' }), "; ")
	if answer.StatusCode != http.StatusOK {
		var problem struct{ Detail string }
		_ = json.Unmarshal(body, &problem)
		return "", fmt.Errorf("%s answers %d: %s", at, answer.StatusCode, cmp.Or(problem.Detail, says, "nothing"))
	}
	return cmp.Or(says, "ok"), nil
}
