//! Children that are made again. One that is missing may have been deleted by mistake, or with a server
//! whose end nobody has told us of yet.

use resources::Children;

use super::{Plan, Wish};
use crate::observe::Observed;

impl Plan {
    /// Whether something shall come to be for a server that was served before. Then its children
    /// may be missing because it is gone itself, and nobody has told us yet.
    pub fn restores(&self, observed: &Observed) -> bool {
        fn is_new<T, L>(wish: &Wish<T>, live: &Option<L>) -> bool {
            matches!(wish, Wish::Apply(_)) && live.is_none()
        }
        let Children {
            config,
            headless,
            api,
            metrics,
            stateful_set,
            budget,
            policy,
            monitor,
            rule,
        } = &self.children;
        let live = &observed.live;
        let served = observed.server.status.as_ref();
        served.is_some_and(|status| status.observed_generation.is_some())
            && (!self.make.is_empty()
                || is_new(config, &live.config)
                || is_new(headless, &live.headless)
                || is_new(api, &live.api)
                || is_new(metrics, &live.metrics)
                || is_new(stateful_set, &live.stateful_set)
                || is_new(budget, &live.budget)
                || is_new(policy, &live.policy)
                || is_new(monitor, &live.monitor)
                || is_new(rule, &live.rule))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use api_types::DittoServer;
    use serde_json::json;

    use crate::observe::{Observed, SecretState};
    use crate::testing::{empty, planned, provisioned};

    fn served_before(mut world: Observed) -> Observed {
        let mut server = DittoServer::clone(&world.server);
        server.status = serde_json::from_value(json!({"observedGeneration": 1})).unwrap();
        world.server = Arc::new(server);
        world
    }

    #[test]
    fn what_a_new_server_gets_is_no_restoration() {
        for world in [empty(json!({})), provisioned(json!({}))] {
            assert!(!planned(&world).restores(&world));
        }
    }

    #[test]
    fn a_missing_child_or_secret_of_a_server_that_was_served_is_restored() {
        let world = served_before(provisioned(json!({})));
        assert!(planned(&world).restores(&world), "children are missing");
        let mut world = served_before(provisioned(json!({})));
        world
            .secrets
            .insert("files-jwt-secret".to_owned(), SecretState::Missing);
        assert!(planned(&world).restores(&world), "a Secret is missing");
    }
}
