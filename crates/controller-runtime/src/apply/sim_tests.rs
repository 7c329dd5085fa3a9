//! Properties of the comparison over arbitrary objects, with a simulation of
//! what server-side apply records. The name of a field says what it holds:
//! `f` a scalar or an object, `a` an atomic value, `l` a list map keyed by
//! `name`, `s` a set.

use proptest::{collection::btree_map, prelude::*};
use serde_json::{Map, Value, json};

use super::{difference, extract};

const US: &str = "us";

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        "[a-z]{1,4}".prop_map(Value::from),
        (1..100_i64).prop_map(Value::from),
        Just(Value::from(true)),
    ]
}

fn anything() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..3).prop_map(Value::from),
            btree_map("x[a-z]", inner, 1..3)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn object() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(4, 32, 4, |inner| {
        let field = ("f[a-c]", inner.clone()).boxed();
        let atomic = ("a[a-c]", anything()).boxed();
        let set = ("s[a-c]", prop::collection::btree_set("[a-z]{2}", 1..4))
            .prop_map(|(name, values)| (name, json!(values)))
            .boxed();
        let list = ("l[a-c]", btree_map("[a-z]{2}", inner, 1..4)).prop_map(|(name, items)| {
            let items = items
                .into_iter()
                .map(|(key, value)| json!({"name": key, "f": value}));
            (name, Value::Array(items.collect()))
        });
        prop::collection::vec(prop_oneof![field, atomic, set, list.boxed()], 1..5)
            .prop_map(|fields| Value::Object(fields.into_iter().collect()))
    })
}

fn desired() -> impl Strategy<Value = Value> {
    object().prop_map(|spec| json!({"metadata": {"name": "x"}, "spec": {"f": spec}}))
}

/// FieldsV1 of a value in a field of this name, as server-side apply makes it.
fn fields_v1(name: &str, value: &Value) -> Value {
    match (name.chars().next(), value) {
        (Some('f' | '.'), Value::Object(fields)) => {
            let below = fields
                .iter()
                .map(|(name, value)| (format!("f:{name}"), fields_v1(name, value)));
            Value::Object(below.collect())
        }
        (Some('l'), Value::Array(items)) => {
            let below = items.iter().map(|item| {
                let Value::Object(mut fields) = fields_v1("f", item) else {
                    unreachable!()
                };
                fields.insert("f:name".into(), json!({}));
                fields.insert(".".into(), json!({}));
                (
                    format!("k:{}", json!({"name": item["name"]})),
                    Value::Object(fields),
                )
            });
            Value::Object(below.collect())
        }
        (Some('s'), Value::Array(values)) => Value::Object(
            values
                .iter()
                .map(|value| (format!("v:{value}"), json!({})))
                .collect(),
        ),
        _ => json!({}),
    }
}

/// The value as stored: with fields and items of others, in another order.
fn stored(name: &str, value: &Value) -> Value {
    match (name.chars().next(), value) {
        (Some('f' | '.'), Value::Object(fields)) => {
            let own = fields
                .iter()
                .map(|(name, value)| (name.clone(), stored(name, value)));
            let mut all: Map<String, Value> = own.collect();
            all.insert("zz-foreign".into(), json!("theirs"));
            Value::Object(all)
        }
        (Some('l'), Value::Array(items)) => {
            let mut all: Vec<Value> = items.iter().rev().map(|item| stored("f", item)).collect();
            all.insert(0, json!({"name": "foreign-item", "f": 1}));
            Value::Array(all)
        }
        (Some('s'), Value::Array(values)) => Value::Array(
            values
                .iter()
                .rev()
                .cloned()
                .chain([json!("foreign-value")])
                .collect(),
        ),
        _ => value.clone(),
    }
}

/// What the server stores after this apply; what is owned is taken from `applied`.
fn live(value: &Value, applied: &Value) -> Value {
    let mut live = json!({"metadata": {"name": "x"}, "spec": stored("f", &value["spec"])});
    live["metadata"]["managedFields"] = json!([{
        "manager": US, "operation": "Apply",
        "fieldsV1": {"f:spec": fields_v1("f", &applied["spec"])},
    }]);
    live
}

/// Replaces the n-th scalar; false when there are not that many.
fn mutate(value: &mut Value, left: &mut usize) -> bool {
    match value {
        Value::Object(fields) => fields.values_mut().any(|value| mutate(value, left)),
        Value::Array(items) => items.iter_mut().any(|item| mutate(item, left)),
        scalar if *left == 0 => {
            *scalar = json!("mutated");
            true
        }
        _ => {
            *left -= 1;
            false
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn applying_leaves_no_difference(desired in desired()) {
        prop_assert_eq!(difference(&desired, &live(&desired, &desired), US, None), None);
    }

    #[test]
    fn a_mutation_of_any_owned_leaf_is_found(desired in desired(), mut leaf in 0..20_usize) {
        let mut other = desired.clone();
        if mutate(&mut other["spec"], &mut leaf) {
            prop_assert!(difference(&other, &live(&desired, &desired), US, None).is_some());
            prop_assert!(difference(&desired, &live(&other, &desired), US, None).is_some());
        }
    }

    #[test]
    fn what_is_no_longer_wanted_is_found(desired in desired(), more in object()) {
        let mut applied = desired.clone();
        applied["spec"]["fzz"] = more;
        prop_assert!(difference(&desired, &live(&applied, &applied), US, None).is_some());
    }

    #[test]
    fn the_extract_is_what_was_applied(desired in desired()) {
        let live = live(&desired, &desired);
        let mut extracted = extract(&live, US, None).unwrap();
        prop_assert_eq!(difference(&extracted, &live, US, None), None);
        let once = extracted.clone();
        extracted["metadata"]["managedFields"] = live["metadata"]["managedFields"].clone();
        prop_assert_eq!(extract(&extracted, US, None).unwrap(), once);
    }
}
