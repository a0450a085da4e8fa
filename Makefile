# The order node. `make demo` plays the incident, `make test` passes the tests.

STATICCHECK   = honnef.co/go/tools/cmd/staticcheck@v0.8.2
CYCLONEDX     = github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
GORELEASER    = github.com/goreleaser/goreleaser/v2@v2.15.1
OASDIFF       = github.com/oasdiff/oasdiff@v1.37.0
WORKFLOWCHECK = go.temporal.io/sdk/contrib/tools/workflowcheck@v0.6.0
GOVULNCHECK   = golang.org/x/vuln/cmd/govulncheck@v1.9.0

.PHONY: demo dev build server test cluster faults bench figures lint contract fmt vuln postgres generate packaging release loc clean

demo: ## play the incident
	@go run ./cmd/ltp demo

dev: ## run everything in one process until Ctrl-C
	@go run ./cmd/ltp dev

build: ## bin/ltp, and the embedded Temporal server bin/ltp-devserver
	go build -trimpath -buildvcs=true -o bin/ltp ./cmd/ltp
	cd devserver && go build -trimpath -ldflags '-s -w' -o ../bin/ltp-devserver .

test: postgres server ## every test, with the race detector
	go test -timeout 30m ./internal/ordermodel # a search: without the race detector, which makes it ten times slower
	go test -race -timeout 30m $$(go list ./... | grep -v -e /tests -e /internal/ordermodel)
	go test -race -p 2 -timeout 60m $$(go list ./tests/... | grep -v /cluster) # two packages at a time: real servers, and much waiting
	@docker version >/dev/null 2>&1 || echo "no Docker engine answers: the production path in containers is left out"
	go test -race -timeout 30m ./tests/cluster # alone: a score of containers fill the machine
	cd devserver && go test -timeout 30m ./...
	cd deploy/helm/check && go test -timeout 10m ./...

cluster: ## play the incident on docker-compose.yml, in containers: CLUSTER="--orders 300 --outage 20s --keep"
	@go run ./deploy/cluster $(CLUSTER)

faults: postgres server ## break everything on purpose, at full size: FAULTS_SEED, FAULTS_STEPS, FAULTS_ORDERS
	FAULTS_SEED=$${FAULTS_SEED:-$$(date +%s)} FAULTS_STEPS=$${FAULTS_STEPS:-60} FAULTS_ORDERS=$${FAULTS_ORDERS:-20} \
	FAULTS_BACKLOG=$${FAULTS_BACKLOG:-1200} FAULTS_MATRIX=$${FAULTS_MATRIX:-all} go test -v -count=1 -timeout 60m ./tests/faults

bench: postgres server ## measure against bare Temporal, and write docs/benchmarks.md: BENCH="--only 1,3 --rounds 9"
	go run ./bench $(BENCH)

figures: build server postgres ## play the demo and measure, and write the figures of README.md: half an hour, with nothing else running
	mkdir -p build
	bin/ltp demo --format json --state-dir build/figures > build/demo.json
	go run ./bench --demo build/demo.json
	go run ./bench $(BENCH)

server: ## compile the embedded Temporal server into Go's cache: some minutes, once
	@echo "compiling the embedded Temporal server, unless Go has it cached"
	cd devserver && go build -trimpath -ldflags '-s -w' -o /dev/null .

lint: ## gofmt, go vet, staticcheck, workflowcheck
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "gofmt -w these:"; echo "$$unformatted"; exit 1; }
	go vet ./...
	cd devserver && go vet ./...
	cd deploy/helm/check && go vet ./...
	go run $(STATICCHECK) ./...
	go run $(WORKFLOWCHECK) ./workflows/...

contract: ## what would break clients of the last tag, in api/openapi*.json
	@tag=$$(git describe --tags --abbrev=0 2>/dev/null) || { echo "no tag yet: there is no contract to keep"; exit 0; }; \
	for f in api/openapi.json api/openapi-admin.json; do \
	  git show "$$tag:$$f" > .contract.json 2>/dev/null || { echo "$$f is new since $$tag"; continue; }; \
	  go run $(OASDIFF) breaking --fail-on ERR .contract.json $$f || { rm -f .contract.json; exit 1; }; \
	done; rm -f .contract.json

vuln: ## known vulnerabilities, where the database of them can be reached
	go run $(GOVULNCHECK) ./...

postgres: ## install what the tests need: Postgres, PgBouncer, promtool, where that is possible
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || \
	 if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	   echo "installing PostgreSQL for the tests"; apt-get update -qq && apt-get install -y -qq postgresql >/dev/null; \
	 else echo "no PostgreSQL found: the tests on it are skipped (install the package postgresql)"; fi
	@ls /usr/sbin/pgbouncer >/dev/null 2>&1 || command -v pgbouncer >/dev/null || \
	 if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	   echo "installing PgBouncer for the tests"; apt-get update -qq && apt-get install -y -qq pgbouncer >/dev/null; \
	 else echo "no PgBouncer found: the tests on it are skipped (install the package pgbouncer)"; fi
	@command -v promtool >/dev/null || \
	 if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	   echo "installing Prometheus, whose promtool tests the alerts"; apt-get update -qq && apt-get install -y -qq --no-install-recommends prometheus >/dev/null \
	   || echo "Prometheus cannot be installed: the tests of the alerts are skipped"; \
	 else echo "no promtool found: the tests of the alerts are skipped (install the package prometheus)"; fi

PRODUCTION = workflows activities worker starter api board observer orderdb replay node metrics

loc: ## lines of Go, without tests, mocks and generated code: the production path by folder, and the rest
	@git ls-files '*.go' | grep -v -e '_test\.go$$' -e '\.gen\.go$$' -e '/mock/' -e '/testdata/' | while read -r f; do \
	  case "$$f" in */*) d=$${f%%/*};; *) d=root;; esac; echo "$$d $$(wc -l < "$$f")"; \
	done | awk -v production="root $(PRODUCTION)" ' \
	  BEGIN { n = split(production, order); for (i = 1; i <= n; i++) is[order[i]] = 1 } \
	  { lines[$$1] += $$2; if ($$1 in is) path += $$2; else rest += $$2 } \
	  END { for (i = 1; i <= n; i++) printf "%7d  %s\n", lines[order[i]], order[i]; \
	        printf "%7d  the production path\n%7d  the rest\n%7d  together\n", path, rest, path + rest }'

release: ## archives, deb, rpm, SBOMs and checksums in dist/; publishes nothing
	PATH="$$PWD/build/packaging:$$PATH" go run $(GORELEASER) release --snapshot --clean

packaging: ## what packages hold besides the binary: completions and manual pages
	mkdir -p build/packaging/completions
	go build -buildvcs=true -o build/packaging/ltp ./cmd/ltp
	for shell in bash zsh fish; do build/packaging/ltp completion $$shell > build/packaging/completions/ltp.$$shell; done
	build/packaging/ltp man build/packaging/man
	GOBIN=$$PWD/build/packaging go install $(CYCLONEDX)

generate:
	go generate ./...

fmt:
	gofmt -w .

clean:
	rm -rf bin .ltp build dist
