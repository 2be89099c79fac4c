//! What became of a run, for a person: the result as text, as structured content and as it came, or the error in its own
//! words with the one thing to do about it.

use serde_json::Value;
use switchboard_broker::{CallFailure, Executed};
use switchboard_catalog::{displayed, revealed, revealed_json};
use switchboard_domain::ErrorCode;

/// Longest text of a result that is shown, in characters.
const SHOWN: usize = 200_000;

/// A result, or why there is none.
pub(super) struct Outcome {
    pub(super) title: &'static str,
    pub(super) tone: &'static str,
    /// Of an error: what happened.
    pub(super) message: Option<String>,
    pub(super) details: Vec<String>,
    pub(super) step: Option<Step>,
    pub(super) texts: Vec<String>,
    pub(super) structured: Option<String>,
    pub(super) raw: Option<String>,
    /// Finds the audit entries.
    pub(super) reference: String,
    /// What the same call is tried again with, once a person let it through.
    pub(super) approval: Option<String>,
}

pub(super) struct Step {
    pub(super) label: String,
    pub(super) address: String,
}

impl Outcome {
    pub(super) fn done(done: &Executed) -> Self {
        let result: Value = serde_json::from_slice(&done.result).unwrap_or_default();
        let raw = std::str::from_utf8(&done.result).unwrap_or_default();
        let (title, tone) =
            if done.is_error { ("The tool reports an error", "bad") } else { ("It ran", "good") };
        Self {
            title,
            tone,
            message: None,
            details: Vec::new(),
            step: None,
            texts: result["content"].as_array().into_iter().flatten().map(text_of).collect(),
            structured: result.get("structuredContent").map(|given| cut(&json(&given.to_string()))),
            raw: Some(cut(&json(raw))),
            reference: done.call_id.to_string(),
            approval: None,
        }
    }

    /// `origin` is ours: what an error links to is a page here.
    pub(super) fn failed(failure: &CallFailure, origin: &str, request_id: &str) -> Self {
        let error = &failure.error;
        let detail = |name: &str| error.details.as_ref().and_then(|details| details.get(name));
        let approval = detail("approval_id").and_then(Value::as_str).map(str::to_owned);
        let violations = detail("violations").and_then(Value::as_array).into_iter().flatten();
        let step = match (&approval, &error.action) {
            (Some(id), _) => {
                Some(Step { label: "Open the approval".to_owned(), address: format!("/approvals/{id}") })
            }
            (None, Some(action)) => {
                let path = action.url.as_deref().and_then(|url| url.strip_prefix(origin));
                path.filter(|path| path.starts_with('/'))
                    .map(|path| Step { label: action.label.clone(), address: path.to_owned() })
            }
            (None, None) => None,
        };
        Self {
            title: title_of(error.code),
            tone: if error.code == ErrorCode::ApprovalRequired { "ask" } else { "bad" },
            // What the error says of going on is for an agent; the page has a button for it.
            message: Some(match &approval {
                Some(_) => error.message.split(". Give them").next().unwrap_or_default().to_owned() + ".",
                None => error.message.clone(),
            }),
            details: violations.map(violation).collect(),
            step,
            texts: Vec::new(),
            structured: None,
            raw: None,
            reference: failure.reference.map_or_else(|| request_id.to_owned(), |call| call.to_string()),
            approval,
        }
    }
}

fn violation(given: &Value) -> String {
    let part = |name: &str| given.get(name).and_then(Value::as_str).unwrap_or_default();
    let (path, message) = (displayed(part("path"), 200), displayed(part("message"), 500));
    if path.is_empty() { message } else { format!("{path}: {message}") }
}

const fn title_of(code: ErrorCode) -> &'static str {
    use ErrorCode as E;
    match code {
        E::UnknownCapability => "There is no such tool for you",
        E::InsufficientScope => "You may not do this here",
        E::NeedsConnection => "It needs your sign-in first",
        E::ReauthRequired => "It needs you to sign in again",
        E::PolicyBlocked => "Blocked by a rule",
        E::ApprovalRequired => "It waits for approval",
        E::ApprovalDeclined => "It was declined",
        E::ApprovalExpired => "The approval is over",
        E::InvalidArguments => "The arguments don't fit",
        E::CapabilityChanged => "The tool changed since it was approved",
        E::ConnectionDisabled => "The connection is off",
        E::ExcludedByMode => "Not in this mode",
        E::NotSelected => "Not selected",
        E::UpstreamUnreachable => "The server can't be reached",
        E::UpstreamTimeout => "The server took too long",
        E::UpstreamError => "The server refused the call",
        E::ResponseTooLarge => "The answer is too large",
        E::RateLimited => "Too many calls",
        E::Unavailable => "Try again in a moment",
    }
}

/// One block of a result's content (MCP `ContentBlock`). What is no text is named, not shown: nothing that an upstream
/// made is drawn here.
fn text_of(block: &Value) -> String {
    let word = |name: &str| block.get(name).and_then(Value::as_str).unwrap_or_default();
    let kind = word("type");
    match kind {
        "text" => cut(&revealed(word("text"))),
        "image" | "audio" => {
            let bytes = word("data").len() / 4 * 3;
            format!("[{kind}, {}, about {bytes} bytes; see “As it came”]", displayed(word("mimeType"), 100))
        }
        "resource_link" => format!("[link to {}]", displayed(word("uri"), 500)),
        "resource" => {
            let text = block["resource"].get("text").and_then(Value::as_str);
            let uri = displayed(block["resource"]["uri"].as_str().unwrap_or_default(), 500);
            text.map_or_else(|| format!("[resource {uri}]"), |text| cut(&revealed(text)))
        }
        other => format!("[content of kind “{}”]", displayed(other, 100)),
    }
}

/// Indented, with whatever can't be seen written out.
pub(super) fn json(raw: &str) -> String {
    revealed_json(raw).unwrap_or_else(|_| revealed(raw))
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}\n… the rest is not shown here.", &text[..end]),
        None => text.to_owned(),
    }
}
