//! What keeps a pod from running and does not go away by itself. Pure.
//!
//! The verdicts do not flap with the kubelet's back-off: between two ends of a crash loop a
//! container runs for a moment, and is in trouble all the same.

use std::time::Duration;

use api_types::conditions::Reason;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};
use kube::ResourceExt;

/// Exit code of a Go panic, for example on an adapter port outside 0 to 65535 (server contract 1.5).
const PANIC: i32 = 2;
/// Exit code for a block directory with a layout that must be migrated by hand (server contract 1.5).
const LEGACY_LAYOUT: i32 = 78;
/// Longest quotation of a container's last words, in bytes.
const LAST_WORDS: usize = 500;

/// The trouble that `pod` is in, if it is in any: a reason, and what to do about it.
pub(crate) fn trouble(pod: &Pod) -> Option<(Reason, String)> {
    if pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    unscheduled(pod).or_else(|| of_container(pod, container(pod)?))
}

/// The server's container.
pub(crate) fn container(pod: &Pod) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()
}

/// How long the kubelet gets to mount the volumes before its events are asked.
const MOUNT_PATIENCE: Duration = Duration::from_secs(30);

/// What is left of the patience with a pod whose volumes are being mounted; `None` when they are
/// mounted, or no node has the pod yet.
pub(crate) fn mount_patience(pod: &Pod, now: Timestamp) -> Option<Duration> {
    let since = pod.status.as_ref()?.start_time.as_ref()?;
    let creating = container(pod).is_some_and(|container| {
        let waiting = container
            .state
            .as_ref()
            .and_then(|state| state.waiting.as_ref());
        waiting.and_then(|waiting| waiting.reason.as_deref()) == Some("ContainerCreating")
    });
    let passed = Duration::try_from(now.duration_since(since.0)).unwrap_or_default();
    creating.then(|| MOUNT_PATIENCE.saturating_sub(passed))
}

fn unscheduled(pod: &Pod) -> Option<(Reason, String)> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let condition = conditions.iter().find(|condition| {
        condition.type_ == "PodScheduled" && condition.reason.as_deref() == Some("Unschedulable")
    })?;
    let message = condition
        .message
        .as_deref()
        .unwrap_or("the scheduler gives no reason");
    Some((
        Reason::Unschedulable,
        format!("No node takes the pod: {message}"),
    ))
}

fn of_container(pod: &Pod, container: &ContainerStatus) -> Option<(Reason, String)> {
    let waiting = container
        .state
        .as_ref()
        .and_then(|state| state.waiting.as_ref());
    let message = waiting
        .and_then(|waiting| waiting.message.as_deref())
        .unwrap_or_default();
    match waiting
        .and_then(|waiting| waiting.reason.as_deref())
        .unwrap_or_default()
    {
        "ImagePullBackOff" | "ErrImagePull" | "InvalidImageName" | "ErrImageNeverPull" => Some((
            Reason::ImagePullFailed,
            format!(
                "The image {} cannot be had: correct spec.image, or make it available to the node (kubectl describe pod {} tells more).",
                container.image,
                pod.name_any()
            ),
        )),
        "CreateContainerConfigError" | "CreateContainerError" => Some((
            Reason::ContainerConfigInvalid,
            format!("The container cannot be made: {message}"),
        )),
        "CrashLoopBackOff" => Some(ended(pod, container)),
        _ if ended_again(container) => Some(ended(pod, container)),
        _ => None,
    }
}

/// Whether a container that is not ready has ended more than once.
fn ended_again(container: &ContainerStatus) -> bool {
    !container.ready && container.restart_count > 1 && last_end(container).is_some()
}

fn last_end(container: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    let ended = |state: &Option<k8s_openapi::api::core::v1::ContainerState>| -> bool {
        state
            .as_ref()
            .is_some_and(|state| state.terminated.is_some())
    };
    let state = if ended(&container.state) {
        &container.state
    } else {
        &container.last_state
    };
    state.as_ref()?.terminated.as_ref()
}

fn ended(pod: &Pod, container: &ContainerStatus) -> (Reason, String) {
    let Some(end) = last_end(container) else {
        return (
            Reason::CrashLooping,
            "The server ends again and again.".to_owned(),
        );
    };
    let killed = match end.reason.as_deref() {
        Some("OOMKilled") => true,
        // The limit is too low even for what starts the server (runc: `container init was OOM-killed`).
        Some("StartError") => end
            .message
            .as_deref()
            .is_some_and(|message| message.contains("OOM-killed")),
        _ => false,
    };
    let (reason, advice) = match end.exit_code {
        _ if killed => (
            Reason::OutOfMemory,
            "The server was killed because it used more memory than it may: raise spec.resources.limits.memory.",
        ),
        PANIC => (
            Reason::ServerPanicked,
            "The server panics at start, for example because an adapter was given a port that does not exist.",
        ),
        LEGACY_LAYOUT => (
            Reason::LegacyLayout,
            "A block directory still has the layout of an early release: migrate it by hand, a restart cannot help.",
        ),
        _ => (Reason::CrashLooping, "The server ends again and again."),
    };
    (
        reason,
        format!(
            "{advice} Exit code {}. {}",
            end.exit_code,
            last_words(pod, end)
        ),
    )
}

/// The line by which the server says why it ended: its errors begin with `Error:`, a panic with
/// `panic:` (server contract 1.5); else the last line.
///
/// Kubernetes keeps the last 2048 bytes only, and the trace after a panic is often longer: a line out
/// of the middle of it would tell nobody anything.
fn last_words(pod: &Pod, end: &ContainerStateTerminated) -> String {
    let lines: Vec<&str> = end
        .message
        .as_deref()
        .unwrap_or_default()
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let telling = |line: &&&str| line.starts_with("Error:") || line.starts_with("panic:");
    let told = lines.iter().rev().find(telling);
    if told.is_none() && end.exit_code == PANIC {
        return format!(
            "Its own words: `kubectl logs {} --previous | grep -A3 panic:`.",
            pod.name_any()
        );
    }
    let Some(line) = told.or_else(|| lines.last()) else {
        return "It left no last words.".to_owned();
    };
    let clean: String = line
        .chars()
        .filter(|character| !character.is_control())
        .collect();
    format!(
        "Last words: {}",
        &clean[..clean.floor_char_boundary(LAST_WORDS)]
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(state: Value, last: Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "files-0"},
            "status": {"containerStatuses": [{
                "name": "dittofs", "image": "registry/x:1", "imageID": "", "ready": false,
                "restartCount": 3, "state": state, "lastState": last,
            }]},
        }))
        .unwrap()
    }

    fn ended_with(code: i32, reason: &str, message: &str) -> (Reason, String) {
        let last = json!({"terminated": {"exitCode": code, "reason": reason, "message": message}});
        trouble(&pod(
            json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}),
            last,
        ))
        .unwrap()
    }

    #[test]
    fn each_way_to_end_has_its_own_reason() {
        assert_eq!(ended_with(1, "Error", "Error: bad").0, Reason::CrashLooping);
        assert_eq!(ended_with(2, "Error", "panic: x").0, Reason::ServerPanicked);
        assert_eq!(ended_with(78, "Error", "legacy").0, Reason::LegacyLayout);
        assert_eq!(ended_with(137, "OOMKilled", "").0, Reason::OutOfMemory);
        let start = "failed to create containerd task: runc create failed: container init was OOM-killed (memory limit too low?)";
        assert_eq!(ended_with(128, "StartError", start).0, Reason::OutOfMemory);
        let start = "runc create failed: exec: \"/app/dfs\": no such file or directory";
        assert_eq!(ended_with(128, "StartError", start).0, Reason::CrashLooping);
    }

    #[test]
    fn the_line_that_tells_why_is_quoted_and_not_the_stack_below_it() {
        let panic = "starting\npanic: invalid port 99999\n\ngoroutine 1 [running]:\nmain.main()\n";
        assert!(
            ended_with(2, "Error", panic)
                .1
                .ends_with("Last words: panic: invalid port 99999")
        );
        let cut_off = "github.com/x/adapters.(*Service).start(0x1)\n\tservice.go:247 +0xb6\n";
        assert!(
            ended_with(2, "Error", cut_off)
                .1
                .contains("`kubectl logs files-0 --previous")
        );
        assert!(
            ended_with(1, "Error", "a\nb\n")
                .1
                .ends_with("Last words: b")
        );
        assert!(
            ended_with(1, "Error", "")
                .1
                .ends_with("It left no last words.")
        );
    }

    #[test]
    fn last_words_are_short_and_clean() {
        let (_, message) = ended_with(
            1,
            "Error",
            &format!("Error: \u{1b}[31m{}", "é".repeat(2000)),
        );
        assert!(!message.contains('\u{1b}'));
        assert!(message.len() < 800);
    }

    #[test]
    fn the_verdict_does_not_flap() {
        let last =
            json!({"terminated": {"exitCode": 1, "reason": "Error", "message": "Error: bad"}});
        let waiting = trouble(&pod(
            json!({"waiting": {"reason": "CrashLoopBackOff"}}),
            last.clone(),
        ));
        let running = trouble(&pod(
            json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}}),
            last.clone(),
        ));
        let ended = trouble(&pod(last.clone(), Value::Null));
        assert!(waiting.is_some());
        assert_eq!(running, waiting);
        assert_eq!(ended, waiting);
        let failed = trouble(&pod(
            json!({"waiting": {"reason": "ErrImagePull", "message": "not found"}}),
            Value::Null,
        ));
        let backing_off = trouble(&pod(
            json!({"waiting": {"reason": "ImagePullBackOff", "message": "Back-off"}}),
            Value::Null,
        ));
        assert_eq!(failed, backing_off);
    }

    #[test]
    fn the_patience_with_a_mount_ends_after_half_a_minute() {
        let mut pod = pod(
            json!({"waiting": {"reason": "ContainerCreating"}}),
            Value::Null,
        );
        let started = "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap();
        pod.status.as_mut().unwrap().start_time = Some(
            k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(started),
        );
        let after = |seconds| mount_patience(&pod, started + Duration::from_secs(seconds));
        assert_eq!(after(10), Some(Duration::from_secs(20)));
        assert_eq!(after(60), Some(Duration::ZERO));
    }

    #[test]
    fn a_pod_that_is_only_slow_is_in_no_trouble() {
        assert_eq!(
            trouble(&pod(
                json!({"waiting": {"reason": "ContainerCreating"}}),
                Value::Null
            )),
            None
        );
        assert_eq!(
            trouble(&pod(
                json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}}),
                Value::Null
            )),
            None
        );
    }
}
