// Package patroni is an adapter: it asks Patroni about a Postgres cluster, over its REST API.
package patroni

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ltp-node/ltp/observer"
)

const (
	// memberTimeout is how long one member may take to answer before the next is
	// asked.
	memberTimeout = time.Second
	maxBody       = 1 << 20
)

// Probe asks GET /cluster of one member of a cluster after the other, beginning with
// the one that answered last. It is evidence beside a write: see observer.WithEvidence.
type Probe struct {
	members []string // URLs of /cluster
	client  *http.Client

	mu     sync.Mutex
	answer int // the member that answered last
}

// Open returns a probe of a cluster by the REST addresses of its members, such as
// http://db1:8008. It does not connect.
func Open(addresses ...string) (*Probe, error) {
	p := &Probe{client: &http.Client{
		Transport:     http.DefaultTransport.(*http.Transport).Clone(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	for _, address := range addresses {
		u, err := url.Parse(address)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, errors.New("an address of Patroni is not understood: give http://host:8008 of each member")
		}
		p.members = append(p.members, u.JoinPath("cluster").String())
	}
	if len(p.members) == 0 {
		return nil, errors.New("no address of Patroni is given: give http://host:8008 of each member")
	}
	return p, nil
}

// ReadOnly says that Patroni vouches for nothing: it says who leads, and not whether
// the leader takes writes.
func (p *Probe) ReadOnly() bool { return true }

// Probe returns what the first member that answers knows: the "leader" and its
// "timeline", the "members" with their role, state and lag, and "paused" in
// maintenance mode.
//
// A cluster without a running leader is a definite [*Fault]; in maintenance mode it
// is none, since a Postgres may then lead without Patroni's knowledge. Any other
// error says that Patroni has said nothing, which says nothing of the database.
func (p *Probe) Probe(ctx context.Context) (map[string]string, error) {
	p.mu.Lock()
	first := p.answer
	p.mu.Unlock()
	var silent []error
	for i := range p.members {
		member := (first + i) % len(p.members)
		seen, err := p.ask(ctx, p.members[member])
		if err == nil {
			p.mu.Lock()
			p.answer = member
			p.mu.Unlock()
			return seen.facts(), seen.fault()
		}
		silent = append(silent, err)
	}
	p.client.CloseIdleConnections()
	return nil, fmt.Errorf("no member of Patroni answers: %w", errors.Join(silent...))
}

func (p *Probe) ask(ctx context.Context, address string) (cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, memberTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return cluster{}, err
	}
	answer, err := p.client.Do(request)
	if err != nil {
		return cluster{}, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return cluster{}, fmt.Errorf("%s answers %d", request.URL.Host, answer.StatusCode)
	}
	var seen cluster
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxBody)).Decode(&seen); err != nil {
		return cluster{}, fmt.Errorf("%s does not answer as Patroni: %w", request.URL.Host, err)
	}
	if len(seen.Members) == 0 {
		return cluster{}, fmt.Errorf("%s knows no member", request.URL.Host)
	}
	return seen, nil
}

// Close closes the connections.
func (p *Probe) Close() error {
	p.client.CloseIdleConnections()
	return nil
}

// cluster is the answer to GET /cluster. Patroni 2, 3 and 4 call the member that holds
// the leader key leader or standby_leader; master and primary stand elsewhere in
// their API and are understood all the same.
type cluster struct {
	Members []member `json:"members"`
	Pause   bool     `json:"pause"`
}

type member struct {
	Name     string `json:"name"`
	Role     string `json:"role"`
	State    string `json:"state"`
	Timeline int64  `json:"timeline"`
	Lag      any    `json:"lag"` // bytes, or "unknown"
}

// leads reports whether a member holds the leader key.
func (m member) leads() bool {
	return slices.Contains([]string{"leader", "standby_leader", "master", "primary"}, m.Role)
}

// runs reports whether its Postgres is up. That of a standby cluster's leader
// replicates itself.
func (m member) runs() bool {
	return slices.Contains([]string{"running", "streaming", "in archive recovery"}, m.State)
}

func (c cluster) leader() (member, bool) {
	i := slices.IndexFunc(c.Members, func(m member) bool { return m.leads() && m.runs() })
	if i < 0 {
		return member{}, false
	}
	return c.Members[i], true
}

func (c cluster) facts() map[string]string {
	facts := map[string]string{"members": c.roll()}
	if c.Pause {
		facts["paused"] = "true"
	}
	if leader, ok := c.leader(); ok {
		facts["leader"] = observer.Plain(leader.Name, 100)
		if leader.Timeline > 0 {
			facts["timeline"] = strconv.FormatInt(leader.Timeline, 10)
		}
	}
	return facts
}

// roll is who is there: "db1 leader running, db2 replica streaming, lag 0".
func (c cluster) roll() string {
	var all []string
	for _, m := range c.Members {
		one := strings.TrimSpace(m.Name + " " + m.Role + " " + m.State)
		switch lag := m.Lag.(type) {
		case float64:
			one += fmt.Sprintf(" lag %.0f", lag)
		case string:
			one += " lag " + lag
		}
		all = append(all, one)
	}
	return observer.Plain(strings.Join(all, ", "), 500)
}

func (c cluster) fault() error {
	if _, led := c.leader(); led || c.Pause {
		return nil
	}
	return &Fault{c.roll()}
}

// Fault says that a cluster has no running leader; it is an observer.Fault.
type Fault struct{ members string }

func (f *Fault) Error() string { return "the cluster has no running leader: " + f.members }

// Definite is true: without a leader nothing takes a write.
func (f *Fault) Definite() bool { return true }

// Reason is the fault in a few words for people.
func (f *Fault) Reason() string { return "No leader (Patroni)" }
