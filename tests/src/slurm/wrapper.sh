#!/bin/sh
# Stands before one of SLURM's programs, whose name it bears: notes the call, and does what the plan says.
name=${0##*/} here=${0%/*}
about=$here/..
PATH=$(printf '%s' "$PATH" | sed "s|$here:||g")
printf '%s\n' "$*" | tr '\n' ' ' | sed 's/ *$/\n/' >>"$about/$name.calls"
if [ ! -e "$about/$name.plan" ]; then
    exec "$name" "$@"
fi
plan=$about/$name.plan.$$
cp "$about/$name.plan" "$plan" 2>/dev/null || exec "$name" "$@"
. "$plan"
# Whoever removes it is the one whom it was meant for.
if [ -z "$lasts" ] && ! rm "$about/$name.plan" 2>/dev/null; then
    rm "$plan"
    exec "$name" "$@"
fi
rm "$plan"
sleep "$before"
if [ -n "$refusal" ]; then
    printf '%s\n' "$refusal" >&2
    exit 1
fi
if [ -n "$rewrite" ]; then
    "$name" "$@" | sed "$rewrite"
    exit
fi
said=$("$name" "$@")
status=$?
sleep "$between"
[ -z "$said" ] || printf '%s\n' "$said"
sleep "$after"
exit "$status"
