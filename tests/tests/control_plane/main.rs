//! What the operator does with Kubernetes objects: no pod needs to run.

mod adapter_fleet;
mod adoption;
mod changes;
mod conflicts;
mod crashes;
mod database;
mod deletion_guard;
mod faults;
mod frozen;
mod healing;
mod held_back;
mod inputs;
mod install;
mod metrics;
mod monitoring;
mod old_objects;
mod paths;
mod paused;
mod schema;
mod settings;
mod shipped;
mod steady_state;
mod storage;
mod takeover;
