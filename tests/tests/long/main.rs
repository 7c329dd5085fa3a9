//! What takes long: crashes at every write, and windows of minutes.

mod crashes;
mod paths;
mod steady_state;
