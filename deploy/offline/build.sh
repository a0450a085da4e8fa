#!/usr/bin/env bash
# Builds every image that docker-compose.yml names, where no container registry answers:
# Temporal and its tools from their Go modules, at the versions of devserver/go.mod;
# Postgres, Patroni, etcd and Prometheus from Debian's packages; the order node from this checkout.
#
#   deploy/offline/build.sh            what is missing or has changed
#   deploy/offline/build.sh --fresh    with Debian's packages of today
#
# It needs Docker, Go, Debian, and root for mmdebstrap. The binaries are compiled with the
# Go cache of this machine. Each image stands in for the one of a registry as far as
# docker-compose.yml uses that: the same paths, variables and users, and no more.
set -euo pipefail
cd "$(dirname "$0")/../.."
export DOCKER_BUILDKIT=0 # the builder that every engine has; nothing here needs another

base=ltp-offline/debian
include=ca-certificates,etcd-server,netcat-openbsd,patroni,postgresql,prometheus,python3-etcd,systemd-sysv
# Left out: what nobody reads in a container, and the compiler of queries (JIT).
unused=(/usr/share/{doc,man,locale,info,javascript,nodejs}'/*' '/usr/lib/*/libLLVM-*' '/usr/lib/postgresql/*/lib/bitcode/*' /usr/bin/promtool)
hook='chroot "$1" useradd --uid 1000 temporal' # the server wants a name for its user
made_of=$(printf '%s\n' "$include" "${unused[@]}" "$hook" | sha256sum | cut -c1-16)
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
say() { printf '%s  %s\n' "$(date -u +%H:%M:%S)" "$*" >&2; }

# What an image was made of; nothing where it is not there.
label() { docker image inspect --format '{{index .Config.Labels "made-of"}}' "$1" 2>/dev/null || true; }

# Debian: the packages of all images, so that they share its one layer.
debian() {
	command -v mmdebstrap >/dev/null || {
		say "installing mmdebstrap"
		apt-get update -qq && apt-get install -y -qq mmdebstrap >/dev/null
	}
	say "Debian's packages: Postgres, Patroni, etcd, Prometheus, and what they need"
	mmdebstrap --quiet --variant=minbase --include="$include" --customize-hook="$hook" "${unused[@]/#/--dpkgopt=path-exclude=}" \
		"$(. /etc/os-release && echo "$VERSION_CODENAME")" "$out/debian.tar"
	docker import --change "LABEL made-of=$made_of" --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' "$out/debian.tar" "$base" >/dev/null
	rm "$out/debian.tar"
	say "Debian's packages are there"
}
packages=
if [ "${1:-}" = --fresh ] || [ "$(label "$base")" != "$made_of" ]; then
	debian & # while the compiler is at work
	packages=$!
fi

# image NAME: its Dockerfile is on standard input, its files are in $out/NAME.
image() {
	say "the image ltp-offline/$1"
	chmod -R u=rwX,go=rX "$out/$1"
	cat >"$out/$1/Dockerfile"
	docker build --quiet --label "made-of=$made_of" --tag "ltp-offline/$1" "$out/$1" 2>"$out/said" >/dev/null || { cat "$out/said" >&2; return 1; }
}

mkdir "$out"/{ltp,patroni,postgres,temporal,temporal-admin,temporal-ui,prometheus,host} "$out/prometheus/data"
say "the order node"
CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$out/ltp/ltp" ./cmd/ltp
cp /etc/ssl/certs/ca-certificates.crt "$out/ltp"
echo 'nonroot:x:65532:65532::/:/sbin/nologin' >"$out/ltp/passwd"

image ltp <<'END' # as the repository's Dockerfile makes it
FROM scratch
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY passwd /etc/passwd
COPY ltp /usr/local/bin/ltp
ENV PATH=/usr/local/bin
USER 65532:65532
ENTRYPOINT ["ltp"]
END

# Those of before that have lost their name to one of these; nobody else's.
drop_old() { docker image prune --force --filter label=made-of >/dev/null; }

# The others, unless they are there: this takes half a minute and more.
made_of() { cat deploy/offline/*.sh deploy/patroni/* devserver/go.{mod,sum} <(go version; docker image inspect --format '{{.Id}}' "$base") | sha256sum | cut -c1-16; }
others=(postgres patroni temporal temporal-admin temporal-ui prometheus host)
if [ -z "$packages" ] && made_of=$(made_of) && [ "$(for name in "${others[@]}"; do label "ltp-offline/$name"; done | sort -u)" = "$made_of" ]; then
	say "the other images are there"
	drop_old
	exit
fi

# As `make server` compiles the embedded server, so that most of this is in Go's cache.
say "Temporal's server, schema tool and UI"
of_temporal() (cd devserver && go build -trimpath -ldflags '-s -w' -o "$out/$1" "$2")
of_temporal temporal/temporal-server go.temporal.io/server/cmd/server
of_temporal temporal-admin/temporal-sql-tool go.temporal.io/server/cmd/tools/sql
of_temporal temporal-ui/ui-server github.com/temporalio/ui-server/v2/cmd/server
cp "$(cd devserver && go list -m -f '{{.Dir}}' github.com/temporalio/ui-server/v2)/config/docker.yaml" "$out/temporal-ui"
cp deploy/offline/postgres.sh "$out/postgres"
cp deploy/offline/temporal.sh "$out/temporal"

[ -z "$packages" ] || wait "$packages"
made_of=$(made_of)
image postgres <<'END'
FROM ltp-offline/debian
COPY postgres.sh /usr/local/bin/
ENV PGDATA=/var/lib/postgresql/data
STOPSIGNAL SIGINT
ENTRYPOINT ["postgres.sh"]
CMD ["postgres"]
END

cp deploy/patroni/{patroni.yml,orders.sh,member.sh} "$out/patroni"
image patroni <<'END' # as deploy/patroni/Dockerfile makes it
FROM ltp-offline/debian
COPY patroni.yml orders.sh member.sh /etc/patroni/
STOPSIGNAL SIGINT
CMD ["/etc/patroni/member.sh"]
END

image temporal <<'END'
FROM ltp-offline/debian
COPY temporal-server /usr/local/bin/
COPY temporal.sh /etc/temporal/entrypoint.sh
WORKDIR /etc/temporal
USER 1000:1000
CMD ["/etc/temporal/entrypoint.sh"]
END

image temporal-admin <<'END'
FROM ltp-offline/debian
COPY temporal-sql-tool /usr/local/bin/
USER 1000:1000
END

image temporal-ui <<'END'
FROM ltp-offline/debian
COPY ui-server docker.yaml /home/ui-server/
USER 1000:1000
CMD ["/home/ui-server/ui-server", "--root", "/home", "--config", "ui-server", "--env", "docker", "start"]
END

image prometheus <<'END'
FROM ltp-offline/debian
COPY --chown=65534:65534 data /prometheus
WORKDIR /prometheus
USER nobody
ENTRYPOINT ["prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
END

image host <<'END' # a machine with systemd, on which the tests install the packages
FROM ltp-offline/debian
RUN rm -f /etc/systemd/system/*.wants/* /usr/sbin/policy-rc.d
ENV container=docker
STOPSIGNAL SIGRTMIN+3
CMD ["/sbin/init"]
END

drop_old
docker image ls --format '{{.Repository}}  {{.Size}}' 'ltp-offline/*' >&2
