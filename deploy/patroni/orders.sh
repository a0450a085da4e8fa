#!/bin/sh
# Makes the database of the orders and its owner, once, in a new cluster. Patroni gives the
# way to it as the one argument.
set -eu
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --set password="$ORDERS_DB_PASSWORD" "$1" <<'END'
CREATE ROLE ltp LOGIN PASSWORD :'password';
CREATE DATABASE orders OWNER ltp;
END
