//! The fields that a field manager owns, read from managedFields.
//!
//! Format: `FieldsV1` of
//! <https://kubernetes.io/docs/reference/using-api/server-side-apply/#serialization-and-field-management>
//! (`f:` field, `k:` item of a list map, `v:` item of a set, `i:` index, `.` the
//! thing itself).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// A tree of owned fields. Nothing in it: the whole value below is owned.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Owned {
    /// The thing itself is owned, but only those of its parts that are named.
    pub(crate) itself: bool,
    /// Named fields of an object.
    pub(crate) fields: BTreeMap<String, Self>,
    /// Items of a list map, by their key fields.
    pub(crate) items: Vec<(Map<String, Value>, Self)>,
    /// Items of a set.
    pub(crate) values: Vec<Value>,
}

impl Owned {
    /// What `manager` owns of a live object, on the main resource or on a
    /// subresource; `None` when it owns nothing. Entries of the operation
    /// Update come from the corrections of [`super::exact`].
    pub(crate) fn of(live: &Value, manager: &str, subresource: Option<&str>) -> Option<Self> {
        Self::by(&["Apply", "Update"], live, manager, subresource)
    }

    /// What `manager` owns by server-side apply alone: that goes when it is no longer applied.
    pub(crate) fn applied(live: &Value, manager: &str) -> Option<Self> {
        Self::by(&["Apply"], live, manager, None)
    }

    fn by(
        operations: &[&str],
        live: &Value,
        manager: &str,
        subresource: Option<&str>,
    ) -> Option<Self> {
        let entries = live.pointer("/metadata/managedFields")?.as_array()?;
        let mut owned: Option<Self> = None;
        for entry in entries {
            let text = |field: &str| entry.get(field).and_then(Value::as_str).unwrap_or_default();
            if text("manager") == manager
                && operations.contains(&text("operation"))
                && text("subresource") == subresource.unwrap_or_default()
                && let Some(fields) = entry.get("fieldsV1")
            {
                owned.get_or_insert_default().merge(Self::parse(fields));
            }
        }
        owned
    }

    /// Whether nothing below is named, so that the whole value is owned: a
    /// scalar, an atomic value or an empty object or list.
    pub(crate) fn is_leaf(&self) -> bool {
        !self.itself && self.fields.is_empty() && self.items.is_empty() && self.values.is_empty()
    }

    fn parse(fields: &Value) -> Self {
        let mut owned = Self::default();
        let Some(fields) = fields.as_object() else {
            return owned;
        };
        for (path, below) in fields {
            match path.split_once(':') {
                Some(("f", name)) => {
                    owned.fields.insert(name.to_owned(), Self::parse(below));
                }
                Some(("k", keys)) => {
                    if let Ok(Value::Object(keys)) = serde_json::from_str(keys) {
                        owned.items.push((keys, Self::parse(below)));
                    }
                }
                Some(("v", value)) => owned.values.extend(serde_json::from_str::<Value>(value)),
                // `i:` is used by no list of Kubernetes; such a list counts as a whole.
                _ => owned.itself |= path == ".",
            }
        }
        owned
    }

    fn merge(&mut self, other: Self) {
        self.itself |= other.itself;
        for (name, below) in other.fields {
            self.fields.entry(name).or_default().merge(below);
        }
        for (keys, below) in other.items {
            match self.items.iter_mut().find(|(own, _)| *own == keys) {
                Some((_, own)) => own.merge(below),
                None => self.items.push((keys, below)),
            }
        }
        for value in other.values {
            if !self.values.contains(&value) {
                self.values.push(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn live() -> Value {
        json!({"metadata": {"managedFields": [
            {"manager": "us", "operation": "Apply", "fieldsV1": {
                "f:data": {"f:a": {}},
                "f:list": {"k:{\"name\":\"x\"}": {".": {}, "f:name": {}, "f:v": {}}},
                "f:set": {"v:\"one\"": {}, "v:2": {}},
            }},
            {"manager": "us", "operation": "Apply", "apiVersion": "v2", "fieldsV1": {"f:data": {"f:b": {}}}},
            {"manager": "us", "operation": "Apply", "subresource": "status", "fieldsV1": {"f:status": {"f:x": {}}}},
            {"manager": "us", "operation": "Update", "fieldsV1": {"f:data": {"f:c": {}}}},
            {"manager": "them", "operation": "Apply", "fieldsV1": {"f:data": {"f:d": {}}}},
        ]}})
    }

    #[test]
    fn entries_of_other_managers_and_subresources_are_not_ours() {
        let owned = Owned::of(&live(), "us", None).unwrap();
        assert_eq!(
            owned.fields["data"].fields.keys().collect::<Vec<_>>(),
            ["a", "b", "c"]
        );
        assert!(!owned.fields.contains_key("status"));
        let status = Owned::of(&live(), "us", Some("status")).unwrap();
        assert_eq!(status.fields.keys().collect::<Vec<_>>(), ["status"]);
        assert_eq!(Owned::of(&live(), "nobody", None), None);
        let applied = Owned::applied(&live(), "us").unwrap();
        assert!(!applied.fields["data"].fields.contains_key("c"));
    }

    #[test]
    fn list_maps_and_sets_are_told_apart() {
        let owned = Owned::of(&live(), "us", None).unwrap();
        let list = &owned.fields["list"];
        assert_eq!(list.items[0].0, *json!({"name": "x"}).as_object().unwrap());
        assert!(list.items[0].1.fields["v"].is_leaf());
        assert_eq!(owned.fields["set"].values, [json!("one"), json!(2)]);
    }
}
