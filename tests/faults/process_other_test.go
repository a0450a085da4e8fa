//go:build !linux

package faults

import "syscall"

// withTest cannot do here what it does on Linux: a test that is killed leaves its
// processes behind.
func withTest() *syscall.SysProcAttr { return nil }
