package child

import "syscall"

// withTest ends a process when the test's process is killed, frozen or not.
func withTest() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
