//! Authenticated: our account works.

use api_types::conditions::{ConditionType, Reason, Status, Verdict};

use crate::poll::Memory;

pub(super) fn authenticated(memory: &Memory) -> Verdict {
    let verdict = |status, reason, message: &str| {
        Verdict::new(ConditionType::Authenticated, status, reason, message)
    };
    match &memory.trouble {
        Some(trouble) => verdict(Status::False, trouble.reason, &trouble.message),
        None if memory.found.is_some() => verdict(
            Status::True,
            Reason::AccountWorks,
            "The adapter-controller's account works.",
        ),
        None => verdict(
            Status::Unknown,
            Reason::NotPolledYet,
            "The server is about to be asked for the first time.",
        ),
    }
}
