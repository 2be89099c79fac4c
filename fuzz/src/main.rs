//! `switchboard-fuzz`: every reader of strangers' bytes, for as long as there is time.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "its output is what it is for")]

use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Parser;
use sha2::{Digest as _, Sha256};
use switchboard_domain::{Random, SeededRandom, SystemRandom};
use switchboard_fuzz::{Crash, Target, all, feed, run};

/// Feeds the readers of strangers' bytes with changed vectors, and keeps what one choked on.
#[derive(Debug, Parser)]
#[command(after_help = "Examples
  cargo run --release -p switchboard-fuzz -- --minutes 60
  cargo run --release -p switchboard-fuzz -- --minutes 5 urls
  cargo run --release -p switchboard-fuzz -- --input fuzz/crashes/urls-0123456789ab urls")]
struct Arguments {
    /// Which targets; without, all of them.
    targets: Vec<String>,
    /// For how long, shared among the targets.
    #[arg(long, default_value_t = 60, value_name = "MINUTES")]
    minutes: u64,
    /// The number that the changes follow from; without, another one every time.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Feeds this one input instead.
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let targets: Vec<Target> = all()
        .into_iter()
        .filter(|target| {
            arguments.targets.is_empty() || arguments.targets.iter().any(|name| name == target.name)
        })
        .collect();
    if targets.is_empty() {
        let names: Vec<_> = all().iter().map(|target| target.name).collect();
        eprintln!("There is no such target. Targets: {}.", names.join(", "));
        return ExitCode::from(2);
    }
    let share = Duration::from_secs(arguments.minutes * 60) / u32::try_from(targets.len()).unwrap_or(1);
    let seed = arguments.seed.unwrap_or_else(|| u64::from_le_bytes((&SystemRandom as &dyn Random).bytes()));
    let mut crashed = false;
    for target in &targets {
        let outcome = match &arguments.input {
            Some(file) => match std::fs::read(file) {
                Ok(input) => feed(target, &input).map(|()| 1),
                Err(error) => {
                    eprintln!("{} can't be read: {error}.", file.display());
                    return ExitCode::from(2);
                }
            },
            None => {
                let ends = Instant::now() + share;
                run(target, &SeededRandom::new(seed), |_| Instant::now() < ends)
            }
        };
        match outcome {
            Ok(count) => println!("{:<18} ok, {count} inputs (seed {seed})", target.name),
            Err(crash) => {
                crashed = true;
                println!(
                    "{:<18} choked: {} ({})",
                    target.name,
                    crash.message,
                    kept(target, &crash).display()
                );
            }
        }
    }
    ExitCode::from(u8::from(crashed))
}

/// Where the input was put, so that it can be fed again.
fn kept(target: &Target, crash: &Crash) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("crashes");
    let digest = hex::encode(&Sha256::digest(&crash.input)[..6]);
    let file = folder.join(format!("{}-{digest}", target.name));
    if let Err(error) = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&file, &crash.input)) {
        eprintln!("{} can't be written: {error}. The input: {:?}", file.display(), crash.input);
    }
    file
}
