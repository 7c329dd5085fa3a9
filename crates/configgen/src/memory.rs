//! Sizes of the server's caches, derived from the memory limit of its container.
//!
//! Left alone, the server sizes its caches by the cgroup v2 limit, and by the memory of the whole
//! node where there is none to be seen (cgroup v1); and it gives each Badger store at least 768 MiB
//! (server contract 1.7). Both end a small container, so the sizes are written down.

use api_types::quantity;
use k8s_openapi::api::core::v1::ResourceRequirements;
use serde::Serialize;

const MIB: u64 = 1 << 20;

/// `metadata`: settings of every metadata store.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct MetadataSection {
    badger: BadgerSection,
}

/// Caches of each Badger store, in MiB.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct BadgerSection {
    block_cache_mb: u64,
    index_cache_mb: u64,
}

/// `blockstore`: settings of every block store.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct BlockstoreSection {
    local: LocalSection,
}

/// The local tier of each share, in bytes.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct LocalSection {
    max_log_bytes: u64,
}

/// The memory limit in bytes, when there is one.
pub(crate) fn limit(resources: Option<&ResourceRequirements>) -> Option<u64> {
    let limit = resources?.limits.as_ref()?.get("memory")?;
    quantity::units(&limit.0).filter(|bytes| *bytes > 0)
}

/// Badger's caches for a limit of `bytes`: 5 % of it for blocks (32 MiB to 4 GiB) and 2.5 % for the
/// index (16 MiB to 2 GiB). They count for each store, and four stores then take 30 %.
pub(crate) fn metadata(bytes: u64) -> MetadataSection {
    MetadataSection {
        badger: BadgerSection {
            block_cache_mb: (bytes / 20 / MIB).clamp(32, 4096),
            index_cache_mb: (bytes / 40 / MIB).clamp(16, 2048),
        },
    }
}

/// What each share may have written and not yet rolled up, for a limit of `bytes`: 25 % of it, at
/// least 1 GiB. It is what the server itself would choose if it saw the limit; the log lies on the
/// volume, and its pages count as the container's memory.
pub(crate) fn blockstore(bytes: u64) -> BlockstoreSection {
    BlockstoreSection {
        local: LocalSection {
            max_log_bytes: (bytes / 4).max(1024 * MIB),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(limit_text: &str) -> Option<(u64, u64, u64)> {
        let resources =
            serde_json::from_value(serde_json::json!({"limits": {"memory": limit_text}})).unwrap();
        let bytes = limit(Some(&resources))?;
        let BadgerSection {
            block_cache_mb,
            index_cache_mb,
        } = metadata(bytes).badger;
        let log = blockstore(bytes).local.max_log_bytes;
        Some((block_cache_mb, index_cache_mb, log / MIB))
    }

    #[test]
    fn caches_are_fractions_of_the_limit_within_bounds() {
        assert_eq!(of("256Mi"), Some((32, 16, 1024)));
        assert_eq!(of("1Gi"), Some((51, 25, 1024)));
        assert_eq!(of("8Gi"), Some((409, 204, 2048)));
        assert_eq!(of("1Ti"), Some((4096, 2048, 262_144)));
    }

    #[test]
    fn four_stores_leave_most_of_any_sensible_limit_to_the_rest() {
        for mebibytes in [1024, 2048, 16_384, 1 << 20] {
            let (blocks, index, _) = of(&format!("{mebibytes}Mi")).unwrap();
            assert!(4 * (blocks + index) * 100 <= mebibytes * 31, "{mebibytes}");
        }
    }

    #[test]
    fn without_a_limit_that_can_be_read_the_server_chooses() {
        assert_eq!(limit(None), None);
        assert_eq!(of("0"), None);
        assert_eq!(of("much"), None);
        let requests =
            serde_json::from_value(serde_json::json!({"requests": {"memory": "1Gi"}})).unwrap();
        assert_eq!(limit(Some(&requests)), None);
    }
}
