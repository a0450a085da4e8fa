package main

import (
	"maps"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/metrics"
	"go.temporal.io/server/common/primitives"
	"go.temporal.io/server/temporal"
)

const clusterName = "active"

// serverConfig describes the four services of one Temporal server, who find each
// other by fixed addresses: all but the frontend on loopback ports of their own.
func serverConfig(o options, store, visibility *config.SQL) (*config.Config, map[primitives.ServiceName]static.Hosts, error) {
	httpPort := o.httpPort
	services := map[string]config.Service{}
	hosts := map[primitives.ServiceName]static.Hosts{}
	for _, name := range temporal.DefaultServices {
		rpc := config.RPC{BindOnIP: loopback}
		var err error
		if name == string(primitives.FrontendService) {
			rpc.BindOnIP, rpc.GRPCPort = o.ip, o.port
			if httpPort == 0 {
				httpPort, err = freePort(o.ip)
			}
			rpc.HTTPPort = httpPort
		} else {
			rpc.GRPCPort, err = freePort(loopback)
		}
		if err != nil {
			return nil, nil, err
		}
		services[name] = config.Service{RPC: rpc}
		hosts[primitives.ServiceName(name)] = static.SingleLocalHost(hostPort(rpc.BindOnIP, rpc.GRPCPort))
	}

	cfg := &config.Config{
		Global: config.Global{
			Membership: config.Membership{MaxJoinDuration: 30 * time.Second, BroadcastAddress: loopback},
		},
		Services: services,
		Persistence: config.Persistence{
			DefaultStore:     "store",
			VisibilityStore:  "visibility",
			NumHistoryShards: shards(o),
			DataStores:       map[string]config.DataStore{"store": {SQL: store}, "visibility": {SQL: visibility}},
		},
		ClusterMetadata: &cluster.Config{
			FailoverVersionIncrement: 10,
			MasterClusterName:        clusterName,
			CurrentClusterName:       clusterName,
			ClusterInformation: map[string]cluster.ClusterInformation{clusterName: {
				Enabled:                true,
				InitialFailoverVersion: 1,
				RPCAddress:             o.frontend(),
				HTTPAddress:            hostPort(o.ip, httpPort),
				ClusterID:              uuid.NewString(), // a database that has one keeps it
			}},
		},
		DCRedirectionPolicy: config.DCRedirectionPolicy{Policy: "noop"},
		PublicClient:        config.PublicClient{HostPort: o.frontend()},
		Archival: config.Archival{
			History:    config.HistoryArchival{State: "disabled"},
			Visibility: config.VisibilityArchival{State: "disabled"},
		},
		NamespaceDefaults: config.NamespaceDefaults{Archival: config.ArchivalNamespaceDefaults{
			History:    config.HistoryArchivalNamespaceDefaults{State: "disabled"},
			Visibility: config.VisibilityArchivalNamespaceDefaults{State: "disabled"},
		}},
	}
	if o.metricsPort != 0 {
		cfg.Global.Metrics = &metrics.Config{Prometheus: &metrics.PrometheusConfig{
			ListenAddress: hostPort(loopback, o.metricsPort),
			HandlerPath:   "/metrics",
		}}
	}
	return cfg, hosts, nil
}

// shards is how many parts workflows are divided into, for the life of a database.
func shards(o options) int32 {
	if o.postgres != "" {
		return 64 // as docker-compose.yml has it
	}
	return 1 // more would queue for the one connection
}

// dynamicConfig is what the user gave over what suits this server.
func dynamicConfig(o options) dynamicconfig.StaticClient {
	settings := dynamicconfig.StaticClient{
		// One process gains nothing from splitting a task queue, and a split one
		// hands tasks out by detours.
		dynamicconfig.MatchingNumTaskqueueReadPartitions.Key():  1,
		dynamicconfig.MatchingNumTaskqueueWritePartitions.Key(): 1,
		// Limits that protect a shared cluster. A burst of some thousand orders and
		// the workers that wait for it would meet them here, too.
		dynamicconfig.FrontendRPS.Key():                                         20_000,
		dynamicconfig.FrontendMaxNamespaceRPSPerInstance.Key():                  20_000,
		dynamicconfig.FrontendMaxNamespaceVisibilityRPSPerInstance.Key():        500,
		dynamicconfig.FrontendMaxConcurrentLongRunningRequestsPerInstance.Key(): 12_000,
		dynamicconfig.MatchingRPS.Key():                                         20_000,
		dynamicconfig.HistoryRPS.Key():                                          20_000,
		// Open workflows kept in memory, at some 10 KB each.
		dynamicconfig.HistoryCacheHostLevelMaxSize.Key(): 10_000,
		// How often the server puts away the tasks that it has done. Until then it goes
		// over them again for each that is new: at some hundred workflows a second, half
		// a minute of them cost more than the work itself.
		dynamicconfig.TransferProcessorUpdateAckInterval.Key():   time.Second,
		dynamicconfig.TimerProcessorUpdateAckInterval.Key():      time.Second,
		dynamicconfig.VisibilityProcessorUpdateAckInterval.Key(): time.Second,
		// Each batch of timers is looked for from the oldest that is not put away yet.
		dynamicconfig.TimerTaskBatchSize.Key(): 1_000,
		// It would ask the internet for news of the server.
		dynamicconfig.EnableServerVersionCheck.Key(): false,
	}
	maps.Copy(settings, o.dynamicConfig)
	return settings
}
