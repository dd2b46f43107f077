# shellcheck shell=bash
# Where ops/setup-libtorch puts its libtorch, and whether a libtorch is whole.

libtorch_version=$(sed -n 's/^torch==\([0-9.]*\).*/\1/p' "$(dirname "${BASH_SOURCE[0]}")/../packages/libtorch.txt")
libtorch_directory=$TRAINMASTER_CACHE/libtorch-$libtorch_version

# Prints why the libtorch in a directory cannot be loaded; nothing when it can.
libtorch_load_error() {
    python3 - "$1/lib/libtorch.so" 2>&1 <<'PYTHON'
import ctypes, sys
try:
    ctypes.CDLL(sys.argv[1])
except OSError as error:
    print(error)
PYTHON
}

libtorch_loads() {
    [[ -e $1/lib/libtorch.so && -d $1/include && -z $(libtorch_load_error "$1") ]]
}

# Points the build at the libtorch of the cache, unless the user has chosen another.
use_libtorch() {
    if [[ -z ${LIBTORCH:-} && ${LIBTORCH_USE_PYTORCH:-} != 1 ]]; then
        export LIBTORCH=$libtorch_directory
    fi
}
