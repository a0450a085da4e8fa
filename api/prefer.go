package api

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// preference is how long a client wants its answer to wait, and the
// Preference-Applied that says so; empty when nothing was asked.
type preference struct {
	wait    time.Duration
	applied string
}

// prefers reads the Prefer headers. What is unknown or invalid is ignored, as RFC
// 7240 asks.
func prefers(h http.Header, otherwise time.Duration) preference {
	asked := preferences(h)
	seconds, wait := delaySeconds(asked["wait"])
	_, async := asked["respond-async"]
	switch {
	case wait && async:
		return preference{time.Duration(seconds) * time.Second, fmt.Sprintf("respond-async, wait=%d", seconds)}
	case wait:
		return preference{time.Duration(seconds) * time.Second, fmt.Sprintf("wait=%d", seconds)}
	case async:
		return preference{0, "respond-async"}
	}
	return preference{otherwise, ""}
}

// delaySeconds reads a number of seconds, and cuts it to what is granted.
func delaySeconds(s string) (int, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	const most = int(MaxWait / time.Second)
	n, err := strconv.Atoi(s)
	if err != nil { // only for its length
		return most, true
	}
	return min(n, most), true
}

// preferences are the values of all preferences by name, in small letters. Of a
// preference that is stated twice, the first counts.
func preferences(h http.Header) map[string]string {
	found := map[string]string{}
	for _, header := range h.Values("Prefer") {
		for _, one := range splitUnquoted(header, ',') {
			stated := splitUnquoted(one, ';')[0] // parameters follow; none is known
			name, value, _ := strings.Cut(stated, "=")
			name = strings.ToLower(strings.TrimSpace(name))
			if _, again := found[name]; again || name == "" {
				continue
			}
			value = strings.TrimSpace(value)
			if unquoted, ok := unquote(value); ok {
				value = unquoted
			}
			found[name] = value
		}
	}
	return found
}

// splitUnquoted splits s at every separator that is not in a quoted string.
func splitUnquoted(s string, separator byte) []string {
	var parts []string
	quoted, begin := false, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == separator && !quoted:
			parts, begin = append(parts, s[begin:i]), i+1
		}
	}
	return append(parts, s[begin:])
}

// unquote reads a quoted string, and returns false for what is not exactly one.
func unquote(s string) (string, bool) {
	if len(s) < 2 || s[0] != '"' {
		return "", false
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), i == len(s)-1
		case '\\':
			if i++; i == len(s) {
				return "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", false
}
