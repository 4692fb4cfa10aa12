#!/bin/sh
# sanitize.sh PYTHON [ARG...]: builds the part in C with sanitizers beside a copy of the tree, and tests that.
set -eu

python=$(realpath -s "$1")
shift
place=build/sanitize
rm -rf "$place"
mkdir -p "$place"
cp -r hardline tests pyproject.toml ARCHITECTURE.md docs "$place"
rm -f "$place"/hardline/native/*.so
include=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
cc -std=c11 -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all \
    -Wall -Wextra -Wconversion -Wno-sign-conversion -Werror -shared -fPIC -I"$include" \
    hardline/native/*.c -o "$place/hardline/native/_carry.abi3.so"
cd "$place"
# What Python itself never frees is no finding; its own allocator would hide ours.
export LD_PRELOAD="$(cc -print-file-name=libasan.so) $(cc -print-file-name=libubsan.so)"
export ASAN_OPTIONS=detect_leaks=0 PYTHONMALLOC=malloc
[ $# -gt 0 ] || set -- tests/session tests/transport tests/fuzz
# Time and memory are not as ever here.
exec "$python" -m pytest -q -p no:cacheprovider -k "not takes_long and not takes_much_memory" "$@"
