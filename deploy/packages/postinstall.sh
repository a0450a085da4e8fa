#!/bin/sh
# After an installation the parts wait for their settings; after an upgrade those that run
# are started anew, one after the other.
set -e
if command -v systemd-sysusers >/dev/null; then
  systemd-sysusers /usr/lib/sysusers.d/ltp.conf
elif ! getent passwd ltp >/dev/null; then
  useradd --system --home-dir / --shell /usr/sbin/nologin ltp
fi
chown root:ltp /etc/ltp
chmod 0750 /etc/ltp
if [ -e /etc/ltp/ltp.env ]; then
  chown root:ltp /etc/ltp/ltp.env
  chmod 0640 /etc/ltp/ltp.env
fi
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  for part in worker observer api; do
    # A part that cannot reach Temporal now is started by systemd again and again: that is
    # no fault of the package.
    timeout 60 systemctl try-restart "ltp-$part.service" || echo "ltp-$part is not ready yet: systemctl status ltp-$part" >&2
  done
fi
