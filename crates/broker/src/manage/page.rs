//! Lists in pages: a cursor is opaque and says after which entry to go on.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use super::{Refusal, refusal::Violations};

const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 200;

/// A page of a list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Pass it as `cursor` for the next page; `null` at the end.
    pub next_cursor: Option<String>,
}

/// Which page is asked for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PageRequest {
    /// 1 to 200; 50 without.
    pub limit: Option<usize>,
    pub cursor: Option<String>,
}

impl PageRequest {
    pub(crate) fn limit(&self) -> Result<usize, Refusal> {
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT);
        if (1..=MAX_LIMIT).contains(&limit) {
            return Ok(limit);
        }
        let mut violations = Violations::default();
        violations.add("limit", format!("Use a number from 1 to {MAX_LIMIT}."));
        violations.into_result().map(|()| limit)
    }

    /// The key after which the page begins.
    pub(crate) fn after(&self) -> Result<Option<String>, Refusal> {
        let Some(cursor) = &self.cursor else { return Ok(None) };
        URL_SAFE_NO_PAD
            .decode(cursor)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .map(Some)
            .ok_or_else(unreadable_cursor)
    }

    /// Cuts a list that is sorted by `key` to the page.
    pub(crate) fn cut<T>(&self, sorted: Vec<T>, key: impl Fn(&T) -> String) -> Result<Page<T>, Refusal> {
        let (limit, after) = (self.limit()?, self.after()?);
        let mut items: Vec<T> = sorted
            .into_iter()
            .filter(|item| after.as_ref().is_none_or(|after| key(item) > *after))
            .take(limit + 1)
            .collect();
        let more = items.len() > limit;
        items.truncate(limit);
        let next_cursor = items.last().filter(|_| more).map(|last| write_cursor(&key(last)));
        Ok(Page { items, next_cursor })
    }
}

pub(crate) fn write_cursor(key: &str) -> String {
    URL_SAFE_NO_PAD.encode(key)
}

/// Whether one of the texts has what is looked for in it, in any capitals.
pub(crate) fn is_in(wanted: &str, texts: &[&str]) -> bool {
    let wanted = wanted.trim().to_lowercase();
    wanted.is_empty() || texts.iter().any(|text| text.to_lowercase().contains(&wanted))
}

pub(crate) fn unreadable_cursor() -> Refusal {
    Refusal::invalid(
        "invalid_cursor",
        "This cursor is not one of ours. Begin again without `cursor`, and pass on `next_cursor` as it is.",
    )
}

impl<T> Page<T> {
    pub(crate) fn map<U>(self, with: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(with).collect(), next_cursor: self.next_cursor }
    }
}
