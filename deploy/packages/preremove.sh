#!/bin/sh
# "remove" is Debian's word, 0 is of RPM: at an upgrade the parts run on.
set -e
case "$1" in remove | 0)
  if [ -d /run/systemd/system ]; then
    systemctl disable --now ltp-api.service ltp-worker.service ltp-observer.service
  fi
  ;;
esac
