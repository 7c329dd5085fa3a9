//! One server's REST API: how it is reached, our account in it, and what a look asks for.

mod awaited;
mod declared;
mod identity;
mod pod;
mod predecessor;
mod providers;
mod settings;
mod tls;
mod tuning;

use adapter_client::{Adapter, AdapterType, Role};
use api_types::names;
use api_types::v1alpha1::AdapterKind;
use async_trait::async_trait;
use controller_runtime::Context;
use controller_runtime::rest::{self, Open, OwnAccount, RestSettings, Trouble, account, trouble};

use crate::MANAGER;
use crate::poll::{Found, Look, Looker, Lookers, Seen, Serving, Target, Why};

/// Name of our account in every server.
pub const USER: &str = "dittofs-adapter-controller";

const ACCOUNT: OwnAccount = OwnAccount {
    user: USER,
    controller: "adapter-controller",
    secret: names::adapter_credentials,
};

/// Makes the sessions with the servers.
pub struct Sessions {
    tools: rest::Sessions,
}

impl Sessions {
    /// Sessions that reach their servers as `rest` says.
    pub fn new(context: &Context, rest: RestSettings) -> Self {
        Sessions {
            tools: rest::Sessions::new(context, rest, MANAGER, ACCOUNT),
        }
    }
}

impl Lookers for Sessions {
    fn looker(&self) -> Box<dyn Looker> {
        Box::new(Session {
            tools: self.tools.clone(),
            open: None,
            leftover: predecessor::Leftover::default(),
            ledger: None,
        })
    }
}

/// A session with one server. Tokens are in its memory only.
struct Session {
    tools: rest::Sessions,
    open: Option<Open>,
    leftover: predecessor::Leftover,
    /// `None` before the first look: then the status of a time before this process tells.
    ledger: Option<tuning::Ledger>,
}

#[async_trait]
impl Looker for Session {
    async fn look(&mut self, target: &Target, why: Why) -> Look {
        if why == Why::Changed {
            // A Secret or the address may be another one: everything is read again.
            self.open = None;
            self.leftover.look_again();
            if let Some(ledger) = &mut self.ledger {
                ledger.look_again();
            }
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
            let site = target.site();
            let anonymous = self.tools.anonymous(&site).await?;
            let admin = account::admin(&self.tools, &site, &anonymous).await?;
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
        let ledger = self
            .ledger
            .get_or_insert_with(|| tuning::Ledger::of(target));
        ledger.told = awaited::Awaited::of(&target.awaited);
        let declared = target.spec.adapters.as_ref();
        let nfs = declared.and_then(|declared| declared.nfs.as_ref());
        let tuned = declared.filter(|declared| declared::is_anything(declared));
        let tls = nfs.is_some_and(|nfs| nfs.tls.is_some()) || target.tls_secret.is_some();
        let identity =
            providers::is_anything(target.spec.identity.as_ref()) || !ledger.pushed.is_empty();
        let role = if tuned.is_some() || tls || identity {
            Role::Admin
        } else {
            Role::Operator
        };
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.tools.open(&target.site()).await?,
        };
        let mut adapters = list(&self.tools, target, &mut open, &role).await?;
        let mut not_applied = Vec::new();
        let mut tls_secret = target.tls_secret.clone();
        let mut changed = false;
        if target.may_write {
            if tls {
                let row = nfs_row(&adapters);
                let outcome = tls::push(&self.tools, target, &open.account, nfs, row, ledger).await;
                changed |= outcome.changed;
                tls_secret = outcome.in_use;
                not_applied.extend(outcome.not_applied);
            }
            if changed {
                adapters = list(&self.tools, target, &mut open, &role).await?;
                changed = false;
            }
            if let Some(declared) = tuned {
                let taken = declared::Taken::of(&target.spec, &target.api.url);
                let pushed =
                    declared::push(&open.account, taken, declared, &adapters, ledger).await;
                changed |= pushed.changed;
                not_applied.extend(pushed.not_applied);
            }
            if changed {
                // Read back: what counts is what the server says now.
                adapters = list(&self.tools, target, &mut open, &role).await?;
            }
        } else {
            if let Some(declared) = tuned {
                not_applied = declared::differences(&open.account, declared, &adapters).await;
            }
            let told = target.tls_secret.as_deref();
            let wanted = nfs.and_then(|nfs| nfs.tls.as_ref());
            if tls {
                not_applied.extend(tls::difference(wanted, nfs_row(&adapters), told));
            }
        }
        if identity {
            let said = providers::push(&self.tools, target, &open.account, ledger).await;
            not_applied.extend(said);
        }
        ledger.settle(declared, &adapters, &open.anonymous).await;
        if target.leave_behind && target.may_write {
            self.leftover
                .remove(&self.tools, target, &open.anonymous)
                .await;
        }
        self.open = Some(open);
        Ok(Found {
            adapters: adapters.iter().filter_map(seen).collect(),
            not_applied,
            awaited: ledger.awaited.notes(),
            pushed: ledger.pushed.clone(),
            tls_secret,
        })
    }
}

fn nfs_row(adapters: &[Adapter]) -> Option<&Adapter> {
    let mut rows = adapters.iter();
    rows.find(|row| kind_of(&row.kind) == Some(AdapterKind::Nfs))
}

/// The adapters, asked for with our account, which is made or mended when it does not work.
async fn list(
    tools: &rest::Sessions,
    target: &Target,
    open: &mut Open,
    role: &Role,
) -> Result<Vec<Adapter>, Trouble> {
    account::ask(tools, &target.site(), open, role, async |client| {
        client.adapters().list().await
    })
    .await
}

/// What we make of an adapter; `None` for a protocol that we do not know.
fn seen(adapter: &Adapter) -> Option<Seen> {
    let restarting = tls::is_restarting(adapter);
    Some(Seen {
        kind: kind_of(&adapter.kind)?,
        enabled: adapter.enabled || restarting,
        port: adapter.port.number(),
        serving: match adapter.serving() {
            adapter_client::Serving::Disabled if restarting => Serving::Starting,
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
