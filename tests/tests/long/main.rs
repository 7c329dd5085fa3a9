//! What takes long: crashes at every write, and windows of minutes.

mod crashes;
mod mounts;
mod paths;
mod shares;
mod steady_state;
