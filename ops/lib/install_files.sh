# shellcheck shell=bash
# Which file goes where. All below /usr/local, where programs are that no package manages; configuration in /etc.

# install_files ROOT PROGRAMS [LIBTORCH]: into the file system at ROOT ('' for this one), from the directory of the built
# programs, with the libtorch that the trainer was built against.
install_files() {
    local root=$1 programs=$2 libtorch=${3:-} local_root=$1/usr/local

    install -D -m 755 -t "$local_root/bin" "$programs/trainmaster" "$programs/trainmaster-trainer"
    if [[ -n $libtorch ]]; then
        # The trainer looks here first, relative to itself.
        rm -rf "$local_root/lib/trainmaster/libtorch"
        install -d "$local_root/lib/trainmaster/libtorch/lib"
        cp -L "$libtorch"/lib/*.so* "$local_root/lib/trainmaster/libtorch/lib/"
    fi

    install -D -m 644 -t "$local_root/lib/systemd/system" systemd/trainmaster.service systemd/trainmaster-*.service systemd/trainmaster-*.timer
    install -D -m 644 systemd/scheduled.conf "$local_root/lib/systemd/system/trainmaster-.service.d/scheduled.conf"
    install -D -m 644 systemd/sysusers.conf "$local_root/lib/sysusers.d/trainmaster.conf"
    install -D -m 644 systemd/tmpfiles.conf "$local_root/lib/tmpfiles.d/trainmaster.conf"
    install -D -m 644 -t "$local_root/share/doc/trainmaster" README.md LICENSE ops/handbook.md systemd/cuda.conf systemd/remote.conf
    install -D -m 644 ops/postgresql/edge.conf "$root/etc/trainmaster/postgresql/edge.conf"
    install -D -m 644 -t "$local_root/share/doc/trainmaster" ops/postgresql/pg_hba.conf.example ops/pgbouncer/pgbouncer.ini
    install -D -m 644 -t "$local_root/share/doc/trainmaster/monitoring" ops/monitoring/*.sql

    # What the administrator has edited stays.
    [[ -e $root/etc/trainmaster/trainmaster.toml ]] ||
        install -D -m 640 ops/trainmaster.toml "$root/etc/trainmaster/trainmaster.toml"
    [[ -e $root/etc/trainmaster/environment ]] ||
        install -D -m 640 systemd/environment.example "$root/etc/trainmaster/environment"
}

remove_files() {
    local root=$1 local_root=$1/usr/local
    rm -f "$local_root/bin/trainmaster" "$local_root/bin/trainmaster-trainer" \
        "$local_root"/lib/systemd/system/trainmaster.service "$local_root"/lib/systemd/system/trainmaster-*.{service,timer} \
        "$local_root/lib/sysusers.d/trainmaster.conf" "$local_root/lib/tmpfiles.d/trainmaster.conf"
    rm -rf "$local_root/lib/systemd/system/trainmaster-.service.d"
    rm -rf "$local_root/lib/trainmaster" "$local_root/share/doc/trainmaster"
}
