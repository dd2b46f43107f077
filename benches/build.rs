//! Lets the benchmarks that need libtorch find it as the trainer does.

#[path = "../trainer/build.rs"]
mod libtorch;

fn main() {
    if std::env::var_os("CARGO_FEATURE_LIBTORCH").is_some() {
        libtorch::main();
    }
}
