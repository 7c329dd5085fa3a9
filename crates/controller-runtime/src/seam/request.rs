//! What a request to the Kubernetes API is, read from its method and path.

use http::{HeaderMap, Method, header};

/// The verb of a request, as in RBAC rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verb {
    /// Read of one object.
    Get,
    /// Read of a collection.
    List,
    /// Stream of changes of a collection.
    Watch,
    /// POST.
    Create,
    /// PUT.
    Update,
    /// PATCH, server-side apply included.
    Patch,
    /// DELETE of one object.
    Delete,
    /// DELETE of a collection.
    DeleteCollection,
    /// A connection into a pod: exec, attach, port-forward.
    Connect,
    /// Anything outside `/api` and `/apis`, and discovery.
    Other,
}

impl Verb {
    /// Lower-case name, as in RBAC rules and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
            Self::Connect => "connect",
            Self::Other => "other",
        }
    }
}

/// What a [`crate::Seam`] is told about a request.
#[derive(Clone, Debug)]
pub struct Request {
    /// HTTP method.
    pub method: Method,
    /// Path of the URL, without the query.
    pub path: String,
    /// Query of the URL, empty when there is none.
    pub query: String,
    /// Verb, as in RBAC rules.
    pub verb: Verb,
    /// Plural name of the resource, with the subresource after a slash, such
    /// as `pods/log`; empty outside of resources.
    pub resource: String,
    /// Whether the server may change something: POST, PUT, PATCH, DELETE,
    /// except reviews (SubjectAccessReview, TokenReview, ...).
    pub is_write: bool,
    /// Whether the answer is a stream without a known end.
    pub is_stream: bool,
}

impl Request {
    /// Reads method, path, query and headers of a request.
    pub(crate) fn of<B>(request: &http::Request<B>) -> Self {
        Self::new(request.method(), request.uri(), request.headers())
    }

    fn new(method: &Method, uri: &http::Uri, headers: &HeaderMap) -> Self {
        let query = uri.query().unwrap_or_default();
        let target = Target::of(uri.path());
        let upgrade = headers.contains_key(header::UPGRADE);
        let watch = flag(query, "watch");
        let verb = if upgrade {
            Verb::Connect
        } else if target.resource.is_empty() {
            Verb::Other
        } else {
            match (method.as_str(), target.named) {
                ("GET" | "HEAD", _) if watch => Verb::Watch,
                ("GET" | "HEAD", true) => Verb::Get,
                ("GET" | "HEAD", false) => Verb::List,
                ("POST", _) => Verb::Create,
                ("PUT", _) => Verb::Update,
                ("PATCH", _) => Verb::Patch,
                ("DELETE", true) => Verb::Delete,
                ("DELETE", false) => Verb::DeleteCollection,
                _ => Verb::Other,
            }
        };
        let changes = matches!(
            *method,
            Method::POST | Method::PUT | Method::PATCH | Method::DELETE
        );
        let is_review = method == Method::POST
            && target.resource.ends_with("reviews")
            && (target.group == "authorization.k8s.io" || target.group == "authentication.k8s.io");
        Self {
            method: method.clone(),
            path: uri.path().to_owned(),
            query: query.to_owned(),
            verb,
            is_write: changes && !is_review,
            is_stream: upgrade || watch || flag(query, "follow"),
            resource: target.resource,
        }
    }

    /// Whether this reads or writes a Lease, the leader election's own object.
    #[must_use]
    pub fn is_lease(&self) -> bool {
        self.resource == "leases"
    }
}

/// Whether a query holds `name=true` or `name=1`.
fn flag(query: &str, name: &str) -> bool {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .any(|(key, value)| key == name && (value == "true" || value == "1"))
}

/// The resource that a path points to.
#[derive(Default)]
struct Target {
    group: String,
    resource: String,
    named: bool,
}

impl Target {
    /// Paths: <https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-uris>
    fn of(path: &str) -> Self {
        let segments: Vec<&str> = path
            .split('/')
            .filter(|segment| !segment.is_empty())
            .collect();
        let (group, rest) = match segments.as_slice() {
            ["api", _, rest @ ..] => ("", rest),
            ["apis", group, _, rest @ ..] => (*group, rest),
            _ => return Self::default(),
        };
        let rest = match rest {
            ["namespaces", _, sub @ ("status" | "finalize")] => {
                return Self {
                    group: group.to_owned(),
                    resource: format!("namespaces/{sub}"),
                    named: true,
                };
            }
            ["namespaces", _, rest @ ..] if !rest.is_empty() => rest,
            rest => rest,
        };
        let (resource, named) = match rest {
            [] => return Self::default(),
            [resource] => ((*resource).to_owned(), false),
            [resource, _name] => ((*resource).to_owned(), true),
            [resource, _name, sub @ ..] => (format!("{resource}/{}", sub.join("/")), true),
        };
        Self {
            group: group.to_owned(),
            resource,
            named,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: &str, uri: &str) -> Request {
        let request = http::Request::builder()
            .method(method)
            .uri(uri)
            .body(())
            .unwrap();
        Request::of(&request)
    }

    #[test]
    fn verbs_are_told_from_method_and_path() {
        let cases = [
            ("GET", "/api/v1/namespaces", Verb::List, "namespaces"),
            ("GET", "/api/v1/namespaces/a", Verb::Get, "namespaces"),
            (
                "PUT",
                "/api/v1/namespaces/a/finalize",
                Verb::Update,
                "namespaces/finalize",
            ),
            (
                "GET",
                "/api/v1/namespaces/a/pods?limit=500",
                Verb::List,
                "pods",
            ),
            ("GET", "/api/v1/pods?watch=true&x=1", Verb::Watch, "pods"),
            ("GET", "/api/v1/namespaces/a/pods/b", Verb::Get, "pods"),
            (
                "GET",
                "/api/v1/namespaces/a/pods/b/log?follow=true",
                Verb::Get,
                "pods/log",
            ),
            (
                "PATCH",
                "/apis/apps/v1/namespaces/a/statefulsets/b?fieldManager=m",
                Verb::Patch,
                "statefulsets",
            ),
            (
                "PATCH",
                "/apis/g.io/v1/namespaces/a/things/b/status",
                Verb::Patch,
                "things/status",
            ),
            (
                "POST",
                "/api/v1/namespaces/a/secrets",
                Verb::Create,
                "secrets",
            ),
            (
                "DELETE",
                "/api/v1/namespaces/a/secrets/b",
                Verb::Delete,
                "secrets",
            ),
            (
                "DELETE",
                "/api/v1/namespaces/a/secrets",
                Verb::DeleteCollection,
                "secrets",
            ),
            ("GET", "/apis/apps/v1", Verb::Other, ""),
            ("GET", "/version", Verb::Other, ""),
        ];
        for (method, uri, verb, resource) in cases {
            let request = read(method, uri);
            assert_eq!(
                (request.verb, request.resource.as_str()),
                (verb, resource),
                "{method} {uri}"
            );
        }
    }

    #[test]
    fn reviews_are_no_writes() {
        assert!(
            !read(
                "POST",
                "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
            )
            .is_write
        );
        assert!(!read("POST", "/apis/authentication.k8s.io/v1/tokenreviews").is_write);
        assert!(read("POST", "/api/v1/namespaces/a/secrets").is_write);
        assert!(read("POST", "/apis/example.org/v1/namespaces/a/codereviews").is_write);
        assert!(!read("GET", "/api/v1/namespaces/a/secrets").is_write);
    }

    #[test]
    fn watches_and_followed_logs_are_streams() {
        assert!(read("GET", "/api/v1/pods?watch=1").is_stream);
        assert!(read("GET", "/api/v1/namespaces/a/pods/b/log?follow=true").is_stream);
        assert!(!read("GET", "/api/v1/pods?allowWatchBookmarks=true").is_stream);
    }

    #[test]
    fn leases_are_recognised() {
        assert!(read("PUT", "/apis/coordination.k8s.io/v1/namespaces/a/leases/b").is_lease());
        assert!(!read("PUT", "/api/v1/namespaces/leases/pods/b").is_lease());
    }
}
