//! Replays the corpus and some thousand changes of each of its files: the same ones in every run. One test and no other in this file,
//! because it counts what the process allocates.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use fuzz::seeds::seeds;
use fuzz::{Target, targets};
use peak_alloc::PeakAlloc;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Changes of each file: as many as take the whole test about half a minute. `FUZZ_CHANGES=100000` looks longer.
const CHANGES: usize = 10_000;
/// A longer input than a mutant needs; pages of many entries are the fuzzer's.
const MUTANT_BYTES_MAX: usize = 64 * 1_024;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort_unstable();
    files
}

/// Runs one input, counting. A violation panics; the input is then in the output, to be saved as `corpus/NAME/crash-…`.
fn run(target: &Target, input: &[u8], from: &Path) {
    let before = PeakAlloc.current_usage();
    PeakAlloc.reset_peak_usage();
    let outcome = std::panic::catch_unwind(|| (target.run)(input));
    let allocated = PeakAlloc.peak_usage().saturating_sub(before);
    let hex = || input.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert!(outcome.is_ok(), "{}, made of {}: {}", target.name, from.display(), hex());
    assert!(
        allocated <= target.allocated_max(input.len()),
        "{}: {} bytes of input allocate {allocated}: {}",
        target.name,
        input.len(),
        hex()
    );
}

/// Changes an input in one to four places.
fn mutate(random: &mut ChaCha8Rng, seed: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..random.random_range(1..=4) {
        let place = random.random_range(0..=bytes.len());
        let end = random.random_range(place..=bytes.len().min(place + 64));
        match random.random_range(0..9) {
            0 => bytes.truncate(place),
            1 => drop(bytes.splice(place..place, random.random::<[u8; 4]>())),
            2 => drop(bytes.drain(place..end)),
            // A piece of itself or of another file, over or between what is there.
            3 | 4 => {
                let source = if random.random() { seed } else { other };
                let start = random.random_range(0..=source.len());
                let stop = random.random_range(start..=source.len().min(start + 256));
                let over = if random.random() { bytes.len().min(place + stop - start) } else { place };
                drop(bytes.splice(place..over, source[start..stop].iter().copied()));
            }
            // A number of 1, 2, 4 or 8 bytes at an edge: lengths, counts and tags are among them.
            5 => {
                let width = 1 << random.random_range(0..4);
                let edges = [0, 1, 2, 255, 256, 65_535, 1 << 20, u64::from(u32::MAX), u64::MAX / 3, u64::MAX];
                let number = edges[random.random_range(0..edges.len())].to_le_bytes();
                if let Some(field) = bytes.get_mut(place..place + width) {
                    field.copy_from_slice(&number[..width]);
                }
            }
            6 => {
                if let Some(byte) = bytes.get_mut(place) {
                    *byte = byte.wrapping_add(if random.random() { 1 } else { 255 });
                }
            }
            _ => {
                if let Some(byte) = bytes.get_mut(place) {
                    *byte ^= 1 << random.random_range(0..8);
                }
            }
        }
    }
    bytes.truncate(MUTANT_BYTES_MAX);
    bytes
}

/// Seeds are what they were, every target has one, and no folder is left of a target that is gone.
fn check_seeds() {
    let is_written = std::env::var_os("FUZZ_WRITE_SEEDS").is_some();
    let mut of_target: BTreeMap<&str, usize> = targets().map(|target| (target.name, 0)).collect();
    for seed in seeds() {
        let path = corpus().join(seed.target).join(&seed.file);
        if is_written {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &seed.bytes).unwrap();
        }
        let saved = std::fs::read(&path).unwrap_or_default();
        assert!(saved == seed.bytes, "{}: not the seed; FUZZ_WRITE_SEEDS=1 writes it", path.display());
        if let Some(count) = of_target.get_mut(seed.target) {
            *count += 1;
        }
    }
    assert_eq!(of_target.into_iter().find(|(_, count)| *count == 0), None, "a target without a seed");
    // Without the features there are targets that this build does not have.
    if cfg!(feature = "node") {
        for folder in files(&corpus()) {
            let name = folder.file_name().unwrap().to_string_lossy().into_owned();
            assert!(Target::named(&name).is_some(), "{name}: a corpus of no target");
        }
    }
}

#[test]
fn what_was_found_and_its_neighbours_break_nothing() {
    check_seeds();
    let changes = std::env::var("FUZZ_CHANGES").ok().and_then(|asked| asked.parse().ok()).unwrap_or(CHANGES);
    let started = Instant::now();
    for target in targets() {
        let began = Instant::now();
        let paths = files(&corpus().join(target.name));
        let inputs: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
        // Tables that are made once are not counted against the first input.
        inputs.iter().for_each(|input| (target.run)(input));
        let mut random = ChaCha8Rng::seed_from_u64(7);
        for (path, input) in paths.iter().zip(&inputs) {
            run(target, input, path);
            for _ in 0..changes {
                let other = &inputs[random.random_range(0..inputs.len())];
                let mutant = mutate(&mut random, input, other);
                run(target, &mutant, path);
            }
        }
        println!("{:24} {:3} files {:6} ms", target.name, inputs.len(), began.elapsed().as_millis());
    }
    println!("{} ms in all", started.elapsed().as_millis());
}
