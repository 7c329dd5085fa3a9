//! What shall become of the objects of the Prometheus operator.

use resources::{CA_KEY, Certificate, Instance, PrometheusRule, ServiceMonitor};

use super::{Wish, unwanted};
use crate::observe::Observed;

/// The ServiceMonitor.
pub(super) fn monitor(observed: &Observed, instance: &Instance<'_>) -> Wish<ServiceMonitor> {
    if !observed.served.monitors {
        return Wish::Leave;
    }
    let certificate = certificate(observed, instance);
    let wanted = resources::service_monitor(instance, certificate.unwrap_or(Certificate::WithCa));
    match (wanted, certificate) {
        (None, _) => unwanted(observed.live.monitor.as_deref(), instance),
        (Some(monitor), Some(_)) => Wish::Apply(Box::new(monitor)),
        (Some(_), None) => Wish::Leave,
    }
}

/// The PrometheusRule.
pub(super) fn rule(observed: &Observed, instance: &Instance<'_>) -> Wish<PrometheusRule> {
    if !observed.served.rules {
        return Wish::Leave;
    }
    match resources::prometheus_rule(instance) {
        Some(rule) => Wish::Apply(Box::new(rule)),
        None => unwanted(observed.live.rule.as_deref(), instance),
    }
}

/// What is known of the endpoint's certificate; `None` while its Secret is missing or unreadable.
fn certificate(observed: &Observed, instance: &Instance<'_>) -> Option<Certificate> {
    let metrics = instance.spec.metrics.as_ref();
    let Some(secret) = metrics.and_then(|metrics| metrics.cert_secret_name.as_ref()) else {
        return Some(Certificate::WithoutCa);
    };
    observed
        .has_key(&secret.0, CA_KEY)
        .map(|has_ca| match has_ca {
            true => Certificate::WithCa,
            false => Certificate::WithoutCa,
        })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::observe::{SecretState, Served};
    use crate::testing::{planned, provisioned, respecified, secret};
    use crate::validate::validate;

    const EVERYTHING: Served = Served {
        monitors: true,
        rules: true,
    };

    fn world(metrics: Value) -> Observed {
        let mut world = provisioned(json!({"metrics": metrics}));
        world.served = EVERYTHING;
        world
    }

    /// `world` with what the plan for it wants.
    fn monitored(mut world: Observed) -> Observed {
        let children = planned(&world).children;
        let (Wish::Apply(monitor), Wish::Apply(rule)) = (children.monitor, children.rule) else {
            panic!("both shall be applied")
        };
        world.live.monitor = Some(Arc::from(monitor));
        world.live.rule = Some(Arc::from(rule));
        world
    }

    #[test]
    fn each_is_made_where_the_cluster_has_its_kind() {
        for (monitors, rules) in [(false, false), (true, false), (false, true), (true, true)] {
            let mut world = world(json!({"enabled": true}));
            world.served = Served { monitors, rules };
            let children = planned(&world).children;
            assert_eq!(matches!(children.monitor, Wish::Apply(_)), monitors);
            assert_eq!(matches!(children.rule, Wish::Apply(_)), rules);
        }
    }

    #[test]
    fn both_go_with_metrics_and_only_while_the_cluster_has_their_kinds() {
        let world = monitored(world(json!({"enabled": true})));
        let mut world = respecified(world, |spec| spec.metrics = None);
        let children = planned(&world).children;
        assert_eq!(children.monitor, Wish::Remove);
        assert_eq!(children.rule, Wish::Remove);
        world.served = Served::default();
        let children = planned(&world).children;
        assert_eq!(
            (children.monitor, children.rule),
            (Wish::Leave, Wish::Leave)
        );
    }

    #[test]
    fn somebody_elses_is_left_alone_and_named_only_where_it_is_in_the_way() {
        let mut world = monitored(world(json!({"enabled": true})));
        let mut foreign = ServiceMonitor::clone(world.live.monitor.as_ref().unwrap());
        foreign.metadata.owner_references = None;
        foreign.metadata.labels = None;
        world.live.monitor = Some(Arc::new(foreign));
        assert_eq!(planned(&world).children.monitor, Wish::Leave);
        let conflicts = validate(&world).unwrap().conflicts;
        assert_eq!(conflicts.len(), 1);
        assert_eq!(conflicts[0].kind, "ServiceMonitor");

        let world = respecified(world, |spec| {
            let metrics = spec.metrics.as_mut().unwrap();
            metrics.service_monitor = serde_json::from_value(json!({"enabled": false})).unwrap();
        });
        assert_eq!(planned(&world).children.monitor, Wish::Leave);
        assert!(validate(&world).unwrap().conflicts.is_empty());
    }

    #[test]
    fn a_certificate_that_cannot_be_read_changes_nothing() {
        let ca = |world: &Observed| match planned(world).children.monitor {
            Wish::Apply(monitor) => {
                Some(!monitor.spec["endpoints"][0]["tlsConfig"]["ca"].is_null())
            }
            Wish::Leave => None,
            Wish::Remove => panic!("it shall stay"),
        };
        let mut world = world(json!({"enabled": true, "certSecretName": "cert"}));
        assert_eq!(ca(&world), None, "missing");
        let refused = SecretState::Refused("no".to_owned());
        world.secrets.insert("cert".to_owned(), refused);
        assert_eq!(ca(&world), None, "refused");
        secret(&mut world, "cert", &[("tls.crt", "c"), ("tls.key", "k")]);
        assert_eq!(ca(&world), Some(false));
        let pair = [("tls.crt", "c"), ("tls.key", "k"), ("ca.crt", "a")];
        secret(&mut world, "cert", &pair);
        assert_eq!(ca(&world), Some(true));
    }
}
