//! The trainmaster program.

fn main() -> std::process::ExitCode {
    trainmaster::cli::run()
}
