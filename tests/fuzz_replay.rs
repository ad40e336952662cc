//! The fuzz targets without a fuzzer: all that is in their corpora, which has everything that ever
//! failed, and some thousands of seeded changes to it. `make fuzz` looks for more.

#[allow(dead_code)] // the fuzzer needs the rest
#[path = "fuzz/src/lib.rs"]
mod fuzz;

use fuzz::common::mutate::mutate;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Changed inputs for each target.
const MUTATIONS: u64 = 3000;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a body; if it panics, says with which bytes, for a file in the corpus.
fn run(name: &str, body: fn(&[u8]), input: &[u8], origin: &str) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(input))) {
        let path = root().join(format!("target/{name}-failed"));
        let kept = std::fs::write(&path, input);
        eprintln!("{name}, {origin}: {kept:?} in {}", path.display());
        std::panic::resume_unwind(panic);
    }
}

fn replay(target: &str) {
    let (_, body) = fuzz::TARGETS
        .into_iter()
        .find(|(name, _)| *name == target)
        .expect("a target of this name");
    let seeds = fuzz::seeds::of(target, root());
    for (n, seed) in seeds.iter().enumerate() {
        run(target, body, seed, &format!("input {n} of {}", seeds.len()));
    }
    for seed in 0..MUTATIONS {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut input = seeds[rng.usize(..seeds.len())].clone();
        mutate(&mut rng, &mut input, &seeds);
        run(target, body, &input, &format!("seed {seed}"));
    }
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })*

        #[test]
        fn every_target_is_replayed() {
            let names = fuzz::TARGETS.map(|(name, _)| name);
            assert_eq!(names, [$(stringify!($name)),*]);
        }
    };
}

targets! { acl client conf decode journal mosquitto_db passwords receive topics }

#[test]
fn every_target_has_its_entry() {
    let text = std::fs::read_to_string(root().join("tests/fuzz/Cargo.toml")).unwrap();
    for (name, _) in fuzz::TARGETS {
        assert!(
            text.contains(&format!("path = \"fuzz_targets/{name}.rs\"")),
            "{name}"
        );
        assert!(
            root()
                .join(format!("tests/fuzz/fuzz_targets/{name}.rs"))
                .exists()
        );
    }
}
