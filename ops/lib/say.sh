# shellcheck shell=bash
# What the scripts tell the person who runs them. It goes to standard error: standard output is for results.

if [[ -t 2 && -z ${NO_COLOR:-} ]]; then
    bold=$'\033[1m' red=$'\033[1;31m' plain=$'\033[0m'
else
    bold='' red='' plain=''
fi

say() {
    printf '%s==>%s %s\n' "$bold" "$plain" "$*" >&2
}

# fail WHAT [WHAT TO DO ...]
fail() {
    printf '%serror:%s %s\n' "$red" "$plain" "$1" >&2
    shift
    (($# == 0)) || printf '       %s\n' "$@" >&2
    exit 1
}
