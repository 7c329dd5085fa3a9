//! Whether what a server is made of depends on its spec alone, and not on what the spec was before.
//!
//! Every field of the spec is set, changed and unset. [`changes`] derives the fields from the schema and
//! demands values for each, so a new field without them fails a test.

mod fields;
mod run;
mod several;
mod state;

pub use fields::{Change, Refused, Steps, changes, refused};
pub use run::{check, check_refused};
pub use several::{bundles, pairs};
