//! What the API server has against a field.

use std::fmt::{self, Display};

use serde_json::Value;

/// What the API server has against one field; in its answer this is one of `details.causes`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refusal {
    /// Path of the field, such as `spec.pod.env[0].name`.
    pub field: String,
    /// The API server's words, without the path.
    pub message: String,
    /// Rules are not evaluated on an object with such a flaw: it may not be what they expect.
    pub(crate) blocks_rules: bool,
}

impl Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.field, self.message)
    }
}

/// Words and forms are those of
/// <https://pkg.go.dev/k8s.io/apimachinery/pkg/util/validation/field#Error>.
impl Refusal {
    fn new(path: &str, message: String, blocks_rules: bool) -> Self {
        // The API server has no name for the object as a whole.
        let field = if path.is_empty() { "<nil>" } else { path };
        Refusal {
            field: field.to_owned(),
            message,
            blocks_rules,
        }
    }

    pub(crate) fn unknown(path: &str) -> Self {
        Refusal::new(path, format!("unknown field \"{path}\""), true)
    }

    pub(crate) fn required(path: &str) -> Self {
        Refusal::new(path, "Required value".to_owned(), true)
    }

    pub(crate) fn required_because(path: &str, detail: &str) -> Self {
        Refusal::new(path, format!("Required value: {detail}"), true)
    }

    pub(crate) fn wrong_type(path: &str, value: &Value, detail: &str) -> Self {
        let message = format!("Invalid value: {}: {detail}", quoted(value));
        Refusal::new(path, message, true)
    }

    pub(crate) fn invalid(path: &str, value: &Value, detail: &str) -> Self {
        let message = format!("Invalid value: {}: {detail}", quoted(value));
        Refusal::new(path, message, false)
    }

    /// As [`Refusal::invalid`], of an object or a list, which is not quoted.
    pub(crate) fn invalid_whole(path: &str, detail: &str) -> Self {
        Refusal::new(path, format!("Invalid value: {detail}"), false)
    }

    pub(crate) fn unsupported(path: &str, value: &Value, supported: &[&str]) -> Self {
        let supported: Vec<String> = supported.iter().map(|text| format!("{text:?}")).collect();
        let message = format!(
            "Unsupported value: {}: supported values: {}",
            quoted(value),
            supported.join(", ")
        );
        Refusal::new(path, message, true)
    }

    pub(crate) fn too_long(path: &str, most: u64) -> Self {
        let unit = if most == 1 { "byte" } else { "bytes" };
        let message = format!("Too long: may not be more than {most} {unit}");
        Refusal::new(path, message, true)
    }

    pub(crate) fn too_many(path: &str, found: usize, most: u64) -> Self {
        let unit = if most == 1 { "item" } else { "items" };
        let message = format!("Too many: {found}: must have at most {most} {unit}");
        Refusal::new(path, message, true)
    }

    pub(crate) fn duplicate(path: &str, value: &Value) -> Self {
        Refusal::new(path, format!("Duplicate value: {}", quoted(value)), false)
    }

    pub(crate) fn rules_not_checked() -> Self {
        Refusal::new(
            "",
            "Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation".to_owned(),
            false,
        )
    }
}

fn quoted(value: &Value) -> String {
    value.to_string()
}
