#!/bin/sh
# Makes a database cluster in PGDATA unless there is one, for POSTGRES_USER, with
# POSTGRES_PASSWORD, and in it the database POSTGRES_DB; then runs what it is given.
set -eu

PATH=$PATH:$(echo /usr/lib/postgresql/*/bin)
export PATH

if [ "$(id -u)" = 0 ]; then
	mkdir -p "$PGDATA" /run/postgresql
	chown postgres:postgres "$PGDATA" /run/postgresql
	chmod 700 "$PGDATA"
	exec setpriv --reuid=postgres --regid=postgres --init-groups --inh-caps=-all -- "$0" "$@"
fi

if [ ! -s "$PGDATA/PG_VERSION" ]; then
	: "${POSTGRES_PASSWORD:?is not set}"
	: "${POSTGRES_USER:=postgres}" "${POSTGRES_DB:=$POSTGRES_USER}"
	password=$(mktemp)
	printf '%s\n' "$POSTGRES_PASSWORD" >"$password"
	# One that was interrupted leaves a directory that initdb refuses.
	find "$PGDATA" -mindepth 1 -delete
	initdb --username="$POSTGRES_USER" --pwfile="$password" --encoding=UTF8 --locale=C.UTF-8 \
		--auth-local=trust --auth-host=scram-sha-256 >/dev/null
	rm "$password"
	echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
	if [ "$POSTGRES_DB" != postgres ]; then
		printf 'CREATE DATABASE "%s";\n' "$POSTGRES_DB" | postgres --single -j -c log_min_messages=warning postgres >/dev/null
	fi
fi
exec "$@" -c listen_addresses='*' -c unix_socket_directories=/run/postgresql
