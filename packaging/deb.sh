#!/bin/sh
# deb.sh PYTHON: a Debian package of this tree for this machine's Python, in build/.
# What it needs is in it, since Debian's own packages of these libraries are older than hardline asks for.
set -eu

python=$(realpath -s "$1")
tree=build/deb
rm -rf "$tree"
mkdir -p "$tree/opt/hardline/lib" "$tree/usr/bin"
export PYTHONWARNINGS=ignore
"$python" -m pip install --quiet --no-compile --target "$tree/opt/hardline/lib" '.[https]'
place() { # FILE DIR: of what the wheel has for the system
    mkdir -p "$tree/usr/share/$2"
    cp "$tree/opt/hardline/lib/share/$1" "$tree/usr/share/$2/"
}
place man/man1/hardline.1 man/man1
place man/man1/hardlined.1 man/man1
place bash-completion/completions/hardline bash-completion/completions
place fish/vendor_completions.d/hardline.fish fish/vendor_completions.d
place zsh/site-functions/_hardline zsh/vendor-completions
gzip -9n "$tree"/usr/share/man/man1/*
mkdir -p "$tree/usr/share/doc"
cp -r "$tree/opt/hardline/lib/share/doc/hardline-tunnel" "$tree/usr/share/doc/"
rm -rf "$tree/opt/hardline/lib/bin" "$tree/opt/hardline/lib/share"
for command in hardline:hardline.cli hardlined:hardline.hardlined; do
    cat >"$tree/usr/bin/${command%%:*}" <<EOF_COMMAND
#!/bin/sh
PYTHONPATH=/opt/hardline/lib exec /usr/bin/python3 -m ${command#*:} "\$@"
EOF_COMMAND
    chmod 0755 "$tree/usr/bin/${command%%:*}"
done
"$python" -c 'import hardline.units as u; print(u.system_unit(["/usr/bin/hardlined"]), end="")' >"$tree/hardlined.service"
DEB_TREE=$tree
DEB_ARCH=$(dpkg --print-architecture)
DEB_VERSION=$("$python" -c 'import hardline; print(hardline.__version__.replace(".dev", "~dev"))')
DEB_PYTHON=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
DEB_NEXT_PYTHON=$("$python" -c 'import sys; print("%d.%d" % (sys.version_info[0], sys.version_info[1] + 1))')
export DEB_TREE DEB_ARCH DEB_VERSION DEB_PYTHON DEB_NEXT_PYTHON
sed -e "s|\${DEB_TREE}|$DEB_TREE|; s|\${DEB_ARCH}|$DEB_ARCH|; s|\${DEB_VERSION}|$DEB_VERSION|" \
    -e "s|\${DEB_PYTHON}|$DEB_PYTHON|; s|\${DEB_NEXT_PYTHON}|$DEB_NEXT_PYTHON|" packaging/nfpm.yaml >"$tree/nfpm.yaml"
"$(dirname "$python")/nfpm" package --config "$tree/nfpm.yaml" --packager deb --target build/
ls build/*.deb
