//! Writes that happen only when something differs.

mod applier;
mod defaults;
mod diff;
mod error;
mod exact;
mod extract;
pub mod hand_over;
mod memo;
mod owned;
mod quantity;

pub use applier::{Applied, Applier, Deleted, Made};
pub use diff::{Difference, DifferenceKind, difference};
pub use error::ApplyError;
pub use extract::extract;

#[cfg(test)]
mod applier_tests;
#[cfg(test)]
mod diff_tests;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod sim_tests;

/// A live object as recorded from a real API server.
#[cfg(test)]
pub(crate) fn fixture(name: &str) -> serde_json::Value {
    fixtures::named(name).1
}
