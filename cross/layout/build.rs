//! Gives the linker the layout of the program: `order.ld` beside this file.
//!
//! The kernel maps a program in pieces of 64 KiB, and a start touches functions all over it, so
//! nearly all of it would count as used. The layout puts what a start and plain messages need in
//! one place. It is no more than that: what it does not name, or names in vain after a change of
//! the program or of the compiler, lies where it would lie without it; and a linker that cannot
//! read it (gold, mold) does not get it. `record.sh` writes it anew.

use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs};

const LAYOUT: &str = "cross/layout/order.ld";

fn main() {
    println!("cargo::rerun-if-changed={LAYOUT}");
    println!("cargo::rerun-if-changed=cross/layout/build.rs");
    println!("cargo::rerun-if-env-changed=MIDGE_LAYOUT");
    let arg = format!("-Wl,-T,{}/{LAYOUT}", variable("CARGO_MANIFEST_DIR"));
    // Where the standard library is built as well nothing can be linked yet, so who does that says
    // it himself: 1 or 0.
    let is_wanted = match variable("MIDGE_LAYOUT").as_str() {
        "" => variable("PROFILE") == "release" && is_taken(&arg),
        said => said == "1",
    };
    if is_wanted {
        println!("cargo::rustc-link-arg-bin=midge={arg}");
    }
}

/// Links an empty program as this one will be, and says whether that works.
fn is_taken(arg: &str) -> bool {
    let folder = variable("OUT_DIR");
    let source = Path::new(&folder).join("probe.rs");
    if fs::write(&source, "fn main() {}\n").is_err() {
        return false;
    }
    let mut rustc = Command::new(variable("RUSTC"));
    rustc.args(["--target", &variable("TARGET"), "--out-dir", &folder]);
    let flags = variable("CARGO_ENCODED_RUSTFLAGS");
    rustc.args(flags.split('\x1f').filter(|flag| !flag.is_empty()));
    let linker = variable("RUSTC_LINKER");
    if !linker.is_empty() {
        rustc.args(["-C", &format!("linker={linker}")]);
    }
    rustc.args(["-C", &format!("link-arg={arg}")]).arg(source);
    let status = rustc.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}
