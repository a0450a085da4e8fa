#!/bin/sh
# Starts the server with the settings of the environment, by the template that it has built
# in. One that listens everywhere announces the first address of this host.
set -eu

first() { getent ahostsv4 "$(hostname)" | { read -r address _ && echo "$address"; }; }
: "${BIND_ON_IP:=$(first)}"
[ "$BIND_ON_IP" != 0.0.0.0 ] || : "${TEMPORAL_BROADCAST_ADDRESS:=$(first)}"
export BIND_ON_IP TEMPORAL_BROADCAST_ADDRESS
exec temporal-server start
