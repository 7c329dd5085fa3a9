//! Whether a server-side apply would change anything that we own.

use std::fmt;

use serde_json::{Map, Value};

use super::{
    defaults::{
        holds_quantities, is_default, is_dropped, is_empty_object, is_omitted_map, is_shared,
        key_default,
    },
    owned::Owned,
    quantity,
};

/// What is different at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DifferenceKind {
    /// We want the field and the live object lacks it.
    Missing,
    /// The live value is another one.
    Changed,
    /// The live value is the wanted one, but we do not own the field.
    NotOwned,
    /// We own the field and no longer want it.
    Unwanted,
}

/// The first difference found between what we want and what is live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Path such as `.spec.ports[port=80,protocol=TCP].name`.
    pub path: String,
    /// What is different there.
    pub kind: DifferenceKind,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            DifferenceKind::Missing => "missing",
            DifferenceKind::Changed => "changed",
            DifferenceKind::NotOwned => "not owned",
            DifferenceKind::Unwanted => "unwanted",
        };
        write!(formatter, "{} {kind}", self.path)
    }
}

/// Compares the object that we would apply as `manager` with the live one, in
/// the fields that we own. `None`: applying would change nothing.
///
/// With a subresource such as `status` only that part of both is compared;
/// without one everything but `status`. `apiVersion`, `kind` and the identity
/// in `metadata` are not compared.
#[must_use]
pub fn difference(
    desired: &Value,
    live: &Value,
    manager: &str,
    subresource: Option<&str>,
) -> Option<Difference> {
    let owned = Owned::of(live, manager, subresource).unwrap_or_default();
    let mut path = Path::default();
    let names = desired
        .as_object()
        .into_iter()
        .flat_map(Map::keys)
        .chain(owned.fields.keys());
    let mut seen = Vec::new();
    for name in names {
        let compared = match subresource {
            Some(subresource) => name == subresource,
            None => !matches!(name.as_str(), "apiVersion" | "kind" | "status"),
        };
        if !compared || seen.contains(&name) {
            continue;
        }
        seen.push(name);
        let found = if name == "metadata" {
            let desired = desired.get(name).and_then(without_identity);
            path.within(name, |path| {
                compare(
                    desired.as_ref(),
                    live.get(name),
                    owned.fields.get(name),
                    path,
                )
            })
        } else {
            path.within(name, |path| {
                compare(
                    desired.get(name),
                    live.get(name),
                    owned.fields.get(name),
                    path,
                )
            })
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

/// Metadata without what the server sets or what names the object, if anything
/// is left.
fn without_identity(metadata: &Value) -> Option<Value> {
    let kept = ["labels", "annotations", "finalizers", "ownerReferences"];
    let fields = metadata
        .as_object()?
        .iter()
        .filter(|(name, _)| kept.contains(&name.as_str()));
    let fields: Map<String, Value> = fields
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    (!fields.is_empty()).then_some(Value::Object(fields))
}

/// Where we are, for messages, and whether quantities are expected here.
#[derive(Default)]
struct Path {
    segments: Vec<String>,
    quantities: usize,
}

impl Path {
    fn within<T>(&mut self, field: &str, inner: impl FnOnce(&mut Self) -> T) -> T {
        let quantities = usize::from(holds_quantities(field));
        self.quantities += quantities;
        self.segments.push(format!(".{field}"));
        let result = inner(self);
        self.segments.pop();
        self.quantities -= quantities;
        result
    }

    fn at<T>(&mut self, item: String, inner: impl FnOnce(&mut Self) -> T) -> T {
        self.segments.push(format!("[{item}]"));
        let result = inner(self);
        self.segments.pop();
        result
    }

    /// The field that we are at.
    fn field(&self) -> &str {
        self.segments
            .last()
            .and_then(|segment| segment.strip_prefix('.'))
            .unwrap_or_default()
    }

    fn found(&self, kind: DifferenceKind) -> Option<Difference> {
        Some(Difference {
            path: self.segments.concat(),
            kind,
        })
    }
}

fn compare(
    desired: Option<&Value>,
    live: Option<&Value>,
    owned: Option<&Owned>,
    path: &mut Path,
) -> Option<Difference> {
    let desired = desired.filter(|value| !value.is_null());
    let live = live.filter(|value| !value.is_null());
    match (desired, owned) {
        (None, None) => None,
        (None, Some(owned)) => unwanted(live, owned, path),
        (Some(Value::Object(wanted)), owned)
            if !wanted.is_empty() && owned.is_none_or(|owned| !owned.is_leaf()) =>
        {
            let live = match live {
                None => None,
                Some(Value::Object(live)) => Some(live),
                Some(_) => return path.found(DifferenceKind::Changed),
            };
            fields(wanted, live, owned, path)
        }
        (Some(desired), None) => match live {
            // An empty list map is not recorded as owned.
            live if is_empty_list(desired) && live.is_none_or(is_empty_list) => None,
            None => path.found(DifferenceKind::Missing),
            Some(live) if whole(desired, live, path) => path.found(DifferenceKind::NotOwned),
            Some(_) => path.found(DifferenceKind::Changed),
        },
        (Some(Value::Object(_)), Some(owned)) if !owned.is_leaf() => unwanted(live, owned, path),
        (Some(Value::Array(wanted)), Some(owned)) if !owned.items.is_empty() => {
            items(wanted, live.and_then(Value::as_array), owned, path)
        }
        (Some(Value::Array(wanted)), Some(owned)) if !owned.values.is_empty() => {
            set(wanted, live.and_then(Value::as_array), owned, path)
        }
        (Some(desired), Some(_)) => match live {
            // The server accepted an empty value and stored nothing.
            None if is_dropped(desired) || is_empty_object(desired) => None,
            None => path.found(DifferenceKind::Missing),
            // Others may have put something into the object that we own as empty.
            Some(Value::Object(_)) if is_empty_object(desired) && is_shared(path.field()) => None,
            Some(live) if whole(desired, live, path) => None,
            Some(_) => path.found(DifferenceKind::Changed),
        },
    }
}

fn is_empty_list(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty)
}

/// The first leaf that we own and do not want. What is owned but not there,
/// because the server stored nothing for it, is as good as given up.
fn unwanted(live: Option<&Value>, owned: &Owned, path: &mut Path) -> Option<Difference> {
    let live = live.filter(|value| !value.is_null())?;
    if owned.fields.is_empty() {
        let item = owned.items.first().map(|(keys, _)| describe(keys));
        return match item.or_else(|| owned.values.first().map(Value::to_string)) {
            Some(item) => path.at(item, |path| path.found(DifferenceKind::Unwanted)),
            None => path.found(DifferenceKind::Unwanted),
        };
    }
    let mut fields = owned.fields.iter();
    fields.find_map(|(name, below)| path.within(name, |path| unwanted(live.get(name), below, path)))
}

/// Fields of an object that is owned field by field.
fn fields(
    desired: &Map<String, Value>,
    live: Option<&Map<String, Value>>,
    owned: Option<&Owned>,
    path: &mut Path,
) -> Option<Difference> {
    let live_field = |name: &str| live.and_then(|live| live.get(name));
    for (name, value) in desired {
        let below = owned.and_then(|owned| owned.fields.get(name));
        let found = path.within(name, |path| {
            compare(Some(value), live_field(name), below, path)
        });
        if found.is_some() {
            return found;
        }
    }
    let owned = owned?;
    let unknown = owned
        .fields
        .iter()
        .filter(|(name, _)| !desired.contains_key(*name));
    for (name, below) in unknown {
        let found = path.within(name, |path| {
            compare(None, live_field(name), Some(below), path)
        });
        if found.is_some() {
            return found;
        }
    }
    None
}

/// Items of a list map, in any order.
fn items(
    wanted: &[Value],
    live: Option<&Vec<Value>>,
    owned: &Owned,
    path: &mut Path,
) -> Option<Difference> {
    let live = live.map_or(&[][..], Vec::as_slice);
    let mut matched = vec![false; owned.items.len()];
    for item in wanted {
        let position = owned
            .items
            .iter()
            .position(|(keys, _)| has_keys(item, keys));
        let Some(index) = position else {
            // Every item of a list has the same key fields, so the first tells ours.
            let keys = keys_like(item, &owned.items[0].0);
            let present = live.iter().any(|live| has_keys(live, &keys));
            let kind = if present {
                DifferenceKind::NotOwned
            } else {
                DifferenceKind::Missing
            };
            return path.at(describe(&keys), |path| path.found(kind));
        };
        let (keys, below) = &owned.items[index];
        matched[index] = true;
        let found = path.at(describe(keys), |path| {
            match (item, live.iter().find(|live| has_keys(live, keys))) {
                (_, None) => path.found(DifferenceKind::Missing),
                // An atomic item, such as an owner reference.
                (item, live) if below.is_leaf() => compare(Some(item), live, Some(below), path),
                (Value::Object(item), Some(Value::Object(live))) => {
                    item_fields(item, live, keys, below, path)
                }
                _ => path.found(DifferenceKind::Changed),
            }
        });
        if found.is_some() {
            return found;
        }
    }
    let index = matched.iter().position(|matched| !matched)?;
    path.at(describe(&owned.items[index].0), |path| {
        path.found(DifferenceKind::Unwanted)
    })
}

/// Fields of one item of a list map; its keys are known to be equal.
fn item_fields(
    item: &Map<String, Value>,
    live: &Map<String, Value>,
    keys: &Map<String, Value>,
    owned: &Owned,
    path: &mut Path,
) -> Option<Difference> {
    let without_keys = |name: &str| !keys.contains_key(name);
    let item: Map<String, Value> = item
        .iter()
        .filter(|(name, _)| without_keys(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let mut owned = owned.clone();
    owned.fields.retain(|name, _| without_keys(name));
    owned.itself = true;
    fields(&item, Some(live), Some(&owned), path)
}

/// Items of a set, in any order.
fn set(
    wanted: &[Value],
    live: Option<&Vec<Value>>,
    owned: &Owned,
    path: &mut Path,
) -> Option<Difference> {
    for value in wanted {
        let present = live.is_some_and(|live| live.contains(value));
        let kind = match (present, owned.values.contains(value)) {
            (true, true) => continue,
            (true, false) => DifferenceKind::NotOwned,
            (false, _) => DifferenceKind::Missing,
        };
        return path.at(value.to_string(), |path| path.found(kind));
    }
    let extra = owned.values.iter().find(|value| !wanted.contains(value))?;
    path.at(extra.to_string(), |path| {
        path.found(DifferenceKind::Unwanted)
    })
}

/// Whether an item carries these keys; a key left out counts with its default.
pub(super) fn has_keys(item: &Value, keys: &Map<String, Value>) -> bool {
    keys.iter().all(|(name, value)| match item.get(name) {
        Some(own) => own == value,
        None => key_default(name).as_ref() == Some(value),
    })
}

fn keys_like(item: &Value, example: &Map<String, Value>) -> Map<String, Value> {
    let key = |name: &String| {
        item.get(name)
            .cloned()
            .or_else(|| key_default(name))
            .unwrap_or_default()
    };
    example
        .keys()
        .map(|name| (name.clone(), key(name)))
        .collect()
}

fn describe(keys: &Map<String, Value>) -> String {
    let pairs = keys.iter().map(|(name, value)| match value {
        Value::String(text) => format!("{name}={text}"),
        value => format!("{name}={value}"),
    });
    pairs.collect::<Vec<_>>().join(",")
}

/// Whether two values are the same as a whole, apart from what the API server
/// adds and drops.
fn whole(desired: &Value, live: &Value, path: &mut Path) -> bool {
    match (desired, live) {
        (Value::Object(desired), Value::Object(live)) => {
            let wanted = desired.iter().all(|(name, value)| match live.get(name) {
                Some(live) => path.within(name, |path| whole(value, live, path)),
                None => is_dropped(value) || is_omitted_map(name, value),
            });
            wanted
                && live.iter().all(|(name, value)| {
                    desired.contains_key(name) || value.is_null() || is_default(name, value, live)
                })
        }
        (Value::Array(desired), Value::Array(live)) => {
            desired.len() == live.len()
                && desired
                    .iter()
                    .zip(live)
                    .all(|(desired, live)| whole(desired, live, path))
        }
        (Value::Number(desired), Value::Number(live)) if desired.as_f64() == live.as_f64() => true,
        (desired, live) => desired == live || path.quantities > 0 && quantity::equal(desired, live),
    }
}
