#!/bin/sh
# Runs a member of the order database's cluster: Patroni, and Postgres under it.
set -eu

PATH=$PATH:$(echo /usr/lib/postgresql/*/bin)
# The volume is at data. Patroni renames its directory, so that is one below.
export PATH HOME=/var/lib/postgresql PATRONI_POSTGRESQL_DATA_DIR=/var/lib/postgresql/data/pgdata

if [ "$(id -u)" = 0 ]; then
	mkdir -p "$HOME/data" /run/postgresql
	chown postgres:postgres "$HOME" "$HOME/data" /run/postgresql
	exec setpriv --reuid=postgres --regid=postgres --init-groups --inh-caps=-all -- "$0" "$@"
fi
exec patroni /etc/patroni/patroni.yml
