package tests

import "syscall"

// withTest ends a process when the test's process is killed.
func withTest() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
