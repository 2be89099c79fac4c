//! Every target for a moment with the same changes every time, and (`./test --long`) for a minute with others.

use std::time::{Duration, Instant};

use switchboard_domain::{Random, SeededRandom, SystemRandom};
use switchboard_fuzz::{all, run};

/// How many inputs of each target a plain `./test` tries.
const INPUTS: u64 = 10_000;

fn holds(name: &str, random: &dyn Random, goes_on: impl FnMut(u64) -> bool) {
    let target = all().into_iter().find(|target| target.name == name).expect("a target");
    if let Err(crash) = run(&target, random, goes_on) {
        panic!("{name}: {}\nfor {:?}", crash.message, String::from_utf8_lossy(&crash.input));
    }
}

macro_rules! targets {
    ($($name:ident),*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn holds_for_a_moment() {
                holds(stringify!($name), &SeededRandom::new(1), |count| count < INPUTS);
            }

            #[test]
            #[ignore = "a minute: part of ./test --long"]
            fn holds_for_a_minute() {
                let ends = Instant::now() + Duration::from_secs(60);
                holds(stringify!($name), &SystemRandom, |_| Instant::now() < ends);
            }
        }
    )*

        #[test]
        fn every_target_is_run() {
            let names: Vec<_> = all().iter().map(|target| target.name).collect();
            assert_eq!(names, [$(stringify!($name)),*]);
        }
    };
}

targets!(json_rpc, sse, headers, client_documents, server_documents, urls);
