//! Why a use case did not do what was asked: small enough to be mapped once at each surface.

use serde::Serialize;
use switchboard_storage::StorageError;

use crate::{AuditUnavailable, CredentialError, DataKeyError};

/// One thing that is wrong with what was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Violation {
    /// Where: member names joined by dots, such as `api_key.header`.
    pub path: String,
    /// What is wrong and what to write instead.
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// Unknown, or not for this caller: the same from outside.
    NotFound,
    /// The caller may see it, the token may not do it.
    Forbidden,
    /// Well-formed, but it can't be done as asked.
    Invalid,
    /// Something else has the name, or the thing is in a state that does not allow it.
    Conflict,
    /// It was edited since it was read.
    Stale,
    /// A store could not be asked: nothing was decided.
    Unavailable,
}

/// A refused request.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    pub kind: RefusalKind,
    /// Stable; see `docs/reference/errors.md`.
    pub code: &'static str,
    pub message: String,
    pub violations: Vec<Violation>,
    /// It exists, and the caller may not: only the audit log is told.
    pub(crate) forbidden: bool,
}

impl Refusal {
    fn new(kind: RefusalKind, code: &'static str, message: impl Into<String>) -> Self {
        Self { kind, code, message: message.into(), violations: Vec::new(), forbidden: false }
    }

    pub fn not_found() -> Self {
        Self::new(RefusalKind::NotFound, "not_found", "There is nothing here for you.")
    }

    /// Not found, and the audit log learns why.
    pub(crate) fn forbidden() -> Self {
        Self { forbidden: true, ..Self::not_found() }
    }

    /// It is known to be there, and an admin may.
    pub fn needs_admin() -> Self {
        let message = "This needs the role of an admin in your organization. Ask an admin or owner to do it, or to give \
                       you the role (switchboard member role).";
        Self { forbidden: true, ..Self::new(RefusalKind::Forbidden, "role_required", message) }
    }

    /// The message as a page says it: beside the form, a member's name in the API says nothing.
    pub fn in_words(&self) -> &str {
        match self.violations.first() {
            Some(violation) => &violation.message,
            None => {
                let named = self.message.strip_prefix('`').and_then(|rest| rest.split_once("`: "));
                named.map_or(&*self.message, |(_, message)| message)
            }
        }
    }

    /// Not for this caller, rather than not there.
    pub const fn is_forbidden(&self) -> bool {
        self.forbidden
    }

    pub fn insufficient_scope(message: impl Into<String>) -> Self {
        Self::new(RefusalKind::Forbidden, "insufficient_scope", message)
    }

    /// They may see it, so it is told apart from what is not there.
    pub(crate) fn not_an_approver(second_person: bool) -> Self {
        let who = if second_person { " It takes a second person: not the one whose agent asks." } else { "" };
        let message = format!(
            "You may not decide this call. Those whom the rule names can, in the console or with a token of their own \
             that has the scope `api` and did not ask itself.{who}"
        );
        Self { forbidden: true, ..Self::new(RefusalKind::Forbidden, "not_an_approver", message) }
    }

    pub fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(RefusalKind::Invalid, code, message)
    }

    pub fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(RefusalKind::Conflict, code, message)
    }

    pub(crate) fn stale() -> Self {
        Self::new(
            RefusalKind::Stale,
            "stale",
            "It was changed since you read it. Read it again and repeat your change.",
        )
    }

    pub(crate) fn unavailable() -> Self {
        Self::new(
            RefusalKind::Unavailable,
            "unavailable",
            "Switchboard can't reach or read its own records right now, so nothing was done. Try again in a moment.",
        )
    }
}

/// Collects what is wrong, so that all of it is told at once.
#[derive(Debug, Default)]
pub(crate) struct Violations(Vec<Violation>);

impl Violations {
    pub(crate) fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.0.push(Violation { path: path.into(), message: message.into() });
    }

    pub(crate) fn into_result(self) -> Result<(), Refusal> {
        let Some(first) = self.0.first() else { return Ok(()) };
        let message = match self.0.len() {
            1 => format!("`{}`: {}", first.path, first.message),
            count => format!("{count} members can't be taken as sent. `{}`: {}", first.path, first.message),
        };
        Err(Refusal { violations: self.0, ..Refusal::invalid("validation_failed", message) })
    }
}

impl From<StorageError> for Refusal {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Reference => Self::invalid(
                "unknown_reference",
                "It names a member, team or connection that is not in this organization.",
            ),
            StorageError::Duplicate => Self::conflict("exists_already", "There is one like this already."),
            error => {
                tracing::error!(%error, "a request can't be served");
                Self::unavailable()
            }
        }
    }
}

impl From<AuditUnavailable> for Refusal {
    fn from(_: AuditUnavailable) -> Self {
        Self::unavailable()
    }
}

impl From<DataKeyError> for Refusal {
    fn from(error: DataKeyError) -> Self {
        tracing::error!(%error, "a data key is not to be had");
        Self::unavailable()
    }
}

impl From<CredentialError> for Refusal {
    fn from(error: CredentialError) -> Self {
        match error {
            CredentialError::Storage(error) => error.into(),
            CredentialError::Key(error) => error.into(),
            CredentialError::NotAHeader(_) | CredentialError::NotBearer => {
                Self::invalid("validation_failed", format!("{error}."))
            }
            CredentialError::Missing
            | CredentialError::Unreadable
            | CredentialError::NotSignedIn
            | CredentialError::SignInOver
            | CredentialError::ReauthRequired
            | CredentialError::NotRenewed { .. }
            | CredentialError::Unavailable => {
                tracing::error!(%error, "a credential can't be stored");
                Self::unavailable()
            }
        }
    }
}
