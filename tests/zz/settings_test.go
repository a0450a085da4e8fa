package faults

import (
	"os"
	"strconv"
)

// setting is a number of the environment, or the usual one.
func setting(name string, usual int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return usual
}
