//! Clock time at another offset from UTC.

use jiff::{Timestamp, tz::Offset};
use serde_json::{Value, json};

use super::Answer;

pub(super) fn answer(arguments: &Value) -> Answer {
    let text = |name: &str| arguments[name].as_str().unwrap_or_default();
    match convert(text("time"), text("offset")) {
        Ok(value) => Answer::Structured(value),
        Err(message) => Answer::Failed(message),
    }
}

fn convert(time: &str, offset: &str) -> Result<Value, String> {
    let instant: Timestamp =
        time.parse().map_err(|_| format!("`{time}` is not an instant such as 2026-11-21T09:30:00Z."))?;
    let seconds = seconds(offset).ok_or_else(|| format!("`{offset}` is not an offset such as +05:30."))?;
    let offset_of =
        Offset::from_seconds(seconds).map_err(|_| format!("`{offset}` is more than a day from UTC."))?;
    let local = offset_of.to_datetime(instant);
    Ok(json!({"time": format!("{local}{offset}"), "weekday": format!("{:?}", local.weekday())}))
}

fn seconds(offset: &str) -> Option<i32> {
    let (sign, rest) = match offset.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}
