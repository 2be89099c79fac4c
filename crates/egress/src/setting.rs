//! Sizes and durations as an operator writes them.

use std::{fmt, time::Duration};

use serde::{
    Deserializer,
    de::{Error, Visitor},
};

/// Reads `7` or `"7<unit>"` into the smallest unit; `units` lists (name, factor), the largest first.
struct Quantity {
    units: &'static [(&'static str, u64)],
    /// Factor of a bare number.
    bare: u64,
    expected: &'static str,
}

const SIZE: Quantity = Quantity {
    units: &[("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)],
    bare: 1,
    expected: "a number of bytes or a size such as \"16MiB\"",
};

const TIME: Quantity = Quantity {
    units: &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)],
    bare: 1_000,
    expected: "a number of seconds or a duration such as \"30s\", \"500ms\" or \"15m\"",
};

impl Quantity {
    fn parse(&self, text: &str) -> Option<u64> {
        let text = text.trim();
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let unit = unit.trim_start();
        let factor = match self.units.iter().find(|(name, _)| *name == unit) {
            Some((_, factor)) => *factor,
            None if unit.is_empty() => self.bare,
            None => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(factor)
    }
}

impl Visitor<'_> for Quantity {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
        number.checked_mul(self.bare).ok_or_else(|| E::custom("the number is too large"))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<u64, E> {
        u64::try_from(number)
            .map_err(|_| E::custom("the number must not be negative"))
            .and_then(|n| self.visit_u64(n))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
        self.parse(text).ok_or_else(|| E::custom(format_args!("`{text}` is not {}", self.expected)))
    }
}

pub(crate) mod byte_size {
    use super::*;

    pub(crate) fn serialize<S: serde::Serializer>(bytes: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        match SIZE
            .units
            .iter()
            .find(|(_, factor)| *factor > 1 && *bytes >= *factor && bytes.is_multiple_of(*factor))
        {
            Some((unit, factor)) => serializer.collect_str(&format_args!("{}{unit}", bytes / factor)),
            None => serializer.serialize_u64(*bytes),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        deserializer.deserialize_any(SIZE)
    }
}

pub(crate) mod duration {
    use super::*;

    pub(crate) fn serialize<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        match (time.as_millis(), time.as_secs()) {
            (millis, seconds) if millis == u128::from(seconds) * 1_000 => {
                serializer.collect_str(&format_args!("{seconds}s"))
            }
            (millis, _) => serializer.collect_str(&format_args!("{millis}ms")),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        deserializer.deserialize_any(TIME).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_exact_words() {
        assert_eq!(SIZE.parse("16MiB"), Some(16 << 20));
        assert_eq!(SIZE.parse("16 KiB"), Some(16 << 10));
        assert_eq!(SIZE.parse("16MB"), None);
        assert_eq!(SIZE.parse("99999999999GiB"), None);
        assert_eq!(TIME.parse("15m"), Some(900_000));
        assert_eq!(TIME.parse("2"), Some(2_000));
        assert_eq!(TIME.parse("-2s"), None);
        assert_eq!(TIME.parse(""), None);
        assert_eq!(TIME.parse("1d"), None);
    }
}
