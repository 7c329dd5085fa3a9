//! One entry of the server's route table.

use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::SecretString;
use serde::Serialize;

/// Who may use a route (server contract 3.3; `routes.txt` of this crate has all).
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

/// The parameters that handlers decode themselves. A slash in one of them makes
/// the router look at the raw path: then these are decoded once, and the others
/// not at all. In all other paths the router decodes all, and these a second time.
const DECODED: [&str; 5] = ["{share}", "{principal}", "{provider}", "{account}", "{sid}"];

/// `value` as a segment that is not as Go would encode it, so that the router
/// looks at the raw path. `None` when every way of writing it is Go's.
fn as_raw_segment(value: &str) -> Option<String> {
    let plain = value.find(|character: char| character.is_ascii_alphanumeric())?;
    let (before, rest) = value.split_at(plain);
    Some(format!(
        "{}%{:02X}{}",
        utf8_percent_encode(before, SEGMENT),
        rest.as_bytes()[0],
        utf8_percent_encode(&rest[1..], SEGMENT),
    ))
}

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
        let names = self.path.split('/').filter(|part| part.starts_with('{'));
        debug_assert_eq!(names.clone().count(), parameters.len(), "{}", self.call);
        let decoded = |name: &str| DECODED.contains(&name);
        let among_decoded = |character: char| {
            let mut pairs = names.clone().zip(parameters);
            pairs.any(|(name, value)| decoded(name) && value.contains(character))
        };
        let slash = among_decoded('/');
        // Decoded twice, a percent sign would become something else.
        let percent = among_decoded('%') && !slash;
        let mut path = String::with_capacity(self.path.len() + 16);
        let mut parameters = parameters.iter();
        let mut unusable = false;
        for part in self.path.split('/').skip(1) {
            path.push('/');
            if !part.starts_with('{') {
                path.push_str(part);
                continue;
            }
            let value = parameters.next().copied().unwrap_or_default();
            // They would name another route than the one that is meant.
            unusable |= matches!(value, "" | "." | "..");
            let encoded = utf8_percent_encode(value, SEGMENT).to_string();
            if decoded(part) {
                if percent && value.contains('%') {
                    match as_raw_segment(value) {
                        Some(raw) => path.push_str(&raw),
                        None => unusable = true,
                    }
                    continue;
                }
            } else {
                // The handler would look for the encoded text as it stands.
                unusable |= value.contains('/') || ((slash || percent) && encoded != value);
            }
            path.push_str(&encoded);
        }
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

/// One call, ready to be sent. The body may hold secrets, so it cannot be printed.
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
        let path = |share, user| ROUTE.at(&[share, user]).path;
        assert_eq!(path("data", "a b?c#d"), "/a/data/b/a%20b%3Fc%23d");
        assert_eq!(path("team/data", "eve"), "/a/team%2Fdata/b/eve");
        assert_eq!(path("nfs/h@R", "S-1-5"), "/a/nfs%2Fh@R/b/S-1-5");
        assert_eq!(path("é", "%"), "/a/%C3%A9/b/%25");
        // Not as Go would write it, so that it is decoded once.
        assert_eq!(path("50%41", "eve"), "/a/%350%2541/b/eve");
        assert_eq!(path("%é/x%", "eve"), "/a/%25%C3%A9%2Fx%25/b/eve");
    }

    #[test]
    fn what_the_server_would_misread_is_not_sent() {
        let unusable = |share, user| ROUTE.at(&[share, user]).unusable;
        assert!(unusable("..", "x"));
        assert!(unusable("x", ""));
        assert!(unusable("x", "a/b"));
        // The share makes the router look at the raw path, and nobody decodes the user's name.
        assert!(unusable("a/b", "x y"));
        assert!(unusable("50%", "x y"));
        // There is no other way to write this one.
        assert!(unusable("%é", "x"));
        assert!(!unusable("a/b", "x"));
        assert!(!unusable("a", "x y"));
        assert!(!unusable("50%", "x"));
        assert!(!unusable("...", ".x"));
    }
}
