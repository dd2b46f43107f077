//! Lets every program of this package find libtorch at run time.
//!
//! `torch-sys` has already located libtorch (`LIBTORCH`, `LIBTORCH_USE_PYTORCH=1` or `/usr/lib`) and tells us where through
//! `DEP_TCH_LIBTORCH_LIB`, which Cargo hands to direct dependants only: hence the otherwise unused dependency on it.

use std::path::Path;

/// Emits what Cargo is to know.
pub fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") else {
        println!(
            "cargo::warning=torch-sys did not say where libtorch is: set LD_LIBRARY_PATH to run the trainer"
        );
        return;
    };
    println!(
        "cargo::rustc-env=LIBTORCH_VERSION={}",
        version(Path::new(&lib))
    );
    // The old kind of rpath (DT_RPATH) also serves the libraries that libtorch itself loads, which the new kind does not.
    // An installed trainer (<prefix>/bin) has its libtorch in <prefix>/lib/trainmaster: `ops/install` puts it there.
    let installed = "$ORIGIN/../lib/trainmaster/libtorch/lib";
    println!("cargo::rustc-link-arg=-Wl,--disable-new-dtags,-rpath,{installed}:{lib}");
    // The CUDA backend registers itself when it is loaded; no symbol of it is ever referred to, so the linker would drop it.
    println!("cargo::rustc-link-arg=-Wl,--no-as-needed");
    for library in ["torch_cuda", "torch_hip", "torch"] {
        if Path::new(&lib).join(format!("lib{library}.so")).exists() {
            println!("cargo::rustc-link-arg=-l{library}");
        }
    }
    println!("cargo::rustc-link-arg=-Wl,--as-needed");
}

/// What is beside the libraries says which libtorch they are: `build-version` in an archive, `version.py` in a Python package.
fn version(lib: &Path) -> String {
    let Some(root) = lib.parent() else {
        return "unknown".into();
    };
    let in_archive = std::fs::read_to_string(root.join("build-version"));
    let in_package = std::fs::read_to_string(root.join("version.py"));
    let python = |text: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix("__version__ = "))
            .map(|version| version.trim_matches('\'').to_owned())
    };
    in_archive
        .map(|text| text.trim().to_owned())
        .or_else(|_| in_package.map(|text| python(&text).unwrap_or_default()))
        .unwrap_or_else(|_| "unknown".into())
}
