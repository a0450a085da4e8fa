package reach

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// open is a connection whose other end may send.
func open(t *testing.T, r *Reach) (c *conn, other net.Conn) {
	t.Helper()
	near, far := net.Pipe()
	c = r.watched(near)
	t.Cleanup(func() { _ = c.Close(); _ = far.Close() })
	return c, far
}

func (r *Reach) has(c *conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, has := r.conns[c]
	return has
}

// TestSilentConnectionsAreEndedMoreAndMoreSeldom: where new ones are silent, too, it is no
// connection that hangs but Temporal, and ending connections adds to its load.
func TestSilentConnectionsAreEndedMoreAndMoreSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New()
		c, _ := open(t, r)
		r.noteAttempt()
		var ended []int // after so many seconds
		for second := range 600 {
			time.Sleep(time.Second)
			synctest.Wait()
			if !r.has(c) {
				ended = append(ended, second+1)
				c, _ = open(t, r)
			}
		}
		assert.Equal(t, 3, ended[0], "a connection that hangs has an end soon")
		assert.Greater(t, len(ended), 5)
		assert.Less(t, len(ended), 15)
		r.mu.Lock()
		r.unanswered = time.Time{} // answered: nothing is left to look at
		r.mu.Unlock()
		time.Sleep(2 * silentAtMost)
	})
}

// TestALookThatComesLateEndsNothing: the process was frozen, and what came meanwhile is not
// read yet. The next look does.
func TestALookThatComesLateEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New()
		c, _ := open(t, r)
		r.noteAttempt()
		r.mu.Lock()
		r.due = r.due.Add(-time.Second) // as if it had been due a second before
		r.mu.Unlock()
		time.Sleep(silentAfter)
		synctest.Wait()
		assert.True(t, r.has(c))
		time.Sleep(silentAfter)
		synctest.Wait()
		assert.False(t, r.has(c))
		r.mu.Lock()
		r.unanswered = time.Time{}
		r.mu.Unlock()
		time.Sleep(2 * silentAtMost)
	})
}

// TestAConnectionThatIsHeardOfIsKept, though nobody answers on it.
func TestAConnectionThatIsHeardOfIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New()
		heard, far := open(t, r)
		silent, _ := open(t, r)
		go func() {
			for b := make([]byte, 1); ; {
				if _, err := heard.Read(b); err != nil {
					return
				}
			}
		}()
		r.noteAttempt()
		for range 20 {
			time.Sleep(time.Second)
			_, err := far.Write([]byte{1})
			assert.NoError(t, err)
		}
		assert.True(t, r.has(heard))
		assert.False(t, r.has(silent))
		_ = heard.Close()
	})
}
