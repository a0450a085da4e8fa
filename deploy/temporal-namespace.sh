#!/bin/sh
# Creates the namespace unless it is there. It fails while Temporal is not up yet, and
# is then to be run again.
#
# TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE say where, RETENTION for how long the
# histories of ended workflows are kept.
set -eu

temporal operator cluster health
temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" >/dev/null 2>&1 ||
	temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention "$RETENTION"
