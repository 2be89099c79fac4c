//! Secrets that a test gives to Switchboard. They are looked for in everything it leaves behind, in every spelling: each
//! line of its log and each span while the test runs, its metrics and all rows and files of its database afterwards.
//! What is found fails the test, whatever else it was about.

use std::{
    io::{self, Write},
    sync::OnceLock,
};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use memchr::memmem;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use parking_lot::Mutex;
use tracing_subscriber::{
    Layer as _,
    filter::{LevelFilter, Targets},
    fmt::format::FmtSpan,
    layer::SubscriberExt as _,
};

/// Shorter ones stand in texts by chance.
const SHORTEST: usize = 12;

struct Watch {
    needles: Mutex<Vec<Vec<u8>>>,
    found: Mutex<Vec<String>>,
    metrics: PrometheusHandle,
}

/// One for all tests of a process.
fn watch() -> &'static Watch {
    static WATCH: OnceLock<Watch> = OnceLock::new();
    WATCH.get_or_init(|| {
        let recorder = PrometheusBuilder::new().build_recorder();
        let metrics = recorder.handle();
        // A test may have one of its own: then that is looked at by nobody.
        let _ = metrics::set_global_recorder(recorder);
        // Spans are told at their end too, with all that was recorded of them: what OTLP sends is no more than that.
        let log = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_span_events(FmtSpan::CLOSE)
            .with_writer(|| Line)
            .with_filter(
                Targets::new().with_default(LevelFilter::INFO).with_target("switchboard", LevelFilter::TRACE),
            );
        let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(log));
        Watch { needles: Mutex::default(), found: Mutex::default(), metrics }
    })
}

struct Line;

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        look("the log", line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Begins to look, before anything is known to look for.
pub fn begin() {
    watch();
}

/// From now on nothing may hold this.
pub fn remember(secret: &str) {
    if secret.len() < SHORTEST {
        return;
    }
    let mut needles = watch().needles.lock();
    if !needles.iter().any(|known| known == secret.as_bytes()) {
        needles.extend(spellings(secret));
    }
}

/// As it is, in hex, percent-encoded, and in base64 wherever in a longer text it stands.
fn spellings(secret: &str) -> Vec<Vec<u8>> {
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let form: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let mut spellings = vec![secret.to_owned(), hex.to_uppercase(), hex];
    spellings.extend([form.to_lowercase(), form.replace('+', "%20"), form]);
    for before in 0..3 {
        let text = STANDARD_NO_PAD.encode([&vec![b'-'; before], secret.as_bytes()].concat());
        // The first and last characters also depend on what stands beside it.
        let inner = text[4..text.len() - 3].to_owned();
        spellings.push(inner.replace('+', "-").replace('/', "_"));
        spellings.push(inner);
    }
    spellings.sort();
    spellings.dedup();
    spellings.into_iter().map(String::into_bytes).collect()
}

/// Looks through what Switchboard left in this place.
pub fn look(place: &str, bytes: &[u8]) {
    let watch = watch();
    let needles = watch.needles.lock();
    if let Some(needle) = needles.iter().find(|needle| memmem::find(bytes, needle).is_some()) {
        let at = memmem::find(bytes, needle).unwrap_or_default();
        let around = &bytes[at.saturating_sub(200)..(at + needle.len() + 100).min(bytes.len())];
        let text = format!(
            "{place} holds the secret {}: …{}…",
            String::from_utf8_lossy(needle),
            String::from_utf8_lossy(around)
        );
        watch.found.lock().push(text);
    }
}

/// Whether a secret was found since this was last asked; looks through the metrics first.
pub fn found() -> Vec<String> {
    let watch = watch();
    look("the metrics", watch.metrics.render().as_bytes());
    std::mem::take(&mut *watch.found.lock())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "canary/of+tests which is long";

    #[test]
    fn every_spelling_is_found_in_the_middle_of_anything() {
        let spellings = spellings(SECRET);
        let within =
            |text: String| spellings.iter().any(|spelling| memmem::find(text.as_bytes(), spelling).is_some());
        assert!(within(format!("Bearer {SECRET}!")));
        assert!(within(STANDARD_NO_PAD.encode(format!("Basic {SECRET} and more"))));
        assert!(within(url::form_urlencoded::byte_serialize(SECRET.as_bytes()).collect()));
        assert!(!within("canary/of tests which is long".into()));
    }

    crate::on_both! {
        #[should_panic(expected = "holds the secret")]
        async fn a_row_that_holds_one_fails_the_test(database) {
            remember(SECRET);
            let mut organization = database.organization("acme").await;
            organization.name = SECRET.into();
            organization.id = switchboard_domain::OrganizationId::new(&database.clock, &database.random);
            organization.slug = "other".parse().unwrap();
            let mut tx = database.db.write().await.unwrap();
            tx.organizations().insert(&organization).await.unwrap();
            tx.commit().await.unwrap();
        }
    }

    #[test]
    fn the_log_the_spans_and_the_metrics_are_looked_at() {
        remember(SECRET);
        assert_eq!(found(), Vec::<String>::new());
        tracing::trace!(target: "switchboard_broker", "nothing is said of it");
        assert_eq!(found(), Vec::<String>::new());
        tracing::info!(token = SECRET, "said");
        assert_eq!(found().len(), 1);
        drop(tracing::info_span!("a span", token = SECRET));
        assert_eq!(found().len(), 1);
        metrics::counter!("a_counter", "token" => SECRET).increment(1);
        assert_eq!(found().len(), 1);
    }
}
