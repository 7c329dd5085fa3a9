//! Everything that wakes the controller, and the stores it reads from.

use api_types::{DittoFSShare, DittoServer};
use controller_runtime::{
    Context, HeldSecret, Primaries, References, Remembered, Target, Triggers, WatchOptions,
    Watched, reference_triggers,
};
use futures::StreamExt;
use futures::channel::mpsc;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::runtime::reflector::ObjectRef;

use crate::server::Servers;

/// Namespaces and names of the servers that changed.
pub type Changed = mpsc::UnboundedReceiver<(String, String)>;

/// The stores of everything that the controller reads.
#[derive(Clone, Debug)]
pub struct Watches {
    /// The shares themselves.
    pub shares: Primaries<DittoFSShare>,
    /// The servers.
    pub servers: Watched<DittoServer>,
    /// The server and the Secrets that each share needs.
    pub references: References<DittoFSShare>,
    /// What was read of those Secrets.
    pub secrets: Remembered<HeldSecret>,
}

impl Watches {
    /// Prepares every watch; they run while the returned parts are polled by the run loop. A Secret that
    /// changes has the session with the server of its share opened anew: it may be the one that opens it.
    pub fn start(
        context: &Context,
        shares: Primaries<DittoFSShare>,
        sessions: &Servers,
    ) -> (Self, Vec<Triggers<DittoFSShare>>, Changed) {
        let references = References::new();
        let secrets = Remembered::new();
        let index = references.clone();
        let (tell, changed) = mpsc::unbounded();
        let (servers, server) = Watched::start(context, WatchOptions::all(), move |meta| {
            // Nobody listens any more when the controller ends.
            let _ = tell.unbounded_send((
                meta.namespace.clone().unwrap_or_default(),
                meta.name.clone().unwrap_or_default(),
            ));
            named(&index, meta)
        });
        let sessions = sessions.clone();
        let secret = reference_triggers::<Secret, _, _>(
            context,
            WatchOptions::all().named("secrets (metadata)"),
            references.clone(),
            secrets.clone(),
        )
        .inspect(move |share| sessions.poke(share))
        .boxed();
        let watches = Watches {
            shares,
            servers,
            references,
            secrets,
        };
        (watches, vec![server, secret], changed)
    }

    /// Forgets what was read of Secrets to which no share refers any more.
    pub fn forget(&self, left: Vec<Target>) {
        for (kind, namespace, name) in left {
            if kind == Secret::kind(&()) {
                self.secrets.forget(&namespace, &name);
            }
        }
    }
}

/// The shares on the server with this metadata.
fn named(references: &References<DittoFSShare>, meta: &ObjectMeta) -> Vec<ObjectRef<DittoFSShare>> {
    let namespace = meta.namespace.as_deref().unwrap_or_default();
    let name = meta.name.as_deref().unwrap_or_default();
    references.lookup(&DittoServer::kind(&()), namespace, name)
}
