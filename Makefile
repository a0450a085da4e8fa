# The order node. `make demo` plays the incident, `make test` passes the tests.

STATICCHECK   = honnef.co/go/tools/cmd/staticcheck@v0.8.2
WORKFLOWCHECK = go.temporal.io/sdk/contrib/tools/workflowcheck@v0.6.0
GOVULNCHECK   = golang.org/x/vuln/cmd/govulncheck@v1.9.0

.PHONY: demo dev build server test faults bench lint fmt vuln postgres generate clean

demo: ## play the incident
	@go run ./cmd/ltp demo

dev: ## run everything in one process until Ctrl-C
	@go run ./cmd/ltp dev

build: ## bin/ltp, and the embedded Temporal server bin/ltp-devserver
	go build -trimpath -o bin/ltp ./cmd/ltp
	cd devserver && go build -trimpath -ldflags '-s -w' -o ../bin/ltp-devserver .

test: postgres server ## every test, with the race detector
	go test -timeout 30m ./internal/ordermodel # a search: without the race detector, which makes it ten times slower
	go test -race -timeout 30m $$(go list ./... | grep -v -e /tests -e /internal/ordermodel)
	go test -race -p 1 -timeout 60m ./tests/... # one after the other: real servers, real time
	cd devserver && go test -timeout 30m ./...

faults: postgres server ## break everything on purpose, at full size: FAULTS_SEED, FAULTS_STEPS, FAULTS_ORDERS
	FAULTS_SEED=$${FAULTS_SEED:-$$(date +%s)} FAULTS_STEPS=$${FAULTS_STEPS:-60} FAULTS_ORDERS=$${FAULTS_ORDERS:-20} \
	FAULTS_BACKLOG=$${FAULTS_BACKLOG:-1200} FAULTS_MATRIX=$${FAULTS_MATRIX:-all} go test -v -count=1 -timeout 60m ./tests/faults

bench: postgres server ## measure against bare Temporal, and write docs/benchmarks.md: BENCH="--only 1,3 --rounds 9"
	go run ./bench $(BENCH)

server: ## compile the embedded Temporal server into Go's cache: some minutes, once
	@echo "compiling the embedded Temporal server, unless Go has it cached"
	cd devserver && go build -trimpath -ldflags '-s -w' -o /dev/null .

lint: ## gofmt, go vet, staticcheck, workflowcheck
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "gofmt -w these:"; echo "$$unformatted"; exit 1; }
	go vet ./...
	cd devserver && go vet ./...
	go run $(STATICCHECK) ./...
	go run $(WORKFLOWCHECK) ./workflows/...

vuln: ## known vulnerabilities, where the database of them can be reached
	go run $(GOVULNCHECK) ./...

postgres: ## install what the Postgres tests need, where that is possible
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || \
	 if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	   echo "installing PostgreSQL for the tests"; apt-get update -qq && apt-get install -y -qq postgresql >/dev/null; \
	 else echo "no PostgreSQL found: the tests on it are skipped (install the package postgresql)"; fi

generate:
	go generate ./...

fmt:
	gofmt -w .

clean:
	rm -rf bin .ltp
