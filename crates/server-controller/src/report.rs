//! What the last step of a visit announces beside writing the status.

mod unsaid;

use api_types::conditions::ConditionType;
use controller_runtime::report::Announced;

pub use unsaid::Unsaid;

/// Conditions whose transitions are news.
pub const ANNOUNCED: &[Announced] = &[
    announced(ConditionType::ConfigReady, "True", true),
    announced(ConditionType::DatabaseReady, "True", true),
    announced(ConditionType::Available, "True", false),
    announced(ConditionType::Degraded, "False", true),
];

const fn announced(kind: ConditionType, good: &'static str, first: bool) -> Announced {
    Announced {
        kind,
        good,
        first,
        unknown: true,
        recovery: false,
    }
}
