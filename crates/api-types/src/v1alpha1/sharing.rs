//! `spec.shares` of a server: who may have shares on it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bounded;

/// Which DittoFSShares the server serves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShareSettings {
    /// Namespaces whose DittoFSShares may name this server; its own is always one of them.
    #[serde(default)]
    pub allowed_namespaces: AllowedNamespaces,
}

/// Namespaces whose DittoFSShares may name a server. A share whose namespace is not among them any more stays as it is, and is not changed until it is again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.selector) == (self.from == 'Selector')").message("from Selector needs selector, and no other has one"))]
pub struct AllowedNamespaces {
    /// Same is the server's own namespace alone, All is every namespace, Selector is the own and those that selector takes.
    #[serde(default)]
    pub from: NamespacesFrom,
    /// Labels of the namespaces. Without any it takes every namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounded::one::<LabelSelector>")]
    #[x_kube(validation = Rule::new(OPERATORS).message(OPERATORS_MESSAGE))]
    pub selector: Option<LabelSelector>,
}

/// What Kubernetes asks of a label selector
/// (<https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors>);
/// a selector that breaks it selects nothing, and nobody would say so.
const OPERATORS: &str = "!has(self.matchExpressions) || self.matchExpressions.all(e, e.operator in ['In', 'NotIn'] ? has(e.values) && e.values.size() > 0 : e.operator in ['Exists', 'DoesNotExist'] && (!has(e.values) || e.values.size() == 0))";
const OPERATORS_MESSAGE: &str = "the operators of matchExpressions are In and NotIn with values, Exists and DoesNotExist without";

/// How the namespaces are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NamespacesFrom {
    /// The server's own.
    #[default]
    Same,
    /// Every one.
    All,
    /// Those with certain labels.
    Selector,
}
