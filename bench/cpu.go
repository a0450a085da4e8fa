package main

import (
	"bytes"
	"context"
	"os"
	"strconv"
	"time"
)

// cpu is the time that both processes have spent on processors.
type cpu struct{ server, here time.Duration }

// tick is the unit of /proc/PID/stat: USER_HZ, which is 100 wherever Go runs.
const tick = 10 * time.Millisecond

// cpu reads what the server and this process have spent. Where there is no /proc it is
// nothing.
func (r *rig) cpu() cpu {
	return cpu{server: spent(strconv.Itoa(r.server.PID())), here: spent("self")}
}

func spent(pid string) time.Duration {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return 0
	}
	// pid (name) state …: user and system time are fields 14 and 15.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(string(fields[11]), 10, 64)
	system, _ := strconv.ParseInt(string(fields[12]), 10, 64)
	return time.Duration(user+system) * tick
}

// since is what was spent after before, in milliseconds for each of n orders.
func (c cpu) since(before cpu, n int) (server, here float64) {
	per := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 / float64(n) }
	return per(c.server - before.server), per(c.here - before.here)
}

// settle waits until the server has nothing more to do, so that what one side leaves
// behind is not measured as the other's.
func (r *rig) settle(ctx context.Context) error {
	const look, calm, longest = 250 * time.Millisecond, 50 * time.Millisecond, 30 * time.Second
	begun := time.Now()
	for before := r.cpu().server; time.Since(begun) < longest; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(look):
		}
		now := r.cpu().server
		if now-before <= calm {
			return nil
		}
		before = now
	}
	return nil // it is busy with something else
}

// perSecond says a rate.
func perSecond(n int, d time.Duration) float64 { return float64(n) / d.Seconds() }
