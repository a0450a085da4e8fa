#!/bin/sh
# Creates the two databases of Temporal and brings their schemas up to the version of
# temporal-sql-tool. It may be run again: what is there already is kept.
#
# SQL_PLUGIN, SQL_HOST, SQL_PORT, SQL_USER and SQL_PASSWORD say where.
set -eu

schema() { # DATABASE SCHEMA
	temporal-sql-tool --db "$1" create-database
	temporal-sql-tool --db "$1" setup-schema --version 0.0
	temporal-sql-tool --db "$1" update-schema --schema-name "$2"
}

schema temporal postgresql/v12/temporal
schema temporal_visibility postgresql/v12/visibility
