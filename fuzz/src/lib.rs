//! What strangers send, made wrong in every way: each [`Target`] reads bytes as Switchboard reads them and checks what has to
//! hold whatever they are. It begins with the vectors of `testdata/security` and changes them again and again.
//!
//! This runs on the stable toolchain and without instrumentation: it does not learn which change led to new code, but
//! with the vectors as a start and the words of each format at hand it comes far, thousands of times a second. The tests
//! run each target for a moment with the same changes every time; `switchboard-fuzz` goes on for as long as it is told,
//! with other changes every time, and keeps what a target choked on.

mod corpus;
mod mutation;
mod targets;

use switchboard_domain::Random;

pub use targets::{Target, all};

use mutation::Mutation;

/// What a target choked on.
#[derive(Debug)]
pub struct Crash {
    pub input: Vec<u8>,
    /// What the panic said.
    pub message: String,
}

/// Feeds a target changed inputs while `goes_on` says so; how many there were, or the first it choked on.
pub fn run(
    target: &Target,
    random: &dyn Random,
    mut goes_on: impl FnMut(u64) -> bool,
) -> Result<u64, Box<Crash>> {
    let corpus = (target.corpus)();
    assert!(!corpus.is_empty(), "{}: nothing to begin with", target.name);
    for input in &corpus {
        feed(target, input)?;
    }
    let mutation = Mutation { random, corpus: &corpus, words: target.words };
    let mut count = 0;
    while goes_on(count) {
        feed(target, &mutation.next())?;
        count += 1;
    }
    Ok(count)
}

/// One input; a panic becomes an error that keeps it.
pub fn feed(target: &Target, input: &[u8]) -> Result<(), Box<Crash>> {
    std::panic::catch_unwind(|| (target.check)(input)).map_err(|panic| {
        let said = panic.downcast_ref::<String>().cloned();
        let message = said.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Box::new(Crash { input: input.to_vec(), message: message.unwrap_or_default() })
    })
}
