//! The CEL rules of the schema.
//!
//! The interpreter and Kubernetes' functions are those of the crates cel and kube-cel. The walk is
//! ours, because what `oldSelf` is, and when a rule is left out, must be as the API server has it
//! (<https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#transition-rules>):
//! kube-cel 0.8 binds `oldSelf` as a plain value where `optionalOldSelf` makes it an optional one, takes
//! items of lists without keys for changed ones, and does not excuse what has not changed.

use std::collections::HashMap;
use std::sync::Arc;

use api_types::duration::GoDuration;
use kube_cel::KubeCelExt;
use kube_cel::cel::objects::{Key, Map, OptionalValue};
use kube_cel::cel::{Context, ExecutionError, Program, Value as Cel};
use serde_json::Value;

use crate::lists::predecessor;
use crate::prune::{child, field};
use crate::refusal::Refusal;

/// Words that CEL keeps for itself: a field of this name is written `__name__` in a rule.
const RESERVED: [&str; 19] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "void",
];

/// The API server's words for a text that is no duration.
const NO_DURATION: &str = "type conversion error from 'string' to 'google.protobuf.Duration'";

/// The rules of a schema, compiled.
pub(crate) struct Rules {
    programs: HashMap<String, Program>,
    context: Context<'static>,
}

/// What was there before a change.
#[derive(Clone, Copy)]
struct Past<'v> {
    /// The value that this one continues.
    old: Option<&'v Value>,
    /// This value, or one around it, has not changed.
    unchanged: bool,
}

impl Rules {
    /// Compiles every rule below `schema`.
    ///
    /// # Errors
    /// When one cannot be parsed, with the rule and what is wrong with it.
    pub(crate) fn of(schema: &Value) -> Result<Self, String> {
        let mut rules = Rules {
            programs: HashMap::new(),
            context: Context::default().with_all(),
        };
        rules.context.add_function("duration", duration);
        rules.collect(schema)?;
        Ok(rules)
    }

    fn collect(&mut self, schema: &Value) -> Result<(), String> {
        for rule in rules_of(schema) {
            let text = rule["rule"].as_str().unwrap_or_default();
            if !self.programs.contains_key(text) {
                let program = Program::compile(text).map_err(|error| format!("{text}: {error}"))?;
                self.programs.insert(text.to_owned(), program);
            }
        }
        let fields = schema["properties"].as_object().into_iter().flatten();
        let inner = ["items", "additionalProperties"].map(|key| &schema[key]);
        fields
            .map(|(_, schema)| schema)
            .chain(inner.into_iter().filter(|schema| schema.is_object()))
            .try_for_each(|schema| self.collect(schema))
    }

    /// Evaluates the rules on `value`, which replaces `old`.
    pub(crate) fn check(
        &self,
        schema: &Value,
        value: &Value,
        old: Option<&Value>,
        found: &mut Vec<Refusal>,
    ) {
        let past = Past {
            old,
            unchanged: old == Some(value),
        };
        self.walk(schema, value, past, "", found);
    }

    fn walk(
        &self,
        schema: &Value,
        value: &Value,
        past: Past<'_>,
        path: &str,
        found: &mut Vec<Refusal>,
    ) {
        // A rule may ask whether a field is null only from outside.
        if value.is_null() {
            return;
        }
        for rule in rules_of(schema) {
            found.extend(self.evaluate(schema, rule, value, past, path));
        }
        match value {
            Value::Object(fields) => {
                let is_map = schema["additionalProperties"].is_object();
                for (key, value) in fields {
                    let path = if is_map {
                        format!("{path}[{key}]")
                    } else {
                        child(path, key)
                    };
                    if let Some(schema) = field(schema, key) {
                        let past = past.of(past.old.and_then(|old| old.get(key)), value);
                        self.walk(schema, value, past, &path, found);
                    }
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let past = past.of(predecessor(schema, past.old, item), item);
                    let path = format!("{path}[{index}]");
                    self.walk(&schema["items"], item, past, &path, found);
                }
            }
            _ => {}
        }
    }

    fn evaluate(
        &self,
        schema: &Value,
        rule: &Value,
        value: &Value,
        past: Past<'_>,
        path: &str,
    ) -> Option<Refusal> {
        let text = rule["rule"].as_str().unwrap_or_default();
        let program = self.programs.get(text)?;
        let about_changes = program.references().has_variable("oldSelf");
        let optional = rule["optionalOldSelf"] == true;
        let old = past.old.filter(|old| !old.is_null());
        if about_changes && old.is_none() && !optional {
            return None;
        }
        let mut scope = self.context.new_inner_scope();
        scope.add_variable_from_value("self", cel(schema, value));
        let old = old.map(|old| cel(schema, old));
        if optional {
            let old = old.map_or_else(OptionalValue::none, OptionalValue::of);
            scope.add_variable_from_value("oldSelf", Cel::Opaque(Arc::new(old)));
        } else if let Some(old) = old {
            scope.add_variable_from_value("oldSelf", old);
        }
        let message = rule["message"].as_str().unwrap_or(text).trim();
        let detail = match program.execute(&scope) {
            Ok(Cel::Bool(true)) => return None,
            Ok(Cel::Bool(false)) if past.unchanged && !about_changes => return None,
            Ok(Cel::Bool(false)) if rule["message"].is_null() => format!("failed rule: {message}"),
            Ok(Cel::Bool(false)) => message.to_owned(),
            failed => {
                let detail = format!("{} evaluating rule: {message}", why(failed));
                return Some(Refusal::invalid(path, &schema["type"], &detail));
            }
        };
        Some(match schema["type"].as_str() {
            Some("object" | "array") => Refusal::invalid_whole(path, &detail),
            _ => Refusal::invalid(path, value, &detail),
        })
    }
}

/// CEL's own function, which the interpreter has for fewer units and without a bound: a duration in
/// Go's notation that fits 64 bits of nanoseconds.
fn duration(text: Arc<String>) -> Result<Cel, ExecutionError> {
    let parsed = GoDuration(String::clone(&text)).parse();
    let parsed = parsed.map_err(|_| ExecutionError::function_error("duration", NO_DURATION))?;
    let canonical = format!("{}s{}ns", parsed.as_secs(), parsed.subsec_nanos());
    kube_cel::cel::functions::duration(Arc::new(canonical))
}

/// Why a rule gave no verdict, in the API server's words where they are known.
fn why(result: Result<Cel, ExecutionError>) -> String {
    match result {
        Err(ExecutionError::FunctionError { function, message }) if function == "duration" => {
            message
        }
        Err(error) => error.to_string(),
        Ok(other) => format!("{other:?}"),
    }
}

impl<'v> Past<'v> {
    /// The past of a part with this value, which continues `old`.
    fn of(self, old: Option<&'v Value>, value: &Value) -> Self {
        Past {
            old,
            unchanged: self.unchanged || old == Some(value),
        }
    }
}

fn rules_of(schema: &Value) -> impl Iterator<Item = &Value> {
    schema["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten()
}

/// A value as rules see it: names of fields are escaped, keys of maps are not.
fn cel(schema: &Value, value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(value) => Cel::Bool(*value),
        Value::String(text) => Cel::String(Arc::new(text.clone())),
        Value::Number(number) => match number.as_i64() {
            Some(whole) if schema["type"] != "number" => Cel::Int(whole),
            _ => Cel::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::Array(items) => {
            let items = items.iter().map(|item| cel(&schema["items"], item));
            Cel::List(Arc::new(items.collect()))
        }
        Value::Object(fields) => {
            let map = fields.iter().map(|(key, value)| {
                let declared = schema["properties"].get(key);
                let name = declared.map_or_else(|| key.clone(), |_| escaped(key));
                let schema = field(schema, key).unwrap_or(&Value::Null);
                (Key::String(Arc::new(name)), cel(schema, value))
            });
            Cel::Map(Map {
                map: Arc::new(map.collect()),
            })
        }
    }
}

/// As <https://kubernetes.io/docs/reference/using-api/cel/#escaping>.
fn escaped(name: &str) -> String {
    if RESERVED.contains(&name) {
        return format!("__{name}__");
    }
    name.replace("__", "__underscores__")
        .replace('.', "__dot__")
        .replace('-', "__dash__")
        .replace('/', "__slash__")
}
