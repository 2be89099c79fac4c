//! How a command ends when it does not end well.

use crate::config::ConfigError;

/// Each variant is an exit code; the text says what happened and what to do next.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// 1: it was tried and did not work.
    #[error("{0}")]
    Failed(String),
    /// 2: it was asked for in a way that can't work.
    #[error("{0}")]
    Usage(String),
    /// 2, and everything was said already.
    #[error("")]
    UsageReported,
    /// 1, and everything was said already.
    #[error("")]
    Reported,
}

impl Failure {
    pub(crate) fn failed(text: impl Into<String>) -> Self {
        Self::Failed(text.into())
    }

    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::Usage(text.into())
    }

    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::Failed(_) | Self::Reported => 1,
            Self::Usage(_) | Self::UsageReported => 2,
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Usage(format!("The configuration can't be used.\n{error}"))
    }
}

/// Errors whose own text is for people.
macro_rules! failed_from {
    ($($error:ty),* $(,)?) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::Failed(error.to_string())
            }
        }
    )*};
}

failed_from!(
    switchboard_storage::StorageError,
    switchboard_vault::KeyError,
    switchboard_egress::EgressConfigError,
);
