package patroni_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp/observer"
	"github.com/ltp-node/ltp/observer/patroni"
)

var (
	_ observer.Fault  = (*patroni.Fault)(nil)
	_ observer.Reader = (*patroni.Probe)(nil)
)

// member answers as a member of Patroni.
func member(t *testing.T, status int, body string) (url string, asked *atomic.Int32) {
	t.Helper()
	asked = &atomic.Int32{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		assert.Equal(t, "/cluster", r.URL.Path)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	return server.URL, asked
}

// The shapes are those of cluster_as_json in Patroni's utils.py.
const (
	patroni2 = `{"members":[
		{"name":"pg1","role":"leader","state":"running","api_url":"http://10.0.0.1:8008/patroni","host":"10.0.0.1","port":5432,"timeline":3},
		{"name":"pg2","role":"sync_standby","state":"running","api_url":"http://10.0.0.2:8008/patroni","host":"10.0.0.2","port":5432,"timeline":3,"lag":0}]}`
	patroni4 = `{"members":[
		{"name":"pg1","role":"replica","state":"streaming","api_url":"http://10.0.0.1:8008/patroni","host":"10.0.0.1","port":5432,"timeline":5,"tags":{"clonefrom":true},
		 "receive_lag":0,"receive_lsn":"0/4000060","replay_lag":0,"replay_lsn":"0/4000060","lag":16,"lsn":"0/4000060"},
		{"name":"pg2","role":"leader","state":"running","api_url":"http://10.0.0.2:8008/patroni","host":"10.0.0.2","port":5432,"timeline":5}],
		"scope":"demo","pause":true,"scheduled_switchover":{"at":"2023-09-24T10:36:00+02:00","from":"pg2"}}`
	electing = `{"members":[
		{"name":"pg1","role":"replica","state":"stopped","api_url":"http://10.0.0.1:8008/patroni","host":"10.0.0.1","port":5432},
		{"name":"pg2","role":"replica","state":"running","api_url":"http://10.0.0.2:8008/patroni","host":"10.0.0.2","port":5432,"timeline":5,"lag":"unknown"}]}`
	crashed = `{"members":[{"name":"pg1","role":"leader","state":"crashed","timeline":5},{"name":"pg2","role":"replica","state":"streaming","timeline":5,"lag":0}]}`
	standby = `{"members":[{"name":"pg1","role":"standby_leader","state":"streaming","timeline":7}]}`
	paused  = `{"members":[{"name":"pg1","role":"replica","state":"running","timeline":5,"lag":0}],"pause":true}`
)

func TestAClusterIsUnderstood(t *testing.T) {
	for name, tc := range map[string]struct {
		body  string
		facts map[string]string
		fault string
	}{
		"version 2": {patroni2, map[string]string{
			"leader": "pg1", "timeline": "3", "members": "pg1 leader running, pg2 sync_standby running lag 0",
		}, ""},
		"version 4, paused": {patroni4, map[string]string{
			"leader": "pg2", "timeline": "5", "paused": "true", "members": "pg1 replica streaming lag 16, pg2 leader running",
		}, ""},
		"a standby cluster": {standby, map[string]string{"leader": "pg1", "timeline": "7", "members": "pg1 standby_leader streaming"}, ""},
		"no leader": {electing, map[string]string{"members": "pg1 replica stopped, pg2 replica running lag unknown"},
			"the cluster has no running leader: pg1 replica stopped, pg2 replica running lag unknown"},
		"a leader that does not run": {crashed, map[string]string{"members": "pg1 leader crashed, pg2 replica streaming lag 0"},
			"the cluster has no running leader: pg1 leader crashed, pg2 replica streaming lag 0"},
		"no leader, paused": {paused, map[string]string{"paused": "true", "members": "pg1 replica running lag 0"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			url, _ := member(t, 200, tc.body)
			p, err := patroni.Open(url)
			require.NoError(t, err)
			facts, err := p.Probe(t.Context())
			assert.Equal(t, tc.facts, facts)
			if tc.fault == "" {
				require.NoError(t, err)
				return
			}
			var f observer.Fault
			require.ErrorAs(t, err, &f)
			assert.True(t, f.Definite())
			assert.Equal(t, "No leader (Patroni)", f.Reason())
			assert.EqualError(t, err, tc.fault)
		})
	}
}

func TestASilentPatroniIsNoFaultOfTheDatabase(t *testing.T) {
	failing, _ := member(t, 503, `{}`)
	other, _ := member(t, 200, `<html>`)
	empty, _ := member(t, 200, `{"members":[]}`)
	away := httptest.NewServer(nil)
	away.Close()
	p, err := patroni.Open(failing, other, empty, away.URL)
	require.NoError(t, err)
	facts, err := p.Probe(t.Context())
	require.Error(t, err)
	assert.Empty(t, facts)
	var f observer.Fault
	assert.False(t, errors.As(err, &f), "%v", err)
	assert.True(t, p.ReadOnly())
}

func TestTheMemberThatAnsweredLastIsAskedFirst(t *testing.T) {
	failing, refused := member(t, 503, "")
	good, asked := member(t, 200, patroni4)
	p, err := patroni.Open(failing, good)
	require.NoError(t, err)
	for range 3 {
		_, err := p.Probe(t.Context())
		require.NoError(t, err)
	}
	assert.EqualValues(t, 1, refused.Load())
	assert.EqualValues(t, 3, asked.Load())
	require.NoError(t, p.Close())
}

func TestAddressesAreChecked(t *testing.T) {
	for _, addresses := range [][]string{nil, {""}, {"db1:8008"}, {"http://db1:8008", "postgres://u:s3cret@db1"}} {
		_, err := patroni.Open(addresses...)
		require.ErrorContains(t, err, "give http://host:8008 of each member")
		assert.NotContains(t, err.Error(), "s3cret")
	}
}
