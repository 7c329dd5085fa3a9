//! Sizes of volumes.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Size of a volume: a whole number with a binary unit, `Mi`, `Gi` or `Ti` (bytes).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VolumeSize(pub String);

impl VolumeSize {
    /// The size in bytes; `None` when the text is not a size or does not fit 64 bits.
    pub fn bytes(&self) -> Option<u64> {
        let split = self.0.len().checked_sub(2)?;
        let (number, unit) = (self.0.get(..split)?, self.0.get(split..)?);
        let shift = match unit {
            "Mi" => 20,
            "Gi" => 30,
            "Ti" => 40,
            _ => return None,
        };
        if !number.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        number.parse::<u64>().ok()?.checked_mul(1 << shift)
    }
}

/// The bytes of a Kubernetes quantity, rounded up; `None` when the text is not one, is negative or
/// is written with an exponent.
///
/// Format: <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>
pub fn quantity_bytes(text: &str) -> Option<u128> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let (factor, divisor): (u128, u128) = match suffix {
        "" => (1, 1),
        "m" => (1, 1000),
        "k" => (1000, 1),
        "M" => (1000_u128.pow(2), 1),
        "G" => (1000_u128.pow(3), 1),
        "T" => (1000_u128.pow(4), 1),
        "P" => (1000_u128.pow(5), 1),
        "E" => (1000_u128.pow(6), 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        "Ei" => (1 << 60, 1),
        _ => return None,
    };
    let digits: u128 = format!("0{whole}{fraction}").parse().ok()?;
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let bytes = digits.checked_mul(factor)?;
    Some(bytes.div_ceil(divisor.checked_mul(scale)?))
}

impl From<&str> for VolumeSize {
    fn from(text: &str) -> Self {
        VolumeSize(text.to_owned())
    }
}

impl JsonSchema for VolumeSize {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "VolumeSize".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "minLength": 3, "maxLength": 16, "pattern": "^[1-9][0-9]*(Mi|Gi|Ti)$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_counted_in_bytes() {
        assert_eq!(VolumeSize::from("10Gi").bytes(), Some(10 << 30));
        assert_eq!(VolumeSize::from("512Mi").bytes(), Some(512 << 20));
        assert_eq!(VolumeSize::from("10G").bytes(), None);
        assert_eq!(VolumeSize::from("Gi").bytes(), None);
        assert_eq!(VolumeSize::from("é").bytes(), None);
    }

    #[test]
    fn quantities_of_every_form_are_counted_in_bytes() {
        let cases = [
            ("2Gi", Some(2 << 30)),
            ("1.5Gi", Some(3 << 29)),
            ("1500M", Some(1_500_000_000)),
            ("2147483648", Some(2 << 30)),
            ("1500m", Some(2)),
            ("", None),
            ("Gi", None),
            (".", None),
            ("1.2.3", None),
            ("-1Gi", None),
            ("1e9", None),
        ];
        for (text, bytes) in cases {
            assert_eq!(quantity_bytes(text), bytes, "{text}");
        }
    }
}
