# shellcheck shell=bash
# What the Rust side needs, and where its programs are.

# shellcheck disable=SC2034 # used by those who source this
rust_version=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$(dirname "${BASH_SOURCE[0]}")/../../Cargo.toml")
# shellcheck disable=SC2034
nextest_version=0.9.143

# rustup puts cargo here without every shell knowing; ops/setup-rust puts cargo-nextest into the cache.
export PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin:$TRAINMASTER_CACHE/cargo/bin
