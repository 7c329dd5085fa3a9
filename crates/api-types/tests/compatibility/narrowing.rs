//! What a newer resource definition refuses, drops or means otherwise than an older one.
//!
//! The rules are those of the API conventions
//! (<https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api_changes.md>).

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// The narrowings from `old` to `new`, each with its place; none when everything that fits `old` fits `new`.
pub(crate) fn between(old: &Value, new: &Value) -> Vec<String> {
    let name = old["metadata"]["name"].as_str().unwrap_or_default();
    let mut found = Found {
        place: name.to_owned(),
        list: Vec::new(),
    };
    for field in ["group", "scope"] {
        found.same(field, &old["spec"][field], &new["spec"][field]);
    }
    for field in ["plural", "kind", "singular"] {
        let names = |crd: &Value| crd["spec"]["names"][field].clone();
        found.same(field, &names(old), &names(new));
    }
    found.keeps(
        "short name",
        &old["spec"]["names"]["shortNames"],
        &new["spec"]["names"]["shortNames"],
    );
    for version in list(&old["spec"]["versions"]) {
        let same = list(&new["spec"]["versions"])
            .iter()
            .find(|other| other["name"] == version["name"]);
        let named = version["name"].as_str().unwrap_or_default();
        found.at(named, |found| match same {
            None => found.add("the version is gone"),
            Some(same) => found.version(version, same),
        });
    }
    found.list
}

struct Found {
    place: String,
    list: Vec<String>,
}

impl Found {
    fn add(&mut self, what: impl std::fmt::Display) {
        self.list.push(format!("{}: {what}", self.place));
    }

    fn at(&mut self, part: &str, look: impl FnOnce(&mut Self)) {
        let length = self.place.len();
        self.place.push('.');
        self.place.push_str(part);
        look(self);
        self.place.truncate(length);
    }

    fn same(&mut self, what: &str, old: &Value, new: &Value) {
        if old != new {
            self.add(format!("{what} was {old}, is {new}"));
        }
    }

    /// Nothing of a list may go.
    fn keeps(&mut self, what: &str, old: &Value, new: &Value) {
        for item in list(old) {
            if !list(new).contains(item) {
                self.add(format!("{what} {item} is gone"));
            }
        }
    }

    fn version(&mut self, old: &Value, new: &Value) {
        if old["served"] == true && new["served"] != true {
            self.add("it is not served any more");
        }
        for (name, _) in entries(&old["subresources"]) {
            if new["subresources"][name].is_null() {
                self.add(format!("subresource {name} is gone"));
            }
        }
        self.schema(
            &old["schema"]["openAPIV3Schema"],
            &new["schema"]["openAPIV3Schema"],
        );
    }

    fn schema(&mut self, old: &Value, new: &Value) {
        for key in [
            "type",
            "format",
            "default",
            "x-kubernetes-int-or-string",
            "x-kubernetes-list-type",
            "x-kubernetes-list-map-keys",
            "x-kubernetes-map-type",
        ] {
            self.same(key, &old[key], &new[key]);
        }
        // Taken before, so it must go on being taken; what is new may be there.
        for key in ["nullable", "x-kubernetes-preserve-unknown-fields"] {
            if old[key] == true && new[key] != true {
                self.add(format!("{key} is gone"));
            }
        }
        for key in ["pattern", "not", "multipleOf"] {
            if !new[key].is_null() {
                self.same(key, &old[key], &new[key]);
            }
        }
        for key in ["minimum", "minLength", "minItems", "minProperties"] {
            self.bound(key, &old[key], &new[key], |old, new| new <= old);
        }
        for key in ["maximum", "maxLength", "maxItems", "maxProperties"] {
            self.bound(key, &old[key], &new[key], |old, new| new >= old);
        }
        self.values(&old["enum"], &new["enum"]);
        self.required(old, new);
        self.rules(
            &old["x-kubernetes-validations"],
            &new["x-kubernetes-validations"],
        );
        for key in ["anyOf", "oneOf", "allOf"] {
            self.same(key, &old[key], &new[key]);
        }
        for (name, property) in entries(&old["properties"]) {
            let same = &new["properties"][name];
            self.at(name, |found| {
                if same.is_null() {
                    found.add("the field is gone");
                } else {
                    found.schema(property, same);
                }
            });
        }
        for (key, part) in [("items", "[]"), ("additionalProperties", "{}")] {
            let (old, new) = (&old[key], &new[key]);
            if old.is_object() && new.is_object() {
                self.at(part, |found| found.schema(old, new));
            } else {
                self.same(key, old, new);
            }
        }
    }

    /// A limit may go or be widened.
    fn bound(&mut self, key: &str, old: &Value, new: &Value, wider: fn(f64, f64) -> bool) {
        let Some(limit) = new.as_f64() else { return };
        if !old.as_f64().is_some_and(|old| wider(old, limit)) {
            self.add(format!("{key} was {old}, is {new}"));
        }
    }

    fn values(&mut self, old: &Value, new: &Value) {
        if old.is_null() && !new.is_null() {
            self.add(format!("only {new} is taken now"));
        } else if !new.is_null() {
            self.keeps("value", old, new);
        }
    }

    /// A field may become required only where objects without it cannot be: in what is new.
    fn required(&mut self, old: &Value, new: &Value) {
        for field in list(&new["required"]) {
            if !list(&old["required"]).contains(field) {
                self.add(format!("{field} is required now"));
            }
        }
    }

    /// A rule may go, and its message may change. A new one refuses what was taken, whatever it says.
    fn rules(&mut self, old: &Value, new: &Value) {
        let known: BTreeSet<&str> = list(old)
            .iter()
            .filter_map(|rule| rule["rule"].as_str())
            .collect();
        for rule in list(new).iter().filter_map(|rule| rule["rule"].as_str()) {
            if !known.contains(rule) {
                self.add(format!("a new rule: {rule}"));
            }
        }
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn crd(schema: Value) -> Value {
        json!({
            "metadata": {"name": "files"},
            "spec": {
                "group": "g", "scope": "Namespaced",
                "names": {"plural": "files", "kind": "File", "shortNames": ["f"]},
                "versions": [{
                    "name": "v1", "served": true, "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": schema}}},
                }],
            },
        })
    }

    fn narrowed(old: Value, new: Value) -> Vec<String> {
        between(&crd(old), &crd(new))
    }

    #[test]
    fn growth_is_no_narrowing() {
        let old = json!({
            "type": "object", "required": ["a"],
            "properties": {
                "a": {"type": "string", "maxLength": 5, "minLength": 2, "pattern": "^a", "enum": ["a1", "a2"]},
                "b": {"type": "array", "items": {"type": "integer", "maximum": 3}},
            },
            "x-kubernetes-validations": [{"rule": "self.a != ''"}, {"rule": "true"}],
        });
        let new = json!({
            "type": "object",
            "properties": {
                "a": {"type": "string", "maxLength": 9, "enum": ["a1", "a2", "a3"], "description": "new"},
                "b": {"type": "array", "items": {"type": "integer", "maximum": 4}},
                "c": {"type": "object", "required": ["d"], "properties": {"d": {"type": "string"}},
                      "x-kubernetes-validations": [{"rule": "self.d != ''"}]},
            },
            "x-kubernetes-validations": [{"rule": "self.a != ''", "message": "give a"}],
        });
        assert_eq!(narrowed(old, new), Vec::<String>::new());
    }

    #[test]
    fn every_kind_of_narrowing_is_found_with_its_place() {
        let field = |schema: Value| json!({"type": "object", "properties": {"a": schema}});
        for (old, new, expected) in [
            (
                json!({"type": "string"}),
                json!({"type": "integer"}),
                "type was",
            ),
            (
                json!({"type": "string"}),
                json!({"type": "string", "default": "x"}),
                "default was",
            ),
            (
                json!({"maxLength": 5}),
                json!({"maxLength": 4}),
                "maxLength was 5, is 4",
            ),
            (json!({}), json!({"minimum": 1}), "minimum was null, is 1"),
            (
                json!({"minItems": 1}),
                json!({"minItems": 2}),
                "minItems was 1, is 2",
            ),
            (
                json!({"pattern": "^a"}),
                json!({"pattern": "^b"}),
                "pattern was",
            ),
            (
                json!({"enum": ["a", "b"]}),
                json!({"enum": ["a"]}),
                "value \"b\" is gone",
            ),
            (
                json!({}),
                json!({"enum": ["a"]}),
                "only [\"a\"] is taken now",
            ),
            (
                json!({}),
                json!({"required": ["b"]}),
                "\"b\" is required now",
            ),
            (
                json!({}),
                json!({"x-kubernetes-validations": [{"rule": "false"}]}),
                "a new rule: false",
            ),
            (
                json!({"properties": {"b": {}}}),
                json!({"properties": {}}),
                "spec.a.b: the field is gone",
            ),
            (
                json!({"items": {"maximum": 3}}),
                json!({"items": {"maximum": 2}}),
                "spec.a.[]: maximum was 3, is 2",
            ),
            (json!({"nullable": true}), json!({}), "nullable is gone"),
            (
                json!({"x-kubernetes-list-type": "map"}),
                json!({"x-kubernetes-list-type": "atomic"}),
                "list-type was",
            ),
            (
                json!({"x-kubernetes-preserve-unknown-fields": true}),
                json!({}),
                "unknown-fields is gone",
            ),
            (
                json!({"additionalProperties": true}),
                json!({}),
                "additionalProperties was",
            ),
        ] {
            let found = narrowed(field(old.clone()), field(new.clone()));
            assert!(
                matches!(found.as_slice(), [one] if one.contains("files.v1.spec.a") && one.contains(expected)),
                "{old} -> {new}: {found:?}"
            );
        }
    }

    #[test]
    fn names_versions_and_subresources_stay() {
        let old = crd(json!({}));
        let mut new = old.clone();
        new["spec"]["names"]["shortNames"] = json!([]);
        new["spec"]["scope"] = json!("Cluster");
        new["spec"]["versions"][0]["served"] = json!(false);
        new["spec"]["versions"][0]["subresources"] = json!({});
        assert_eq!(between(&old, &new).len(), 4);
        new["spec"]["versions"] = json!([]);
        assert_eq!(between(&old, &new).len(), 3);
    }
}
