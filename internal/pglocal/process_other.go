//go:build unix && !linux

package pglocal

import "syscall"

func attributes(owner *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: owner, Setpgid: true}
}

// children is not known here: only the first process of a server can be frozen.
func children(int) []int { return nil }
