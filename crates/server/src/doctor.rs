//! The operator's checks of an installation, as `switchboard doctor` makes them, for whoever owns it and sits at a browser.
//! What they look at (disk, keys, names, the way from outside to here) is known to the binary, not to the surfaces: it
//! brings them along.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use tokio::sync::Mutex;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grade {
    Ok,
    Warn,
    Fail,
}

/// One line of the report.
#[derive(Debug, Clone)]
pub struct Finding {
    pub grade: Grade,
    pub check: &'static str,
    /// What was found, and the next step where something is wrong.
    pub text: String,
}

impl Finding {
    pub fn ok(check: &'static str, text: impl Into<String>) -> Self {
        Self { grade: Grade::Ok, check, text: text.into() }
    }

    pub fn warn(check: &'static str, text: impl Into<String>) -> Self {
        Self { grade: Grade::Warn, check, text: text.into() }
    }

    pub fn fail(check: &'static str, text: impl Into<String>) -> Self {
        Self { grade: Grade::Fail, check, text: text.into() }
    }
}

type Checks = dyn Fn() -> Pin<Box<dyn Future<Output = Vec<Finding>> + Send>> + Send + Sync;

/// Makes the checks, one run at a time.
#[derive(Clone)]
pub struct Doctor {
    checks: Arc<Checks>,
    running: Arc<Mutex<()>>,
}

impl Doctor {
    pub fn new<F>(checks: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Vec<Finding>> + Send + 'static,
    {
        Self { checks: Arc::new(move || Box::pin(checks())), running: Arc::default() }
    }

    /// `None` while another run is under way.
    pub(crate) async fn examine(&self) -> Option<Vec<Finding>> {
        let _running = self.running.try_lock().ok()?;
        Some((self.checks)().await)
    }
}

impl fmt::Debug for Doctor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Doctor")
    }
}
