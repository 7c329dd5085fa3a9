//! All routes that this crate calls.

use crate::{adapter_settings, adapters, auth, health, route::Route, settings, users};

/// Every route that this crate calls, each once. The same table, with the errors
/// that were tried on the real server, is the file `routes.txt` of this crate.
pub static ROUTES: &[&Route] = &[
    &health::LIVE,
    &health::READY,
    &auth::LOGIN,
    &auth::REFRESH,
    &auth::ME,
    &auth::PASSWORD,
    &users::LIST,
    &users::GET,
    &users::CREATE,
    &users::UPDATE,
    &users::DELETE,
    &users::PASSWORD,
    &adapters::LIST,
    &adapters::PORTS,
    &adapters::GET,
    &adapters::STATUS,
    &adapters::CREATE,
    &adapters::UPDATE,
    &adapters::DELETE,
    &adapter_settings::GET,
    &adapter_settings::PATCH,
    &adapter_settings::PUT,
    &adapter_settings::DEFAULTS,
    &adapter_settings::RESET,
    &settings::LIST,
    &settings::GET,
    &settings::PUT,
    &settings::DELETE,
];
