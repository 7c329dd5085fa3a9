//! Kubernetes Events, one for each transition.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};

/// Longest note in bytes; the API server accepts 1024
/// (`validateV1Event` of Kubernetes).
const NOTE_BYTES: usize = 1000;

/// Most transitions remembered; beyond that all are forgotten, and an event
/// may be written once more.
const BOUND: usize = 10_000;

/// Writes Events, one for each transition. Cheap to clone.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
    last: Arc<Mutex<HashMap<(String, String), String>>>,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Events").finish_non_exhaustive()
    }
}

impl Events {
    /// Writes events with this client as this controller.
    #[must_use]
    pub fn new(client: Client, controller: &str) -> Self {
        Self {
            recorder: Recorder::new(client, Reporter::from(controller)),
            last: Arc::default(),
        }
    }

    /// Writes an event about an object unless the last one for the same object
    /// and `key` (such as a condition type) had the same reason. The note is
    /// cut to 1000 bytes. A failure is logged and otherwise ignored.
    pub async fn transition(
        &self,
        object: &ObjectReference,
        key: &str,
        type_: EventType,
        reason: &str,
        action: &str,
        note: &str,
    ) {
        if !self.is_news(object, key, reason) {
            return;
        }
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(cut(note).to_owned()),
            action: action.to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, object).await {
            tracing::warn!(
                namespace = object.namespace.as_deref().unwrap_or_default(),
                name = object.name.as_deref().unwrap_or_default(),
                reason,
                %error,
                "the event could not be written"
            );
        }
    }

    /// Records a state without writing an event, such as the state found at
    /// the start of the process.
    pub fn settle(&self, object: &ObjectReference, key: &str, reason: &str) {
        self.is_news(object, key, reason);
    }

    /// Forgets an object that is gone.
    pub fn forget(&self, uid: &str) {
        self.last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|(of, _), _| of != uid);
    }

    fn is_news(&self, object: &ObjectReference, key: &str, reason: &str) -> bool {
        let slot = (object.uid.clone().unwrap_or_default(), key.to_owned());
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.get(&slot).is_some_and(|before| before == reason) {
            return false;
        }
        if last.len() >= BOUND {
            last.clear();
        }
        last.insert(slot, reason.to_owned());
        true
    }
}

/// The longest prefix of whole characters that fits.
fn cut(note: &str) -> &str {
    &note[..note.floor_char_boundary(NOTE_BYTES)]
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use serde_json::Value;

    use super::*;
    use crate::{
        Layers,
        testing::{answer, client, refusal},
    };

    fn object(uid: &str) -> ObjectReference {
        ObjectReference {
            api_version: Some("v1".into()),
            kind: Some("ConfigMap".into()),
            name: Some("a".into()),
            namespace: Some("ns".into()),
            uid: Some(uid.into()),
            ..ObjectReference::default()
        }
    }

    fn recorded() -> (Events, Arc<Mutex<Vec<Value>>>) {
        let sent = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&sent);
        let client = client(Layers::default(), move |_, body| {
            seen.lock().unwrap().push(body.clone());
            async move { answer(StatusCode::CREATED, &body) }
        });
        (Events::new(client, "tester"), sent)
    }

    #[tokio::test]
    async fn only_transitions_are_told() {
        let (events, sent) = recorded();
        for (uid, key, reason) in [
            ("1", "Ready", "Up"),
            ("1", "Ready", "Up"),
            ("1", "Other", "Up"),
            ("2", "Ready", "Up"),
            ("1", "Ready", "Down"),
            ("1", "Ready", "Up"),
        ] {
            events
                .transition(
                    &object(uid),
                    key,
                    EventType::Normal,
                    reason,
                    "Check",
                    "note",
                )
                .await;
        }
        let reasons: Vec<String> = sent
            .lock()
            .unwrap()
            .iter()
            .map(|event| event["reason"].as_str().unwrap_or("series").to_owned())
            .collect();
        assert_eq!(reasons.len(), 5, "{reasons:?}");
        events.settle(&object("3"), "Ready", "Up");
        events
            .transition(
                &object("3"),
                "Ready",
                EventType::Normal,
                "Up",
                "Check",
                "note",
            )
            .await;
        assert_eq!(sent.lock().unwrap().len(), 5);
        events.forget("3");
        events
            .transition(
                &object("3"),
                "Ready",
                EventType::Normal,
                "Up",
                "Check",
                "note",
            )
            .await;
        assert_eq!(sent.lock().unwrap().len(), 6);
    }

    #[tokio::test]
    async fn long_notes_are_cut_between_characters() {
        let (events, sent) = recorded();
        let note = format!("a{}", "ü".repeat(800));
        events
            .transition(&object("1"), "k", EventType::Warning, "R", "A", &note)
            .await;
        let event = sent.lock().unwrap()[0].clone();
        assert_eq!(event["note"].as_str().unwrap().len(), 999);
        assert_eq!(event["type"], "Warning");
    }

    #[tokio::test]
    async fn an_event_that_cannot_be_written_is_no_failure() {
        let client = client(Layers::default(), |_, _| async {
            refusal(403, "Forbidden")
        });
        let events = Events::new(client, "tester");
        events
            .transition(&object("1"), "k", EventType::Normal, "R", "A", "n")
            .await;
    }
}
