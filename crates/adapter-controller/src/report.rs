//! What the last step of a visit announces beside writing the status.

use api_types::conditions::ConditionType;
use controller_runtime::report::Announced;

/// Conditions whose transitions are news.
pub const ANNOUNCED: &[Announced] = &[
    announced(ConditionType::AdaptersReady, "True", false),
    announced(ConditionType::AddressesReady, "True", false),
    announced(ConditionType::Authenticated, "True", false),
];

const fn announced(kind: ConditionType, good: &'static str, first: bool) -> Announced {
    Announced {
        kind,
        good,
        first,
        unknown: false,
        recovery: false,
    }
}
