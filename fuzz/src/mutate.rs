//! Inputs from inputs, without coverage: what a test can do on the stable toolchain, where a target is too heavy to be built for a fuzzer.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

/// Numbers at which length fields and counters break.
const EDGES: [u64; 10] = [
    0,
    1,
    0x7f,
    0xff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    1 << 40,
    0x7fff_ffff_ffff_ffff,
    u64::MAX,
];

/// Numbers that look random (SplitMix64).
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end.max(1) as u64) as usize
    }
}

/// Runs every input of a folder, then changed ones: for so long as `TRAINMASTER_FUZZ_SECONDS` says, else for two seconds. An input that
/// panics stands in the message's file. Returns how many were run.
///
/// # Panics
/// When the folder cannot be read, and when an input is not survived.
pub fn campaign(corpus: &Path, run: fn(&[u8])) -> u64 {
    let mut inputs: Vec<Vec<u8>> = fs::read_dir(corpus)
        .expect("the corpus")
        .map(|entry| fs::read(entry.expect("an entry").path()).expect("an input"))
        .collect();
    inputs.sort();
    for input in &inputs {
        run(input);
    }
    let seconds = std::env::var("TRAINMASTER_FUZZ_SECONDS").ok();
    let seconds = seconds.and_then(|text| text.parse().ok()).unwrap_or(2);
    let (begun, limit) = (Instant::now(), Duration::from_secs(seconds));
    // A long campaign goes its own way each time; a short one is the same for all.
    let seed = if seconds > 2 {
        u64::from(std::process::id())
    } else {
        0
    };
    let mut draw = Draw(seed);
    let mut runs = 0;
    while begun.elapsed() < limit {
        let input = changed(&inputs, &mut draw);
        if let Err(panic) = std::panic::catch_unwind(|| run(&input)) {
            let path =
                std::env::temp_dir().join(format!("trainmaster-crash-{}", std::process::id()));
            fs::write(&path, &input).expect("the input can be kept");
            eprintln!("seed {seed}, run {runs}: the input is {}", path.display());
            std::panic::resume_unwind(panic);
        }
        runs += 1;
    }
    println!("{runs} inputs in {seconds} s");
    runs
}

fn changed(inputs: &[Vec<u8>], draw: &mut Draw) -> Vec<u8> {
    let mut input = inputs[draw.below(inputs.len())].clone();
    for _ in 0..=draw.below(4) {
        let at = draw.below(input.len());
        match draw.below(8) {
            0 => input.truncate(at),
            1 if !input.is_empty() => input[at] ^= 1 << draw.below(8),
            2 if !input.is_empty() => input[at] = draw.below(256) as u8,
            3 | 4 => {
                let width = [1, 2, 4, 8][draw.below(4)];
                let edge = EDGES[draw.below(EDGES.len())].to_le_bytes();
                let end = (at + width).min(input.len());
                input[at..end].copy_from_slice(&edge[..end - at]);
            }
            5 => {
                let end = at + draw.below((input.len() - at).min(64));
                let part = input[at..end].to_vec();
                let to = draw.below(input.len() + 1);
                input.splice(to..to, part);
            }
            6 => {
                let end = at + draw.below((input.len() - at).min(64));
                input.drain(at..end);
            }
            _ => {
                let other = &inputs[draw.below(inputs.len())];
                let from = draw.below(other.len());
                let end = from + draw.below((other.len() - from).min(256));
                let part = other[from..end].to_vec();
                let to = (at + part.len()).min(input.len());
                input.splice(at..to, part);
            }
        }
    }
    input
}
