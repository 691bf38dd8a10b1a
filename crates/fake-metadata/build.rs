//! Lays the functions that a start and the requests use beside each other in the released program.
//!
//! The kernel maps a program's file by windows of 64 KiB around each page that is touched. The linker leaves what is
//! used, some 2 MiB, all over 11 MiB of functions, and more than half of those windows become resident.
//! `hot-functions` names what is used, one glob of linker symbols a line; `make hot-functions` writes it. A name
//! that a compiler no longer makes costs nothing but its place.
//!
//! `FUNCTION_ORDER=linker` leaves the order to the linker: for one that reads no linker scripts, as mold, which is
//! noticed where cargo is told of it.

use std::env::{var, var_os};
use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

const LIST: &str = "hot-functions";

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={LIST}");
    println!("cargo:rerun-if-env-changed=FUNCTION_ORDER");
    if !is_wanted() {
        return Ok(());
    }
    let out = var_os("OUT_DIR").ok_or_else(|| io::Error::other("OUT_DIR: cargo sets it"))?;
    let script = Path::new(&out).join("hot-functions.ld");
    fs::write(&script, linker_script(&fs::read_to_string(LIST)?))?;
    // A comma would end the path in what the compiler passes on to the linker: then the order is the linker's.
    if !script.to_string_lossy().contains(',') {
        println!("cargo:rustc-link-arg-bins=-Wl,-T,{}", script.display());
    }
    Ok(())
}

fn is_wanted() -> bool {
    let is = |name: &str, value: &str| var(name).is_ok_and(|found| found == value);
    let reads_no_scripts = |name: &str| var(name).is_ok_and(|found| found.contains("mold"));
    is("PROFILE", "release")
        && is("CARGO_CFG_TARGET_OS", "linux")
        && !is("FUNCTION_ORDER", "linker")
        && !reads_no_scripts("CARGO_ENCODED_RUSTFLAGS")
        && !reads_no_scripts("RUSTC_LINKER")
}

/// An addition to the linker's own script: every function has a section of its own, named after it.
fn linker_script(list: &str) -> String {
    let mut script = "SECTIONS {\n  .text.hot : {\n".to_string();
    for symbols in list.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let _ = writeln!(script, "    *(.text.{symbols} .text.unlikely.{symbols})");
    }
    script + "  }\n} INSERT BEFORE .text;\n"
}
