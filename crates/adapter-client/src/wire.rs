//! Units as the server writes them, decoded once.

use std::{fmt, time::Duration};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, IntoDeserializer},
};

/// A number of bytes. Sent as a plain number, which the server takes exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// Parses what the server accepts (contract 3.1): a number with an optional
    /// fraction and unit, `B`, `K`, `KB`, `Ki`, `KiB` up to `TiB`, in any case.
    /// `None` when it is something else or does not fit 64 bits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        parse_size(text).map(|(bytes, _)| ByteSize(bytes))
    }
}

/// Sizes are sent as text.
impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// Text that the server hands on from elsewhere, such as an error of a store: in one line, without
/// mark-up and control characters, and cut to what fits into a status.
pub(crate) fn cleaned<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(crate::text::clean_bytes(text.as_bytes(), &[]))
}

/// A size as the server reports it: rounded to two decimals of a binary unit,
/// for instance `9.31GiB` for 10,000,000,000 bytes. So it is not compared with
/// `==`; see [`ReportedSize::stands_for`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportedSize {
    /// The number as reported.
    pub bytes: u64,
    /// How far the true number may be away from it.
    pub tolerance: u64,
}

impl ReportedSize {
    /// Whether the server reports `wanted` like this.
    #[must_use]
    pub fn stands_for(&self, wanted: ByteSize) -> bool {
        self.bytes.abs_diff(wanted.0) <= self.tolerance
    }
}

impl<'de> Deserialize<'de> for ReportedSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (bytes, unit) = parse_size(&text)
            .ok_or_else(|| D::Error::custom(format_args!("{text:?} is not a size")))?;
        Ok(Self {
            bytes,
            // Half of the second decimal, and one for the rounding of the product.
            tolerance: if unit == 1 { 0 } else { unit / 200 + 1 },
        })
    }
}

/// Bytes, and the unit they were given in.
fn parse_size(text: &str) -> Option<(u64, u64)> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit: u64 = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1000,
        "m" | "mb" => 1000_u64.pow(2),
        "g" | "gb" => 1000_u64.pow(3),
        "t" | "tb" => 1000_u64.pow(4),
        "ki" | "kib" => 1 << 10,
        "mi" | "mib" => 1 << 20,
        "gi" | "gib" => 1 << 30,
        "ti" | "tib" => 1 << 40,
        _ => return None,
    };
    let (whole, fraction) = match number.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (number, ""),
    };
    if whole.is_empty() || fraction.len() > 18 {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let fraction = if fraction.is_empty() {
        0
    } else {
        let digits: u128 = fraction.parse().ok()?;
        let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
        u64::try_from(digits * u128::from(unit) / scale).ok()?
    };
    let bytes = whole.checked_mul(unit)?.checked_add(fraction)?;
    Some((bytes, unit))
}

/// Whole seconds, as the server counts lease times and the like.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seconds(pub u64);

impl From<Seconds> for Duration {
    fn from(seconds: Seconds) -> Self {
        Duration::from_secs(seconds.0)
    }
}

/// Whole milliseconds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Milliseconds(pub u64);

impl From<Milliseconds> for Duration {
    fn from(milliseconds: Milliseconds) -> Self {
        Duration::from_millis(milliseconds.0)
    }
}

/// A duration that goes over the wire in Go's notation, such as `24h0m0s`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GoDuration(pub Duration);

impl GoDuration {
    /// Parses Go's notation: decimal numbers with the units `ns`, `us`, `µs`,
    /// `ms`, `s`, `m`, `h`, or `0`. Negative durations are refused.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == "0" {
            return Some(Self(Duration::ZERO));
        }
        if text.is_empty() {
            return None;
        }
        let mut rest = text;
        let mut total: u128 = 0;
        while !rest.is_empty() {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
            let (number, tail) = rest.split_at(end);
            let end = tail
                .find(|c: char| c.is_ascii_digit() || c == '.')
                .unwrap_or(tail.len());
            let (unit, next) = tail.split_at(end);
            total = total.checked_add(nanoseconds(number, unit)?)?;
            rest = next;
        }
        // Go's durations are 64 bits of nanoseconds, with a sign.
        let total = i64::try_from(total).ok()?;
        Some(Self(Duration::from_nanos(u64::try_from(total).ok()?)))
    }
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

impl fmt::Display for GoDuration {
    /// Exact: seconds, with nanoseconds beside them when there are any.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}s", self.0.as_secs())?;
        match self.0.subsec_nanos() {
            0 => Ok(()),
            nanos => write!(formatter, "{nanos}ns"),
        }
    }
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| D::Error::custom(format_args!("{text:?} is not a duration")))
    }
}

/// `null`, or nothing, for an empty list: Go writes `null` for a list that was never filled.
pub(crate) fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A value that the server leaves out or writes as an empty text when there is none.
pub(crate) fn filled<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    match Option::<String>::deserialize(deserializer)? {
        None => Ok(None),
        Some(text) if text.is_empty() => Ok(None),
        Some(text) => T::deserialize(text.into_deserializer()).map(Some),
    }
}

/// The texts of an enumeration with a place for those that a later server may add.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
            /// A word that this crate does not know.
            Other(String),
        }

        impl $name {
            /// The server's word for it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $($name::$variant => $word,)*
                    $name::Other(word) => word,
                }
            }
        }

        impl From<&str> for $name {
            fn from(word: &str) -> Self {
                match word {
                    $($word => $name::$variant,)*
                    word => $name::Other(word.to_owned()),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = <String as serde::Deserialize>::deserialize(deserializer)?;
                Ok($name::from(word.as_str()))
            }
        }
    };
}
pub(crate) use words;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_understood_as_the_server_does() {
        let cases = [
            ("0", Some(0)),
            ("1024", Some(1024)),
            ("512B", Some(512)),
            ("10.00GiB", Some(10 << 30)),
            ("1.50MiB", Some(3 << 19)),
            (" 2 kib ", Some(2048)),
            ("1.5K", Some(1500)),
            ("3T", Some(3_000_000_000_000)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("99999999TiB", None),
            ("", None),
            ("GiB", None),
            ("1.GiB", None),
            (".5GiB", None),
            ("1P", None),
            ("-1", None),
            ("1.2.3", None),
        ];
        for (text, bytes) in cases {
            assert_eq!(ByteSize::parse(text), bytes.map(ByteSize), "{text:?}");
        }
    }

    #[test]
    fn rounding_of_the_server_is_no_difference() {
        let reported = |text: &str| -> ReportedSize {
            serde_json::from_value(serde_json::Value::from(text)).unwrap()
        };
        assert!(reported("9.31GiB").stands_for(ByteSize(10_000_000_000)));
        assert!(!reported("9.31GiB").stands_for(ByteSize(10_010_000_000)));
        assert!(reported("10.00GiB").stands_for(ByteSize(10 << 30)));
        assert!(reported("512B").stands_for(ByteSize(512)));
        assert!(!reported("512B").stands_for(ByteSize(513)));
    }

    #[test]
    fn durations_of_go_are_understood() {
        let parsed = |text| GoDuration::parse(text).map(|duration| duration.0);
        assert_eq!(parsed("24h0m0s"), Some(Duration::from_secs(86_400)));
        assert_eq!(parsed("1.5s"), Some(Duration::from_millis(1500)));
        assert_eq!(parsed("58.517µs"), Some(Duration::from_nanos(58_517)));
        assert_eq!(parsed("0"), Some(Duration::ZERO));
        assert_eq!(parsed("0s"), Some(Duration::ZERO));
        for text in ["", "30", "s", "1d", "-5s", "1h 30m", "9999999999h"] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }

    #[test]
    fn durations_are_written_exactly() {
        for duration in [
            Duration::ZERO,
            Duration::from_secs(90),
            Duration::from_millis(1500),
            Duration::from_nanos(1),
        ] {
            let text = GoDuration(duration).to_string();
            assert_eq!(
                GoDuration::parse(&text),
                Some(GoDuration(duration)),
                "{text}"
            );
        }
    }
}
