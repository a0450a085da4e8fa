//go:build !linux

package child

import "syscall"

// withTest cannot do here what it does on Linux: a test that is killed leaves its
// processes behind.
func withTest() *syscall.SysProcAttr { return nil }
