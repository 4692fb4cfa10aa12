#!/bin/sh
# The programs that tests and benchmarks run against: installed by apt where that is possible, else named.
# A test whose program is missing skips with a reason (tests/support/needs.py), except in CI.
set -eu

missing=""
need() { # PROGRAM-OR-FILE PACKAGE...
    what=$1
    shift
    command -v "$what" >/dev/null 2>&1 || [ -e "$what" ] || missing="$missing $*"
}

PATH="$PATH:/usr/sbin:/sbin"
need openssl openssl
need socat socat
need curl curl
need ip iproute2
need sysctl procps
need nginx nginx-light
need /usr/lib/nginx/modules/ngx_stream_module.so libnginx-mod-stream
need stunnel stunnel4
need wrk wrk
need nc netcat-openbsd
need socat socat
need go golang-go
need /usr/share/gocode/src/github.com/hashicorp/yamux golang-github-hashicorp-yamux-dev
need faketime faketime
need prlimit util-linux
need nice coreutils
need zsh zsh
need fish fish
need mandoc mandoc
need node nodejs
need npm npm
need nft nftables
need iptables iptables
need conntrack conntrack
need dbus-daemon dbus-daemon
need avahi-daemon avahi-daemon
need avahi-browse avahi-utils
need avahi-publish avahi-utils
need dhtnode dhtnode
need miniupnpd miniupnpd miniupnpd-nftables
need bindfs bindfs
need fusermount3 fuse3
need chromium chromium
need pebble pebble
need certutil libnss3-tools
need /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf fonts-dejavu-core
need sshd openssh-server
need psql postgresql-client
need "$(printf '%s\n' /usr/lib/postgresql/*/bin/initdb | tail -n 1)" postgresql
need redis-server redis-server
need redis-cli redis-tools
# What only `make test-all` runs.
[ "${HARDLINE_TEST_FULL:-}" != 1 ] || need firefox-esr firefox-esr

[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # What their packages would have run at every boot: a node of the public DHT, a router of whatever network there is,
    # databases, a way in.
    for unit in dhtnode miniupnpd postgresql redis-server openssh-server:ssh; do
        case " $missing " in
            *" ${unit%:*} "*) mkdir -p /etc/systemd/system && ln -sf /dev/null "/etc/systemd/system/${unit#*:}.service" ;;
        esac
    done
    # shellcheck disable=SC2086  one word per package
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
    echo "not installed, so some tests will be skipped:$missing" >&2
fi
