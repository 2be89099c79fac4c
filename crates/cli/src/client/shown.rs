//! Values of the API as cells of a table.

use serde_json::Value;

/// The rows of a list.
pub(crate) fn items(page: &Value) -> &[Value] {
    page["items"].as_array().or(page.as_array()).map_or(&[], Vec::as_slice)
}

/// One member as text; nothing for what is absent. Escape sequences go when the table is drawn.
pub(crate) fn cell(row: &Value, member: &str) -> String {
    match &row[member] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
            .collect::<Vec<_>>()
            .join(" "),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        other => other.to_string(),
    }
}
