//! What is logged: the operator's directives over quiet defaults for libraries.

use tracing_subscriber::EnvFilter;

use crate::failure::Failure;

/// Libraries that say at `info` what only they care about, or at `debug` what must not be in a log
/// (headers, statements).
const QUIET: &str = "hyper=warn,hyper_util=warn,h2=warn,rustls=warn,tower=warn,sqlx=warn,hickory_resolver=warn,\
                     hickory_proto=warn,hickory_net=warn,opentelemetry=warn,opentelemetry_sdk=warn,opentelemetry_otlp=warn";

/// A directive for a library named here wins over the quiet default.
pub(crate) fn filter(directives: &str) -> Result<EnvFilter, Failure> {
    EnvFilter::builder().parse(format!("{QUIET},{directives}")).map_err(|error| {
        Failure::usage(format!(
            "`log.filter` can't be used: {error}. Write a level (error, warn, info, debug, trace) or directives such as \
             info,switchboard_broker=debug"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_word_is_last() {
        assert!(filter("info").unwrap().to_string().contains("sqlx=warn"));
        let loud = filter("debug,sqlx=trace").unwrap().to_string();
        assert!(loud.contains("sqlx=trace") && !loud.contains("sqlx=warn"), "{loud}");
        assert!(filter("info,what=ever=this").unwrap_err().to_string().contains("log.filter"));
    }
}
