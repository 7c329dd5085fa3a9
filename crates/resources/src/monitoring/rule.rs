//! The PrometheusRule: the alerts as the Prometheus operator takes them.

use api_types::names;
use serde_json::{Value, json};

use super::{Alert, PrometheusRule, alerts};
use crate::Instance;

/// The PrometheusRule; `None` while the spec wants none.
pub fn prometheus_rule(instance: &Instance<'_>) -> Option<PrometheusRule> {
    let api_types::v1alpha1::PrometheusRule {
        enabled: _,
        labels: wanted,
    } = instance.spec.metrics.as_ref()?.wanted_rule()?;
    let rules: Vec<Value> = alerts(instance)
        .into_iter()
        .map(|alert| rule(instance, alert))
        .collect();
    Some(PrometheusRule {
        metadata: instance.owned(
            names::prometheus_rule(instance.name),
            super::labels(instance, wanted),
        ),
        spec: json!({"groups": [{"name": "dittofs", "rules": rules}]}),
    })
}

fn rule(instance: &Instance<'_>, alert: Alert) -> Value {
    let Alert {
        name,
        expression,
        hold,
        severity,
        summary,
        description,
        action,
    } = alert;
    json!({
        "alert": name,
        "expr": expression,
        "for": hold,
        "labels": {
            "severity": severity.as_str(),
            "namespace": instance.namespace,
            "dittoserver": instance.name,
        },
        "annotations": {"summary": summary, "description": description, "action": action},
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::instance::tests::server;

    fn names(spec: Value) -> BTreeSet<String> {
        let server = server(spec);
        let rule = prometheus_rule(&Instance::of(&server).unwrap()).unwrap();
        let rules = rule.spec["groups"][0]["rules"].as_array().unwrap().clone();
        rules
            .iter()
            .map(|rule| rule["alert"].as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn every_expression_looks_at_this_server_only() {
        let server = server(json!({"metrics": {"enabled": true}}));
        let alerts = alerts(&Instance::of(&server).unwrap());
        assert!(alerts.len() >= 6);
        for Alert {
            name, expression, ..
        } in alerts
        {
            let selectors = expression.matches('{').count();
            let ours = expression
                .matches(r#"{namespace="media",job="files-metrics"}"#)
                .count();
            assert_eq!(
                selectors, ours,
                "{name} looks at other servers: {expression}"
            );
        }
    }

    #[test]
    fn every_alert_says_what_is_what_it_means_and_what_to_do() {
        let server = server(json!({"metrics": {"enabled": true}}));
        let rule = prometheus_rule(&Instance::of(&server).unwrap()).unwrap();
        for rule in rule.spec["groups"][0]["rules"].as_array().unwrap() {
            for field in ["summary", "description", "action"] {
                let text = rule["annotations"][field].as_str().unwrap();
                assert!(text.ends_with('.'), "{}: {field}: {text}", rule["alert"]);
            }
        }
    }

    #[test]
    fn nothing_fires_for_a_server_that_is_stopped_on_purpose() {
        let stopped = names(json!({"replicas": 0, "metrics": {"enabled": true}}));
        let running = names(json!({"metrics": {"enabled": true}}));
        let silent: Vec<&String> = running.difference(&stopped).collect();
        assert_eq!(silent, ["DittoFSAbsent", "DittoFSDown"]);
    }

    #[test]
    fn without_our_service_monitor_no_scrape_is_missed() {
        let metrics = json!({"enabled": true, "serviceMonitor": {"enabled": false}});
        assert!(!names(json!({"metrics": metrics})).contains("DittoFSAbsent"));
    }

    #[test]
    fn it_is_there_with_metrics_unless_somebody_opts_out() {
        let wanted = |metrics: Value| {
            let server = server(json!({"metrics": metrics}));
            prometheus_rule(&Instance::of(&server).unwrap()).is_some()
        };
        assert!(wanted(json!({"enabled": true})));
        assert!(!wanted(
            json!({"enabled": true, "prometheusRule": {"enabled": false}})
        ));
        assert!(!wanted(
            json!({"enabled": false, "prometheusRule": {"enabled": true}})
        ));
    }
}
