package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestWordsThatAreNoCommandAreRefused: a group of commands says which it has, and a flag
// that nobody knows where the flags are listed.
func TestWordsThatAreNoCommandAreRefused(t *testing.T) {
	for args, want := range map[string]string{
		"orders lst":             "unknown command ltp orders lst: it is one of cancel, erase, expedite, get, list",
		"orientation hlod":       "unknown command ltp orientation hlod: it is one of get, hold",
		"replay statsu --x":      "unknown flag: --x",
		"trace":                  "",
		"orders list --florid x": "unknown flag: --florid: ltp orders list --help lists the flags",
	} {
		_, _, err := run(t, "", strings.Fields(args)...)
		if want == "" {
			assert.NoError(t, err, args)
		} else {
			assert.ErrorContains(t, err, want, args)
		}
	}
}
