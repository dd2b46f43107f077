# shellcheck shell=bash
# Doing what only root may do: as root, or through a sudo that asks no password.

can_be_root() {
    ((EUID == 0)) || sudo -n true 2>/dev/null
}

as_root() {
    if ((EUID == 0)); then "$@"; else sudo -n -- "$@"; fi
}
