package main

import (
	"fmt"

	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/temporal"
	"go.uber.org/zap"

	uiserver "github.com/temporalio/ui-server/v2/server"
)

// server is a running Temporal server and its UI.
type server struct {
	temporal temporal.Server
	ui       *uiserver.Server // nil when headless
	logLevel zap.AtomicLevel
}

// start returns when the frontend accepts calls.
func start(o options) (*server, error) {
	if err := checkPorts(o); err != nil {
		return nil, err
	}
	store, visibility, err := openDatabase(o)
	if err != nil {
		return nil, err
	}
	cfg, hosts, err := serverConfig(o, store, visibility)
	if err != nil {
		return nil, err
	}
	logger, level := newLogger(o)
	s := &server{logLevel: level}
	s.temporal, err = temporal.NewServer(
		temporal.WithConfig(cfg),
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithStaticHosts(hosts),
		temporal.WithDynamicConfigClient(dynamicConfig(o)),
		temporal.WithLogger(logger),
		temporal.WithAuthorizer(authorization.NewNoopAuthorizer()),
		temporal.WithClaimMapper(func(*config.Config) authorization.ClaimMapper {
			return authorization.NewNoopClaimMapper()
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("configure Temporal: %w", err)
	}
	// The UI first: whoever finds the frontend answering finds the UI as well.
	if !o.headless {
		s.ui = startUI(o)
	}
	if err := s.temporal.Start(); err != nil {
		return nil, fmt.Errorf("start Temporal: %w", err)
	}
	return s, nil
}

func (s *server) stop() {
	// The services complain of each other's going.
	s.logLevel.SetLevel(zap.FatalLevel)
	if s.ui != nil {
		s.ui.Stop()
	}
	_ = s.temporal.Stop() // nothing is left to be done about an error
}

// newLogger logs to standard error, as the Temporal CLI does.
func newLogger(o options) (log.Logger, zap.AtomicLevel) {
	level := zap.NewAtomicLevelAt(log.ParseZapLevel(o.logLevel))
	if o.logLevel == "never" {
		level.SetLevel(zap.FatalLevel)
	}
	encoding := "console"
	if o.logFormat == "json" {
		encoding = "json"
	}
	return log.NewZapLogger(zap.Must(zap.Config{
		Level:            level,
		Encoding:         encoding,
		EncoderConfig:    log.DefaultZapEncoderConfig,
		OutputPaths:      []string{"stderr"},
		ErrorOutputPaths: []string{"stderr"},
	}.Build())), level
}
