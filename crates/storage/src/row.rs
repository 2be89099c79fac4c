//! From a column to a domain value and back. Words, ids and digests are checked when read: a row that makes no
//! sense is an error, never a default.

use sqlx::types::Json;
use switchboard_domain::{Fingerprint, MemberId, Role, Slug};
use uuid::Uuid;

use crate::StorageError;

type Result<T> = std::result::Result<T, StorageError>;

/// The value a stored word stands for.
pub(crate) fn word<T>(text: &str, from_word: impl Fn(&str) -> Option<T>, column: &'static str) -> Result<T> {
    from_word(text).ok_or(StorageError::Unreadable(column))
}

pub(crate) fn slug(text: &str, column: &'static str) -> Result<Slug> {
    text.parse().map_err(|_| StorageError::Unreadable(column))
}

pub(crate) fn role(text: &str) -> Result<Role> {
    [Role::Member, Role::Admin, Role::Owner]
        .into_iter()
        .find(|role| role.as_str() == text)
        .ok_or(StorageError::Unreadable("role"))
}

pub(crate) fn digest(bytes: &[u8], column: &'static str) -> Result<[u8; 32]> {
    bytes.try_into().map_err(|_| StorageError::Unreadable(column))
}

pub(crate) fn fingerprint(bytes: &[u8]) -> Result<Fingerprint> {
    digest(bytes, "fingerprint").map(Fingerprint)
}

pub(crate) fn member(id: Option<Uuid>) -> Option<MemberId> {
    id.map(MemberId::from_uuid)
}

/// PostgreSQL's TEXT holds no U+0000, SQLite's ends there for many functions. What an upstream says may
/// contain it, so text of foreign origin is stored, and looked up, without.
pub(crate) fn text(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

/// Bytes as the lower-case hexadecimal both databases read back inside JSON.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        text.push(DIGITS[usize::from(byte >> 4)].into());
        text.push(DIGITS[usize::from(byte & 15)].into());
        text
    })
}

/// A JSON column's new value, without U+0000: JSONB refuses it, and no document of ours needs it.
pub(crate) fn document<T: serde::Serialize>(
    value: &T,
    column: &'static str,
) -> Result<Json<Box<serde_json::value::RawValue>>> {
    let refuse = |_| StorageError::Unreadable(column);
    let mut text = serde_json::to_string(value).map_err(refuse)?;
    if text.contains("\\u0000") {
        let mut tree = serde_json::from_str(&text).map_err(refuse)?;
        without_nul(&mut tree);
        text = tree.to_string();
    }
    serde_json::value::RawValue::from_string(text).map(Json).map_err(refuse)
}

fn without_nul(tree: &mut serde_json::Value) {
    match tree {
        serde_json::Value::String(string) => *string = text(string).into_owned(),
        serde_json::Value::Array(items) => items.iter_mut().for_each(without_nul),
        serde_json::Value::Object(members) => {
            *members = std::mem::take(members)
                .into_iter()
                .map(|(name, mut value)| {
                    without_nul(&mut value);
                    (text(&name).into_owned(), value)
                })
                .collect();
        }
        _ => {}
    }
}
