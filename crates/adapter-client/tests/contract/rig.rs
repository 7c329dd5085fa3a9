//! A server of its own with an account of each role, and everything that is said to it.

use std::{fmt::Debug, sync::Arc, time::Duration};

use adapter_client::{
    Access, Account, Client, Denial, Error, Limits, NewUser, Role, Transport, UserChange,
};
use http::{Request, header};
use hyper::body::Bytes;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::{
    dfs::{Dfs, Options, PASSWORD, PATIENT, admin_account, folder},
    recorder::Recorder,
    table,
};

/// Password of the accounts that the rig makes.
pub(crate) const SECRET: &str = "first-password";

/// A server and its clients.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) server: Dfs,
    /// Role admin.
    pub(crate) admin: Client,
    /// Role operator.
    pub(crate) operator: Client,
    /// Role user.
    pub(crate) user: Client,
    seen: Arc<Recorder>,
    operator_seen: Arc<Recorder>,
    user_seen: Arc<Recorder>,
    admin_token: OnceCell<String>,
}

/// The answer to a request that the client would not send.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) kind: String,
    pub(crate) body: String,
}

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::with(Vec::new()).await
    }

    /// With an account in a Windows domain that nobody answers for.
    pub(crate) async fn in_a_domain() -> Self {
        let kerberos = "kerberos: { realm: EXAMPLE.ORG, netbios_domain: EXAMPLE, machine_account: \
            { enabled: true, account_name: DFS$, secret: s3cret-of-dfs, dc_address: [127.0.0.1] } }";
        Self::with(vec![kerberos.into()]).await
    }

    async fn with(sections: Vec<String>) -> Self {
        let options = Options {
            control_plane: vec!["drain_stall_timeout: 5s".into()],
            sections,
            ..Options::default()
        };
        let server = Dfs::with(options, folder()).await;
        let client = |account| {
            let seen = Recorder::new();
            (recorded(&server.url, &seen).with_account(account), seen)
        };
        let (admin, seen) = client(admin_account());
        for role in [Role::Operator, Role::User] {
            let name = role.as_str().to_owned();
            let user = NewUser {
                role,
                ..NewUser::new(name, SECRET)
            };
            admin.users().create(&user).await.unwrap();
        }
        let (operator, operator_seen) = client(Account::new("operator", SECRET));
        let (user, user_seen) = client(Account::new("user", SECRET));
        Self {
            server,
            admin,
            operator,
            user,
            seen,
            operator_seen,
            user_seen,
            admin_token: OnceCell::new(),
        }
    }

    /// A client for another account; what it says counts as well.
    pub(crate) fn account(&self, name: &str, password: &str) -> Client {
        recorded(&self.server.url, &self.seen).with_account(Account::new(name, password))
    }

    /// A client whose calls count, to be built further.
    pub(crate) fn transport(&self) -> Arc<Recorder> {
        self.seen.clone()
    }

    /// The call as an administrator, after accounts with less have been refused.
    pub(crate) async fn ask<T: Debug>(
        &self,
        call: impl AsyncFn(&Client) -> Result<T, Error>,
    ) -> Result<T, Error> {
        for client in [&self.user, &self.operator] {
            let error = call(client).await.unwrap_err();
            assert!(
                matches!(
                    error,
                    Error::Forbidden {
                        needed: Access::Admin,
                        denial: Denial::Role,
                        ..
                    }
                ),
                "{error:?}"
            );
            assert!(error.to_string().contains("needed: role admin"), "{error}");
        }
        call(&self.admin).await
    }

    /// A request as it stands, with a token or without.
    pub(crate) async fn raw(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: &Value,
    ) -> Answer {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.server.url))
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let limits = Limits {
            total: Duration::from_secs(180),
            body: 1 << 20,
        };
        let request = request.body(Bytes::from(body)).unwrap();
        let answer = self.seen.send(request, limits).await.unwrap();
        let kind = answer.headers().get(header::CONTENT_TYPE);
        Answer {
            status: answer.status().as_u16(),
            kind: kind.map_or_else(String::new, |kind| kind.to_str().unwrap().to_owned()),
            body: String::from_utf8(answer.body().to_vec()).unwrap(),
        }
    }

    /// A token of this account.
    pub(crate) async fn token(&self, name: &str) -> String {
        let password = if name == "admin" { PASSWORD } else { SECRET };
        let login = json!({"username": name, "password": password});
        let answer = self.raw("POST", "/api/v1/auth/login", None, &login).await;
        let grant: Value = serde_json::from_str(&answer.body).unwrap();
        grant["access_token"].as_str().unwrap().to_owned()
    }

    /// A request as the administrator that the client would not send; its status.
    pub(crate) async fn raw_admin(&self, method: &str, path: &str, body: Value) -> u16 {
        let token = self.admin_token.get_or_init(|| self.token("admin")).await;
        self.raw(method, path, Some(token), &body).await.status
    }

    /// An account with this role that need not change its password.
    pub(crate) async fn make_user(&self, name: &str) {
        self.admin
            .users()
            .create(&NewUser::new(name, SECRET))
            .await
            .unwrap();
    }

    /// Enables or disables an account.
    pub(crate) async fn enable_user(&self, name: &str, enabled: bool) {
        let change = UserChange {
            enabled: Some(enabled),
            ..UserChange::default()
        };
        self.admin.users().update(name, &change).await.unwrap();
    }

    /// Fails when a line of the table for this topic was not tried in whole.
    pub(crate) fn check(&self, topic: &str) {
        let gaps = table::gaps(
            topic,
            &self.seen.all(),
            [&self.user_seen.all(), &self.operator_seen.all()],
        );
        assert!(gaps.is_empty(), "{gaps:#?}");
    }
}

fn recorded(url: &str, seen: &Arc<Recorder>) -> Client {
    Client::builder(url)
        .transport(seen.clone())
        .timeouts(PATIENT)
        .build()
        .unwrap()
}

/// What a call must have failed with.
macro_rules! refusal {
    ($name:ident, $pattern:pat => $text:expr) => {
        #[track_caller]
        pub(crate) fn $name<T: Debug>(result: Result<T, Error>) -> String {
            match result {
                Err($pattern) => $text,
                other => panic!("{other:?}"),
            }
        }
    };
}

refusal!(not_found, Error::NotFound { detail, .. } => detail);
refusal!(conflict, Error::Conflict { detail, .. } => detail);
refusal!(invalid, Error::Invalid { status: 400, detail, .. } => detail);
refusal!(failed, Error::ServerError { status: 500, detail, .. } => detail);
refusal!(protected, Error::Forbidden { denial: Denial::Protected, detail, .. } => detail);
