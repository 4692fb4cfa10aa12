"""The Debian package, installed, used and removed on a copy of this system that is gone afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEEDS = ("dpkg", "unshare", "adduser")


def lacks(program: str) -> bool:
    return shutil.which(program) is None


INSIDE = """
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
dpkg -i /root/hardline.deb
cd /
hardline version
stat -c '%U %a %n' /etc/hardline/services /var/lib/hardline
ip link set lo up
places="--servicedir /etc/hardline/services --datadir /var/lib/hardline"
install -d -o hardline -g hardline /run/hardline
export RUNTIME_DIRECTORY=/run/hardline
grep -o -- '--group hardline' /lib/systemd/system/hardlined.service
su -s /bin/sh hardline -c "exec hardlined $places --group hardline --bind 127.0.0.1" &
until hardline status >/dev/null 2>&1; do sleep 0.1; done
hardline share 8123
useradd --create-home ada
su ada -c "hardline ls" && exit 1
usermod -aG hardline ada
su ada -c "hardline share 8124 --name of-ada"
hardline ls --names mine
pkill -TERM -u hardline
wait || true
dpkg --purge hardline-tunnel
test ! -e /opt/hardline
test ! -e /usr/bin/hardline
ls /var/lib/hardline/node.cert.private
echo all is well
"""

COPIED = """
mount -t tmpfs none {place}
mkdir {place}/upper {place}/work {place}/root
mount -t overlay overlay -o lowerdir=/,upperdir={place}/upper,workdir={place}/work {place}/root
mount --bind /dev {place}/root/dev
mount -t proc proc {place}/root/proc
cp {package} {place}/root/root/hardline.deb
exec chroot {place}/root timeout 200 sh -ec "$INSIDE"
"""


@pytest.mark.full
@pytest.mark.skipif(
    os.geteuid() != 0 or any(shutil.which(one) is None for one in NEEDS), reason="needs root and Debian"
)
def test_installed_by_dpkg_it_runs_as_a_user_of_its_own_and_goes_without_its_keys(tmp_path):
    nfpm = Path(sys.executable).with_name("nfpm")
    if not nfpm.exists():
        pytest.skip("make deb  installs nfpm")
    copy = tmp_path / "tree"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv*", "build", "run"))
    built = subprocess.run(
        ["sh", "packaging/deb.sh", sys.executable], cwd=copy, capture_output=True, text=True, timeout=500
    )
    assert built.returncode == 0, built.stderr
    (package,) = (copy / "build").glob("*.deb")
    place = tmp_path / "system"
    place.mkdir()
    script = "set -e\n" + COPIED.format(place=place, package=package)
    command = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env={**os.environ, "INSIDE": INSIDE})
    assert "all is well" in done.stdout, done.stdout + done.stderr
    assert "hardline 700 /var/lib/hardline" in done.stdout
    assert ".localhost:7009/" in done.stdout
    assert "sudo usermod -aG hardline ada, and log in anew" in done.stderr
    assert "of-ada" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
