//! One test for each group of calls: all of them, with all errors of the table.

use crate::{accounts, data, identity, protocols, rig::Rig, shares, sharing, snapshots, stores};

macro_rules! topics {
    ($($topic:ident in $module:ident,)*) => {
        /// The groups that have a test.
        pub(crate) const TOPICS: &[&str] = &[$(stringify!($topic)),*];

        $(
            #[tokio::test]
            async fn $topic() {
                let rig = match stringify!($topic) {
                    "netlogon" => Rig::in_a_domain().await,
                    _ => Rig::start().await,
                };
                $module::$topic(&rig).await;
                rig.check(stringify!($topic));
            }
        )*
    };
}

topics! {
    server in accounts,
    auth in accounts,
    users in accounts,
    groups in accounts,
    adapters in protocols,
    adapter_settings in protocols,
    settings in protocols,
    clients in protocols,
    metadata_stores in stores,
    block_stores in stores,
    shares in shares,
    permissions in sharing,
    nfs_options in sharing,
    netgroups in sharing,
    quotas in sharing,
    snapshots in snapshots,
    snapshot_policies in snapshots,
    identity_mappings in identity,
    identity_providers in identity,
    netlogon in identity,
    system in data,
    blocks in data,
    gc in data,
    trash in data,
}
