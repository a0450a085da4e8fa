# The order node: setup, worker, api, observe and the tools that read the trace.
# The commands demo and dev need the embedded Temporal server, which is not in here.
FROM golang:1.26.8-alpine AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 GOTOOLCHAIN=local go build -trimpath -ldflags '-s -w' -o /ltp ./cmd/ltp

# CA certificates, time zones, a user; no shell.
FROM gcr.io/distroless/static-debian13:nonroot
COPY --from=build /ltp /usr/local/bin/ltp
ENTRYPOINT ["ltp"]
