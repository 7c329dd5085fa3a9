//! Database providers of a DittoServer, as pure functions: from the spec to the one source of the
//! control-plane database, and to what the server must be told about it.

mod source;

pub use source::{ConnectionKey, NotSupported, Source, data_still_in_sqlite, source};
