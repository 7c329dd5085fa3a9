use adapter_client::{HealthStatus, PermissionLevel};
use api_types::DittoFSShare;
use api_types::conditions::Reason;
use api_types::v1alpha1::ClaimStatus;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::model::run;
use super::*;
use crate::declared::Declared;
use crate::stores::{Connection, Credentials, Secrets, Stores};
use crate::wish::{Account, Version};

pub(crate) fn version(number: u32) -> Version {
    Version {
        uid: "s".to_owned(),
        resource_version: number.to_string(),
    }
}

/// What a DittoFSShare `media/films` with these fields wishes.
fn wish(spec: Value) -> Wish {
    wish_of("films", spec)
}

/// What a DittoFSShare of the namespace `media` with this name and these fields wishes.
pub(crate) fn wish_of(name: &str, spec: Value) -> Wish {
    let mut whole = json!({"serverRef": {"name": "files"}});
    for (key, value) in spec.as_object().unwrap() {
        whole[key] = value.clone();
    }
    let share: DittoFSShare = serde_json::from_value(json!({
        "apiVersion": "dittofs.dittofs.com/v1alpha1", "kind": "DittoFSShare",
        "metadata": {"name": name, "namespace": "media", "uid": "u1"}, "spec": whole}))
    .unwrap();
    let postgres = share.spec.metadata_store.postgres.as_ref();
    let secrets = Secrets {
        postgres: postgres.map(|postgres| Connection {
            host: "pg".to_owned(),
            port: None,
            database: postgres.database.clone().unwrap_or_default(),
            user: "files".to_owned(),
            password: SecretString::from("geheim"),
            sslmode: None,
        }),
        s3: Some(Credentials {
            access_key_id: SecretString::from("AKIA"),
            secret_access_key: SecretString::from("geheim"),
        }),
    };
    let declared = Declared::of(&share).unwrap();
    Wish {
        namespace: "media".to_owned(),
        name: name.to_owned(),
        uid: "u1".to_owned(),
        generation: 1,
        fingerprint: 1,
        goal: Goal::Keep,
        accounts: declared
            .accounts
            .iter()
            .map(|user| Account {
                name: user.name.clone(),
                uid: user.uid,
                gid: user.gid,
                source: user
                    .password_secret_ref
                    .as_ref()
                    .map(|reference| format!("{}/{}", reference.name, reference.key))
                    .unwrap(),
                password: Ok((SecretString::from("long-enough"), version(1))),
            })
            .collect(),
        stores: Ok(Stores::of(&share, &secrets).unwrap()),
        declared,
        versions: Pushed::new(),
        pushed: Pushed::new(),
        own_connection: false,
        awaited: None,
        known_id: None,
        claims_before: Vec::new(),
        claims: Vec::new(),
        adopt: false,
        recreate_empty: false,
    }
}

/// A spec with something of everything.
fn rich() -> Value {
    json!({"quota": "1Gi", "readOnly": true, "deletionPolicy": "Delete",
        "blockStore": {"remote": {"s3": {"bucket": "b", "credentialsSecretRef": {"name": "s3"}}}},
        "snapshotPolicy": {"interval": "6h"},
        "access": {"defaultPermission": "read",
            "users": [{"name": "ann", "permission": "read-write",
                "passwordSecretRef": {"name": "ann", "key": "password"}, "uid": 1000}],
            "groups": [{"name": "users", "permission": "read"}],
            "nfs": {"squash": "all_to_guest", "clients": ["10.0.0.0/8", "192.168.0.0/16"]},
            "smb": {"encryptData": true}}})
}

pub(super) fn empty() -> World {
    World {
        groups: BTreeSet::from(["users".to_owned()]),
        ..World::default()
    }
}

/// As a new process would find it.
fn found(mut world: World) -> World {
    world.details.clear();
    world.unserved.clear();
    world
}

#[test]
fn a_simple_share_needs_no_more_than_six_requests() {
    let spec = json!({"quota": "1Gi", "access": {"defaultPermission": "read-write",
        "nfs": {"squash": "none"}}});
    let mut world = empty();
    let (plan, steps) = run(&wish(spec), &mut world, usize::MAX);
    assert!(plan.is_clear(), "{plan:?}");
    let writes: Vec<String> = steps.iter().map(Step::id).collect();
    assert_eq!(steps.len(), 6, "{writes:?}");
    let plain = wish(json!({"access": {"defaultPermission": "read-write"}}));
    let (_, steps) = run(&plain, &mut empty(), usize::MAX);
    assert_eq!(steps.len(), 5, "{steps:?}");
    assert!(matches!(steps[0], Step::PutMarker(_)), "the marker first");
}

#[test]
fn what_is_as_declared_needs_no_request_that_changes_anything() {
    for spec in [json!({}), rich()] {
        let mut world = empty();
        let first = run(&wish(spec.clone()), &mut world, usize::MAX).0;
        assert!(first.is_clear(), "{first:?}");
        let mut wish = wish(spec);
        wish.pushed = BTreeMap::from([("account/ann".to_owned(), version(1))]);
        let (plan, steps) = run(&wish, &mut world, usize::MAX);
        assert!(plan.is_clear(), "{plan:?}");
        assert!(steps.iter().all(Step::is_read), "{steps:?}");
    }
}

#[test]
fn a_share_opens_once_what_guards_it_is_in_force() {
    let (_, steps) = run(&wish(rich()), &mut empty(), usize::MAX);
    let place = |what: fn(&Step) -> bool| steps.iter().position(what).unwrap();
    let made = place(|step| matches!(step, Step::CreateShare(_)));
    let Step::CreateShare(new) = &steps[made] else {
        unreachable!()
    };
    assert_eq!(new.options.default_permission, None);
    let guarded = place(|step| matches!(step, Step::PatchNfs(_)));
    let opened = place(
        |step| matches!(step, Step::UpdateShare(options) if options.default_permission == Some(PermissionLevel::Read)),
    );
    let members = place(|step| matches!(step, Step::AddMember(_)));
    assert!(members < guarded && guarded < opened, "{steps:?}");
}

#[test]
fn a_netgroup_that_is_not_there_opens_the_share_to_nobody() {
    let spec = json!({"access": {"defaultPermission": "read", "nfs": {"clients": ["10.0.0.0/8"]}}});
    let mut world = empty();
    run(&wish(spec), &mut world, usize::MAX);
    let spec =
        json!({"access": {"defaultPermission": "read", "nfs": {"netgroup": "there-is-none"}}});
    let (plan, _) = run(&wish(spec), &mut world, usize::MAX);
    let reason = plan.access.map(|obstacle| obstacle.reason);
    assert_eq!(reason, Some(Reason::GranteeMissing));
    let nfs = world.details["films"].nfs.as_ref();
    assert_eq!(nfs.map(|nfs| nfs.netgroup.as_str()), Some("films"));
    assert!(world.netgroups.contains_key("films"));
}

#[test]
fn a_crash_after_any_request_ends_in_the_same_state() {
    for before in [json!({}), rich()] {
        for after in [json!({}), rich()] {
            let same_stores = before["blockStore"] == after["blockStore"];
            let from_nothing = before == after;
            if !same_stores && !from_nothing {
                continue;
            }
            let mut start = empty();
            if !from_nothing {
                run(&wish(before.clone()), &mut start, usize::MAX);
            }
            crashes(&wish(after), &start);
        }
    }
    let mut remove = wish(rich());
    let mut start = empty();
    run(&remove, &mut start, usize::MAX);
    remove.goal = Goal::Remove;
    crashes(&remove, &start);
    // The same stores, everything else withdrawn.
    let mut start = empty();
    run(&wish(rich()), &mut start, usize::MAX);
    let stores = json!({"blockStore": rich()["blockStore"]});
    crashes(&wish(stores), &start);
}

fn crashes(wish: &Wish, start: &World) {
    let mut expected = start.clone();
    let (plan, steps) = run(wish, &mut expected, usize::MAX);
    assert!(plan.is_clear(), "{plan:?}");
    for after in 0..=steps.len() {
        let mut world = start.clone();
        run(wish, &mut world, after);
        let (plan, _) = run(wish, &mut world, usize::MAX);
        assert!(plan.is_clear(), "after {after}: {plan:?}");
        assert_eq!(found(world), found(expected.clone()), "after {after}");
    }
}

#[test]
fn what_is_withdrawn_is_taken_back_and_what_was_never_declared_stays() {
    let mut world = empty();
    let bucket = rich()["blockStore"].clone();
    run(&wish(rich()), &mut world, usize::MAX);
    world.shares.get_mut("films").unwrap().trash_enabled = true;
    let (plan, _) = run(&wish(json!({"blockStore": bucket})), &mut world, usize::MAX);
    assert!(plan.is_clear(), "{plan:?}");
    let share = &world.shares["films"];
    assert_eq!(share.quota_bytes, None);
    assert!(!share.read_only && !share.encrypt_data && share.trash_enabled);
    assert!(world.users.is_empty());
    assert!(world.netgroups.is_empty());
    assert!(world.policies.is_empty());
}

#[test]
fn a_removal_takes_what_was_made_and_nothing_that_others_use() {
    let mut world = empty();
    let mut wish = wish(rich());
    run(&wish, &mut world, usize::MAX);
    let mut other = world.shares["films"].clone();
    other.id = "other".to_owned();
    world.shares.insert("other".to_owned(), other);
    wish.goal = Goal::Remove;
    let (_, steps) = run(&wish, &mut world, usize::MAX);
    assert!(steps.iter().any(|step| matches!(step, Step::Drain)));
    assert!(world.markers.is_empty() && !world.shares.contains_key("films"));
    assert_eq!(
        (world.metadata.len(), world.local.len(), world.remote.len()),
        (1, 1, 1)
    );
    world.shares.clear();
    let mut alone = empty();
    wish.goal = Goal::Keep;
    run(&wish, &mut alone, usize::MAX);
    wish.goal = Goal::Remove;
    let (plan, _) = run(&wish, &mut alone, usize::MAX);
    assert!(plan.gone);
    assert_eq!(found(alone), empty());
}

#[test]
fn what_others_made_is_never_touched_without_a_word() {
    let mut world = empty();
    run(&wish(json!({})), &mut world, usize::MAX);
    let mut other = wish(json!({"quota": "1Gi"}));
    other.name = "second".to_owned();
    let before = world.clone();
    let (plan, steps) = run(&other, &mut world, usize::MAX);
    assert!(steps.is_empty(), "{steps:?}");
    assert_eq!(plan.exported.unwrap().reason, Reason::NameConflict);
    assert_eq!(found(world.clone()), found(before.clone()));
    // Without any marker, neither the share nor a store of its name.
    world.markers.clear();
    for shares in [true, false] {
        let mut world = world.clone();
        if !shares {
            world.shares.clear();
        }
        let (plan, steps) = run(&other, &mut world, usize::MAX);
        assert!(
            !steps.iter().any(|step| !matches!(step, Step::PutMarker(_))),
            "{steps:?}"
        );
        let told = plan.stores.or(plan.exported).unwrap();
        assert_eq!(told.reason, Reason::NameConflict);
    }
    other.adopt = true;
    let (plan, _) = run(&other, &mut world, usize::MAX);
    assert!(plan.is_clear(), "{plan:?}");
    assert!(world.shares["films"].quota_bytes.is_some());
}

#[test]
fn a_lost_control_plane_is_filled_again_and_lost_files_need_a_person() {
    let claim = |uid: &str| {
        vec![ClaimStatus {
            name: "metadata-files-0".to_owned(),
            uid: uid.to_owned(),
        }]
    };
    let mut wish = wish(json!({}));
    (wish.claims_before, wish.claims) = (claim("1"), claim("1"));
    wish.known_id = Some("share films".to_owned());
    let (plan, _) = run(&wish, &mut empty(), usize::MAX);
    assert!(plan.is_clear(), "{plan:?}");
    wish.claims = claim("2");
    let mut world = empty();
    let (plan, steps) = run(&wish, &mut world, usize::MAX);
    assert!(steps.is_empty(), "{steps:?}");
    assert_eq!(plan.exported.unwrap().reason, Reason::DataVolumeReplaced);
    wish.recreate_empty = true;
    assert!(run(&wish, &mut world, usize::MAX).0.is_clear());
}

#[test]
fn an_object_that_was_made_anew_knows_the_volumes_of_the_one_before() {
    let claim = |uid: &str| {
        vec![ClaimStatus {
            name: "metadata-files-0".to_owned(),
            uid: uid.to_owned(),
        }]
    };
    let mut world = empty();
    let mut wish = wish(json!({}));
    wish.claims = claim("1");
    run(&wish, &mut world, usize::MAX);
    // Without a status, as after a deletion with policy Retain. What is not known is not forgotten.
    wish.uid = "u2".to_owned();
    wish.claims.clear();
    assert!(run(&wish, &mut world, usize::MAX).0.is_clear());
    wish.claims = claim("2");
    let before = world.clone();
    let (plan, steps) = run(&wish, &mut world, usize::MAX);
    assert!(steps.is_empty(), "{steps:?}");
    assert_eq!(plan.exported.unwrap().reason, Reason::DataVolumeReplaced);
    assert_eq!(found(world.clone()), found(before));
    // A person's word, and from then on the new ones count.
    wish.recreate_empty = true;
    assert!(run(&wish, &mut world, usize::MAX).0.is_clear());
    wish.recreate_empty = false;
    assert!(run(&wish, &mut world, usize::MAX).0.is_clear());
    // What the share was last served on counts more than a marker from a restored database.
    (wish.claims, wish.claims_before) = (claim("3"), claim("3"));
    assert!(run(&wish, &mut world, usize::MAX).0.is_clear());
}

#[test]
fn a_share_that_is_not_loaded_is_made_again_only_if_it_was_never_served() {
    let mut world = empty();
    let mut wish = wish(json!({}));
    run(&wish, &mut world, usize::MAX);
    world.shares.get_mut("films").unwrap().status.status = HealthStatus::Unknown;
    wish.known_id = Some("share films".to_owned());
    let (plan, steps) = run(&wish, &mut world.clone(), usize::MAX);
    assert!(steps.is_empty(), "{steps:?}");
    assert_eq!(plan.exported.unwrap().reason, Reason::ShareNotLoaded);
    // A DittoFSShare that was made anew knows no UUID: the share may hold files all the same.
    wish.known_id = None;
    let (plan, steps) = run(&wish, &mut world.clone(), usize::MAX);
    assert!(steps.is_empty(), "{steps:?}");
    assert_eq!(plan.exported.unwrap().reason, Reason::ShareNotLoaded);
    world.unserved.insert("share films".to_owned());
    let next = plan_of(&wish, &world).unwrap();
    assert!(matches!(next, Step::RemoveUnloaded), "{next:?}");
    wish.known_id = Some("share films".to_owned());
    assert!(plan_of(&wish, &world).is_none());
}

fn plan_of(wish: &Wish, world: &World) -> Option<Step> {
    let planned = plan(wish, world, &Turn::default());
    planned.next.map(|next| next.step)
}

#[test]
fn a_setting_that_the_server_does_not_keep_is_not_sent_for_ever() {
    let mut world = empty();
    let wish = wish(json!({"quota": "1Gi"}));
    run(&wish, &mut world, usize::MAX);
    let mut turn = Turn::default();
    world.shares.get_mut("films").unwrap().quota_bytes = None;
    let first = plan(&wish, &world, &turn).next.unwrap();
    turn.done.insert(first.step.id());
    let second = plan(&wish, &world, &turn);
    assert!(second.next.is_none());
    assert_eq!(second.access.unwrap().reason, Reason::AccessRefused);
}

#[test]
fn a_new_password_is_pushed_once() {
    let mut world = empty();
    let mut wish = wish(rich());
    run(&wish, &mut world, usize::MAX);
    wish.pushed = BTreeMap::from([("account/ann".to_owned(), version(1))]);
    wish.accounts[0].password = Ok((SecretString::from("another-one"), version(2)));
    let (_, steps) = run(&wish, &mut world, usize::MAX);
    let writes: Vec<&Step> = steps.iter().filter(|step| !step.is_read()).collect();
    assert!(matches!(writes[..], [Step::SetPassword(..)]), "{writes:?}");
}
