//! Durations as the server and Kubernetes CEL write them: Go's notation (`30s`, `1h30m`, `168h`).

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A duration in Go's notation: decimal numbers with the units `ns`, `us`, `ms`, `s`, `m`, `h`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GoDuration(pub String);

/// The text is not a duration in Go's notation, or does not fit 64 bits of nanoseconds.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a duration such as 30s or 1h30m")]
pub struct NotADuration(String);

impl GoDuration {
    /// The duration, exact to the nanosecond.
    ///
    /// # Errors
    /// When the text is not in Go's notation.
    pub fn parse(&self) -> Result<Duration, NotADuration> {
        parse(&self.0).ok_or_else(|| NotADuration(self.0.clone()))
    }
}

impl From<&str> for GoDuration {
    fn from(text: &str) -> Self {
        GoDuration(text.to_owned())
    }
}

fn parse(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(number_end);
        let unit_end = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, next) = tail.split_at(unit_end);
        total = total.checked_add(nanoseconds(number, unit)?)?;
        rest = next;
    }
    if text.is_empty() {
        return None;
    }
    let total = i64::try_from(total).ok()?;
    Some(Duration::from_nanos(u64::try_from(total).ok()?))
}

fn nanoseconds(number: &str, unit: &str) -> Option<u128> {
    let scale: u128 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole: u128 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let mut nanos = whole.checked_mul(scale)?;
    let mut place = scale;
    for digit in fraction.chars() {
        place /= 10;
        nanos = nanos.checked_add(u128::from(digit.to_digit(10)?).checked_mul(place)?)?;
    }
    Some(nanos)
}

impl JsonSchema for GoDuration {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "GoDuration".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "minLength": 2, "maxLength": 32,
            "pattern": r"^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<Duration> {
        GoDuration::from(text).parse().ok()
    }

    #[test]
    fn go_notation_is_understood() {
        assert_eq!(parsed("30s"), Some(Duration::from_secs(30)));
        assert_eq!(parsed("1h30m"), Some(Duration::from_secs(5400)));
        assert_eq!(parsed("1.5s"), Some(Duration::from_millis(1500)));
        assert_eq!(parsed("168h"), Some(Duration::from_secs(604_800)));
        assert_eq!(parsed("250ms"), Some(Duration::from_millis(250)));
    }

    #[test]
    fn other_notations_are_refused() {
        for text in ["", "30", "s", "1d", "-5s", "1h 30m", "1e3s", "9999999999h"] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }
}
