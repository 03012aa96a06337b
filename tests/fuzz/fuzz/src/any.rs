//! One program for every target: `FUZZ_TARGET` names it, so that nothing is compiled once for each.

#![no_main]

use std::sync::LazyLock;

use fuzz::{Target, targets};
use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let names = || targets().map(|target| target.name).collect::<Vec<_>>().join(" ");
    Target::named(&name).unwrap_or_else(|| panic!("FUZZ_TARGET={name} is none of: {}", names()))
});

fuzz_target!(|bytes: &[u8]| (TARGET.run)(bytes));
