# shellcheck shell=bash
# What the Rust side needs, and where its programs are.

rust_version=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$(dirname "${BASH_SOURCE[0]}")/../../Cargo.toml")
export rust_version
export nextest_version=0.9.143

# rustup puts cargo here without every shell knowing; ops/setup-rust puts cargo-nextest into the cache.
export PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin:$TRAINMASTER_CACHE/cargo/bin
