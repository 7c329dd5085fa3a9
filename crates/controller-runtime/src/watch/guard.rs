//! One object that cannot be decoded must not end a watch of many.

use std::borrow::Cow;

use kube::{Resource, core::ObjectMeta};
use serde::{Deserialize, Deserializer, de::Error};

/// An object, or what can be said of one that cannot be decoded. As
/// [`kube::core::DeserializeGuard`], but it also guards kinds of which only
/// the metadata is requested.
#[derive(Clone, Debug)]
pub(crate) struct Guard<K>(pub(crate) Result<K, Undecodable>);

/// What can be said of an object that cannot be decoded.
#[derive(Clone, Debug)]
pub(crate) struct Undecodable {
    pub(crate) metadata: ObjectMeta,
    pub(crate) error: String,
}

impl<'de, K> Deserialize<'de> for Guard<K>
where
    K: serde::de::DeserializeOwned,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let error = match K::deserialize(&value) {
            Ok(object) => return Ok(Self(Ok(object))),
            Err(error) => error.to_string(),
        };
        let metadata = value.get("metadata").map(ObjectMeta::deserialize);
        let metadata = metadata
            .and_then(Result::ok)
            .ok_or_else(|| D::Error::custom(&error))?;
        Ok(Self(Err(Undecodable { metadata, error })))
    }
}

impl<K: Resource> Resource for Guard<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn metadata_api() -> bool {
        K::metadata_api()
    }

    fn kind(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(dynamic)
    }

    fn group(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::group(dynamic)
    }

    fn version(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::version(dynamic)
    }

    fn plural(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(dynamic)
    }

    fn meta(&self) -> &ObjectMeta {
        self.0
            .as_ref()
            .map_or_else(|undecodable| &undecodable.metadata, K::meta)
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0
            .as_mut()
            .map_or_else(|undecodable| &mut undecodable.metadata, K::meta_mut)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::{
        apps::v1::StatefulSet,
        core::v1::{PersistentVolumeClaim, Secret, Service},
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
    };
    use kube::core::PartialObjectMeta;
    use serde::de::DeserializeOwned;

    use super::*;
    use crate::apply::fixture;

    fn decodes<K: DeserializeOwned + PartialEq + std::fmt::Debug>(name: &str) {
        let live = fixture(name);
        let direct: K = serde_json::from_value(live.clone()).unwrap();
        let line = serde_json::json!({"type": "ADDED", "object": live}).to_string();
        let event: kube::core::WatchEvent<Guard<K>> = serde_json::from_str(&line).unwrap();
        let kube::core::WatchEvent::Added(Guard(Ok(guarded))) = event else {
            panic!("{event:?}")
        };
        assert_eq!(guarded, direct);
    }

    #[test]
    fn real_objects_decode_through_the_guard_as_without_it() {
        decodes::<StatefulSet>("statefulset");
        decodes::<Service>("service");
        decodes::<NetworkPolicy>("networkpolicy");
        decodes::<PodDisruptionBudget>("pdb");
        decodes::<PersistentVolumeClaim>("pvc");
        decodes::<Secret>("secret");
    }

    #[test]
    fn metadata_only_kinds_stay_so() {
        assert!(<Guard<PartialObjectMeta<Secret>> as Resource>::metadata_api());
        assert!(!<Guard<Secret> as Resource>::metadata_api());
    }
}
