//! Security contexts that the pod-security level `restricted` admits.

use k8s_openapi::api::core::v1::{
    Capabilities, PodSecurityContext, SeccompProfile, SecurityContext,
};

/// User and group of the server's image (server contract 1.1).
const USER: i64 = 65532;

fn runtime_default() -> SeccompProfile {
    SeccompProfile {
        type_: "RuntimeDefault".to_owned(),
        localhost_profile: None,
    }
}

/// The pod's security context: the user's as it is, else the hardened one.
pub(crate) fn pod(wish: Option<&PodSecurityContext>) -> PodSecurityContext {
    wish.cloned().unwrap_or_else(|| PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        run_as_group: Some(USER),
        fs_group: Some(USER),
        // A large volume is not walked through at every start.
        fs_group_change_policy: Some("OnRootMismatch".to_owned()),
        seccomp_profile: Some(runtime_default()),
        ..PodSecurityContext::default()
    })
}

/// The container's security context: what the user leaves open is hardened.
pub(crate) fn container(wish: Option<&SecurityContext>) -> SecurityContext {
    let wish = wish.cloned().unwrap_or_default();
    let capabilities = wish.capabilities.clone().unwrap_or_default();
    SecurityContext {
        allow_privilege_escalation: wish.allow_privilege_escalation.or(Some(false)),
        read_only_root_filesystem: wish.read_only_root_filesystem.or(Some(true)),
        run_as_non_root: wish.run_as_non_root.or(Some(true)),
        capabilities: Some(Capabilities {
            drop: capabilities.drop.or_else(|| Some(vec!["ALL".to_owned()])),
            ..capabilities
        }),
        seccomp_profile: wish
            .seccomp_profile
            .clone()
            .or_else(|| Some(runtime_default())),
        ..wish
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partial_wish_keeps_the_rest_hardened() {
        let wish = SecurityContext {
            capabilities: Some(Capabilities {
                add: Some(vec!["NET_BIND_SERVICE".to_owned()]),
                drop: None,
            }),
            ..SecurityContext::default()
        };
        let context = container(Some(&wish));
        let capabilities = context.capabilities.unwrap();
        assert_eq!(capabilities.add, Some(vec!["NET_BIND_SERVICE".to_owned()]));
        assert_eq!(capabilities.drop, Some(vec!["ALL".to_owned()]));
        assert_eq!(context.allow_privilege_escalation, Some(false));
        assert_eq!(context.read_only_root_filesystem, Some(true));
    }
}
