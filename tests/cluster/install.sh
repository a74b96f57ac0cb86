#!/usr/bin/env bash
# Installs Debian's SLURM and munge for the tests of this folder; with --accounting, slurmdbd and MariaDB too.
# Nothing is started: the tests start daemons of their own.
set -euo pipefail
packages=(slurm-wlm munge)
[ "${1:-}" != --accounting ] || packages+=(slurmdbd mariadb-server)
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "SLURM is not installed: this takes root and apt-get."
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
# Debian starts the services of a package as it is installed; here none is wanted.
policy=/usr/sbin/policy-rc.d
[ -e "$policy" ] || { printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy" && trap 'rm -f "$policy"' EXIT; }
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
