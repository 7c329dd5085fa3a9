//! One entry of the server's route table.

use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::SecretString;
use serde::Serialize;

/// Who may use a route (server contract 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody, without an account.
    Anonymous,
    /// Every account.
    Account,
    /// The account itself, or role `admin`.
    Own,
    /// Roles `operator` and `admin`.
    Operator,
    /// Role `admin`.
    Admin,
}

impl std::fmt::Display for Access {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Access::Anonymous => "nothing",
            Access::Account => "any account",
            Access::Own => "the account itself or role admin",
            Access::Operator => "role operator or admin",
            Access::Admin => "role admin",
        })
    }
}

/// How long a call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Reads and writes of the server's own database.
    Quick,
    /// Starts, stops or probes something: adapters, stores, shares.
    Slow,
    /// Restore of a snapshot.
    Restore,
    /// Upload of everything that is still local.
    Drain,
}

/// A route of the REST API and the call that uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Name of the call, `resource.verb`.
    pub call: &'static str,
    /// HTTP method.
    pub method: Verb,
    /// Path with its parameters in braces, one segment each.
    pub path: &'static str,
    /// Who may use it.
    pub access: Access,
    /// How long it may take.
    pub class: Class,
    /// Whether sending it twice has the effect of sending it once.
    pub repeatable: bool,
}

/// The HTTP methods that occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Verb {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Verb {
    /// As the `http` crate has it.
    #[must_use]
    pub fn method(self) -> Method {
        match self {
            Verb::Get => Method::GET,
            Verb::Post => Method::POST,
            Verb::Put => Method::PUT,
            Verb::Patch => Method::PATCH,
            Verb::Delete => Method::DELETE,
        }
    }
}

/// What stays as it is in a segment: what Go's `net/url` leaves alone in a path
/// without `/`. The server's router looks at the raw path when that differs from
/// Go's own encoding and does not decode it then, so `%40` would stay `%40`.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b',')
    .remove(b':')
    .remove(b';')
    .remove(b'=')
    .remove(b'@');

/// The parameters that the server decodes, so that they may hold a slash.
const DECODED: [&str; 4] = ["{share}", "{principal}", "{provider}", "{sid}"];

impl Route {
    const fn new(call: &'static str, method: Verb, path: &'static str, access: Access) -> Self {
        Route {
            call,
            method,
            path,
            access,
            class: Class::Quick,
            repeatable: !matches!(method, Verb::Post),
        }
    }

    pub(crate) const fn get(call: &'static str, path: &'static str, access: Access) -> Self {
        Self::new(call, Verb::Get, path, access)
    }

    pub(crate) const fn post(call: &'static str, path: &'static str, access: Access) -> Self {
        Self::new(call, Verb::Post, path, access)
    }

    pub(crate) const fn put(call: &'static str, path: &'static str, access: Access) -> Self {
        Self::new(call, Verb::Put, path, access)
    }

    pub(crate) const fn patch(call: &'static str, path: &'static str, access: Access) -> Self {
        Self::new(call, Verb::Patch, path, access)
    }

    pub(crate) const fn delete(call: &'static str, path: &'static str, access: Access) -> Self {
        Self::new(call, Verb::Delete, path, access)
    }

    pub(crate) const fn class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    pub(crate) const fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// The request for these parameters, in the order of the braces.
    pub(crate) fn at(&'static self, parameters: &[&str]) -> Request {
        let mut path = String::with_capacity(self.path.len() + 16);
        let mut parameters = parameters.iter();
        let mut unusable = false;
        for part in self.path.split('/').skip(1) {
            path.push('/');
            if part.starts_with('{') {
                let value = parameters.next().copied().unwrap_or_default();
                // They would name another route than the one that is meant.
                unusable |= matches!(value, "" | "." | "..");
                // Other handlers look for the encoded text as it stands.
                unusable |= value.contains('/') && !DECODED.contains(&part);
                path.extend(utf8_percent_encode(value, SEGMENT));
            } else {
                path.push_str(part);
            }
        }
        debug_assert!(
            parameters.next().is_none(),
            "{}: too many parameters",
            self.call
        );
        Request {
            route: self,
            path,
            body: None,
            unusable,
            secrets: Vec::new(),
            hold_answer: false,
        }
    }
}

/// One call, ready to be sent.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) route: &'static Route,
    /// Encoded path, with the query if there is one.
    pub(crate) path: String,
    pub(crate) body: Option<Vec<u8>>,
    /// A parameter cannot stand in a path: must not be sent.
    pub(crate) unusable: bool,
    /// What must never be seen in an error.
    pub(crate) secrets: Vec<SecretString>,
    /// The answer holds secrets: errors must not quote it.
    pub(crate) hold_answer: bool,
}

impl Request {
    /// With this body, as JSON.
    pub(crate) fn json<T: Serialize>(mut self, body: &T) -> Self {
        // Our own types have string keys and no failing implementations.
        self.body = Some(serde_json::to_vec(body).expect("request types serialize"));
        self
    }

    /// With a query parameter. Names and values are encoded.
    pub(crate) fn query(mut self, name: &str, value: &str) -> Self {
        self.path
            .push(if self.path.contains('?') { '&' } else { '?' });
        self.path.push_str(name);
        self.path.push('=');
        self.path
            .extend(utf8_percent_encode(value, NON_ALPHANUMERIC));
        self
    }

    /// Hides `secret` in errors.
    pub(crate) fn secret(mut self, secret: &SecretString) -> Self {
        self.secrets.push(secret.clone());
        self
    }

    /// Never quotes the answer in an error.
    pub(crate) fn hold_answer(mut self) -> Self {
        self.hold_answer = true;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static ROUTE: Route = Route::get("t.t", "/a/{share}/b/{user}", Access::Admin);

    #[test]
    fn parameters_are_one_segment_each() {
        assert_eq!(
            ROUTE.at(&["team/data", "a b?c#d"]).path,
            "/a/team%2Fdata/b/a%20b%3Fc%23d"
        );
        assert_eq!(ROUTE.at(&["nfs/h@R", "S-1-5"]).path, "/a/nfs%2Fh@R/b/S-1-5");
        assert_eq!(ROUTE.at(&["%", "é"]).path, "/a/%25/b/%C3%A9");
    }

    #[test]
    fn dot_segments_cannot_leave_the_path() {
        assert!(ROUTE.at(&["..", "x"]).unusable);
        assert!(ROUTE.at(&["x", ""]).unusable);
        assert!(ROUTE.at(&["x", "a/b"]).unusable);
        assert!(!ROUTE.at(&["a/b", "x"]).unusable);
        assert!(!ROUTE.at(&["...", ".x"]).unusable);
    }
}
