# shellcheck shell=bash
# Finding the PostgreSQL server programs, which Debian keeps off the PATH.

# Prints the directory of the newest server from version 15 on that has the extensions the daemon asks for.
postgres_programs() {
    local directory version extensions
    while read -r directory; do
        [[ -x $directory/postgres && -x $directory/initdb ]] || continue
        version=$("$directory/postgres" --version | sed -n 's/^postgres (PostgreSQL) \([0-9]*\).*/\1/p')
        ((${version:-0} >= 15)) || continue
        extensions=$("$directory/pg_config" --sharedir 2>/dev/null || echo "/usr/share/postgresql/$version")/extension
        [[ -e $extensions/hstore.control && -e $extensions/pg_stat_statements.control ]] || continue
        printf '%s\n' "$directory"
        return
    done < <(
        printf '%s\n' /usr/lib/postgresql/*/bin | sort --version-sort --reverse
        command -v postgres | xargs --no-run-if-empty dirname
    )
    return 1
}
