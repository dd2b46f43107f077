# shellcheck shell=bash
# Where downloaded things live: outside the checkout, shared by every checkout of this user.

TRAINMASTER_CACHE=${TRAINMASTER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/trainmaster}
mkdir -p "$TRAINMASTER_CACHE"

# Holds the named lock until this script ends, so that two set-ups at once do the work once.
lock() {
    exec {lock_descriptor}>"$TRAINMASTER_CACHE/.$1.lock"
    flock "$lock_descriptor"
}

# Sets `staging` to an empty directory beside the cache's contents, removed when the script ends. What is complete
# is renamed from there into its place, so a half-finished download is never taken for a whole one.
stage() {
    staging=$(mktemp -d "$TRAINMASTER_CACHE/.staging.XXXXXX")
    trap 'rm -rf "$staging"' EXIT
}
