//! One server's REST API: how it is reached, our account in it, and what a look asks for.

mod account;
mod declared;
mod predecessor;
mod reach;
mod secrets;
mod settings;
mod trouble;

use adapter_client::{Adapter, AdapterType, Client as RestClient, Role};
use api_types::v1alpha1::AdapterKind;
use async_trait::async_trait;
use controller_runtime::rest::{RestSettings, Servers};
use controller_runtime::{Applier, Context};
use kube::Client;

use crate::MANAGER;
use crate::poll::{Found, Look, Looker, Lookers, Seen, Serving, Target, Trouble, Why};
pub use account::USER;

/// Makes the sessions with the servers.
pub struct Sessions {
    tools: Tools,
}

/// What every session works with.
#[derive(Clone)]
struct Tools {
    client: Client,
    applier: Applier,
    servers: Servers,
}

impl Sessions {
    /// Sessions that reach their servers as `rest` says.
    pub fn new(context: &Context, rest: RestSettings) -> Self {
        Sessions {
            tools: Tools {
                client: context.client.clone(),
                applier: Applier::new(context.client.clone(), MANAGER),
                servers: Servers::new(context, rest),
            },
        }
    }
}

impl Lookers for Sessions {
    fn looker(&self) -> Box<dyn Looker> {
        Box::new(Session {
            tools: self.tools.clone(),
            open: None,
            leftover: predecessor::Leftover::default(),
            stuck: declared::Stuck::default(),
        })
    }
}

/// A session with one server. Tokens are in its memory only.
struct Session {
    tools: Tools,
    open: Option<Open>,
    leftover: predecessor::Leftover,
    stuck: declared::Stuck,
}

/// What is open while nothing that it depends on changes.
struct Open {
    anonymous: RestClient,
    account: RestClient,
}

#[async_trait]
impl Looker for Session {
    async fn look(&mut self, target: &Target, why: Why) -> Look {
        if why == Why::Changed {
            // A Secret or the address may be another one: everything is read again.
            self.open = None;
            self.leftover.look_again();
            self.stuck = declared::Stuck::default();
        }
        let look = self.ask(target).await;
        if look.is_err() {
            self.open = None;
        }
        look
    }

    async fn retire(&mut self, target: &Target) {
        if !target.may_write {
            return;
        }
        let removed = async {
            let anonymous = reach::client(&self.tools, target).await?;
            let admin = account::admin(&self.tools, target, &anonymous).await?;
            let users = admin.users();
            users
                .delete(USER)
                .await
                .map_err(|error| trouble::of(&error))
        };
        if let Err(trouble) = removed.await {
            // The account is left over; a server of the same name takes it up with another password.
            tracing::debug!(
                reason = trouble.reason.as_str(),
                "the account was not removed"
            );
        }
    }
}

impl Session {
    async fn ask(&mut self, target: &Target) -> Look {
        let declared = target.spec.adapters.as_ref();
        let declared = declared.filter(|declared| declared::is_anything(declared));
        let role = match declared {
            Some(_) => Role::Admin,
            None => Role::Operator,
        };
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.tools.open(target).await?,
        };
        let mut adapters = account::list(&self.tools, target, &mut open, &role).await?;
        let mut not_applied = Vec::new();
        if let Some(declared) = declared.filter(|_| !target.may_write) {
            not_applied = declared::differences(&open.account, declared, &adapters).await;
        } else if let Some(declared) = declared {
            let pushed = declared::push(
                &open.account,
                declared::Taken::of(&target.spec, &target.api.url),
                declared,
                &adapters,
                &mut self.stuck,
            )
            .await;
            not_applied = pushed.not_applied;
            if pushed.changed {
                // Read back: what counts is what the server says now.
                adapters = account::list(&self.tools, target, &mut open, &role).await?;
            }
        }
        if target.leave_behind && target.may_write {
            self.leftover
                .remove(&self.tools, target, &open.anonymous)
                .await;
        }
        self.open = Some(open);
        Ok(Found {
            adapters: adapters.iter().filter_map(seen).collect(),
            not_applied,
            pushed: Vec::new(),
        })
    }
}

impl Tools {
    async fn open(&self, target: &Target) -> Result<Open, Trouble> {
        let anonymous = reach::client(self, target).await?;
        let password = account::password(self, target).await?;
        let account = anonymous.with_account(adapter_client::Account::new(USER, password));
        Ok(Open { anonymous, account })
    }
}

/// What we make of an adapter; `None` for a protocol that we do not know.
fn seen(adapter: &Adapter) -> Option<Seen> {
    Some(Seen {
        kind: kind_of(&adapter.kind)?,
        enabled: adapter.enabled,
        port: adapter.port.number(),
        serving: match adapter.serving() {
            adapter_client::Serving::Yes => Serving::Healthy,
            adapter_client::Serving::No => Serving::Failed(adapter.status.message.clone()),
            adapter_client::Serving::Disabled => Serving::Off,
            adapter_client::Serving::Undecided => Serving::Starting,
        },
    })
}

fn kind_of(kind: &AdapterType) -> Option<AdapterKind> {
    AdapterKind::parse(kind.as_str())
}

fn type_of(kind: AdapterKind) -> AdapterType {
    match kind {
        AdapterKind::Nfs => AdapterType::Nfs,
        AdapterKind::Smb => AdapterType::Smb,
    }
}
