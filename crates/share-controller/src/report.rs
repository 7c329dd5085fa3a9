//! What the last step of a visit announces beside writing the status.

use api_types::conditions::ConditionType;
use controller_runtime::report::Announced;

/// Conditions whose transitions are news.
pub const ANNOUNCED: &[Announced] = &[
    announced(ConditionType::ServerReady, false),
    announced(ConditionType::StoresReady, true),
    Announced {
        // That it is served for the first time is news.
        recovery: false,
        ..announced(ConditionType::Exported, true)
    },
    announced(ConditionType::AccessApplied, true),
];

const fn announced(kind: ConditionType, first: bool) -> Announced {
    Announced {
        kind,
        good: "True",
        first,
        unknown: false,
        recovery: true,
    }
}
