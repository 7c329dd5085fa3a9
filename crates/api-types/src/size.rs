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
}
