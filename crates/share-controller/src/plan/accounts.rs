//! One account for several shares of a namespace.

use adapter_client::UserChange;
use api_types::conditions::Reason;
use serde_json::{Value, json};

use super::model::run;
use super::tests::{empty, version, wish_of};
use super::*;
use crate::wish::account;

/// What a share asks for that keeps `ann` with the password of this Secret.
fn asks(name: &str, secret: &str) -> Wish {
    asks_with(name, secret, json!(1000))
}

fn asks_with(name: &str, secret: &str, uid: Value) -> Wish {
    let ann = json!({"name": "ann", "permission": "read", "uid": uid,
        "passwordSecretRef": {"name": secret, "key": "password"}});
    wish_of(
        name,
        json!({"deletionPolicy": "Delete", "access": {"users": [ann]}}),
    )
}

/// A second visit of a share that has pushed the password.
fn pushed(mut wish: Wish) -> Wish {
    wish.pushed = BTreeMap::from([(account("ann"), version(1))]);
    wish
}

/// Has the share be as it wishes, and gives what was changed in the account.
fn visit(wish: &Wish, world: &mut World) -> (Plan, Vec<Step>) {
    let (plan, mut steps) = run(wish, world, usize::MAX);
    steps.retain(|step| {
        matches!(
            step,
            Step::CreateUser { .. }
                | Step::UpdateUser(..)
                | Step::SetPassword(..)
                | Step::DeleteUser(_)
        )
    });
    (plan, steps)
}

fn kept_by(world: &World) -> &str {
    &world.users["ann"].display_name
}

fn may_read(world: &mut World, wish: &Wish) -> bool {
    let (_, steps) = run(wish, world, usize::MAX);
    assert!(steps.iter().all(Step::is_read), "{steps:?}");
    let permissions = world.details[&wish.declared.share].permissions.as_ref();
    permissions.is_some_and(|list| list.iter().any(|permission| permission.name == "ann"))
}

#[test]
fn shares_that_name_the_same_secret_share_an_account_and_its_first_keeper_keeps_it() {
    let mut world = empty();
    let (plan, steps) = visit(&asks("films", "ann"), &mut world);
    assert!(plan.is_clear() && steps.len() == 1, "{plan:?} {steps:?}");
    let music = asks("music", "ann");
    let (plan, steps) = visit(&music, &mut world);
    assert!(plan.is_clear(), "{plan:?}");
    assert!(steps.is_empty(), "{steps:?}");
    assert!(may_read(&mut world, &music));
    assert_eq!(kept_by(&world), "kept by DittoFSShare media/films");
    // Not even a person who says so has both fight for it.
    for (name, pushes) in [("films", true), ("music", false), ("films", true)] {
        let mut wish = asks(name, "ann");
        wish.adopt = true;
        let wish = if pushes { pushed(wish) } else { wish };
        let (plan, steps) = visit(&wish, &mut world);
        assert!(plan.is_clear() && steps.is_empty(), "{plan:?} {steps:?}");
    }
}

#[test]
fn shares_that_describe_one_account_differently_are_told_and_the_first_keeper_wins() {
    let mut world = empty();
    visit(&asks("films", "ann"), &mut world);
    for other in [
        asks("music", "another"),
        asks_with("music", "ann", json!(1001)),
    ] {
        let before = world.users.clone();
        let (plan, steps) = visit(&other, &mut world);
        assert!(steps.is_empty(), "{steps:?}");
        let told = plan.access.unwrap();
        assert_eq!(told.reason, Reason::AccountDiffers);
        assert!(told.message.contains("media/films"), "{}", told.message);
        assert_eq!(world.users, before);
        assert!(may_read(&mut world, &other));
    }
    // Who names no ID has nothing against that of the other.
    let (plan, _) = visit(&asks_with("music", "ann", Value::Null), &mut world);
    assert!(plan.is_clear(), "{plan:?}");
}

#[test]
fn an_account_that_its_keeper_lets_go_is_taken_over_by_the_next() {
    let plain = json!({"deletionPolicy": "Delete"});
    for secret in ["ann", "another"] {
        for gone in [true, false] {
            let mut world = empty();
            let mut films = asks("films", "ann");
            visit(&films, &mut world);
            visit(&asks("music", secret), &mut world);
            if gone {
                films.goal = Goal::Remove;
            } else {
                films = wish_of("films", plain.clone());
            }
            let (_, steps) = visit(&films, &mut world);
            assert!(steps.is_empty(), "{steps:?}");
            let (plan, steps) = visit(&asks("music", secret), &mut world);
            assert!(plan.is_clear(), "{plan:?}");
            let change = UserChange {
                display_name: Some("kept by DittoFSShare media/music".to_owned()),
                ..UserChange::default()
            };
            assert!(
                matches!(&steps[..], [Step::UpdateUser(_, found), Step::SetPassword(..)] if *found == change),
                "{steps:?}"
            );
            // The last one takes it away.
            let mut music = pushed(asks("music", secret));
            assert!(visit(&music, &mut world).1.is_empty());
            music.goal = Goal::Remove;
            visit(&music, &mut world);
            assert!(world.users.is_empty());
        }
    }
}

#[test]
fn an_account_whose_keeper_is_gone_from_kubernetes_alone_is_taken_over() {
    let mut world = empty();
    visit(&asks("films", "ann"), &mut world);
    world.absent.insert("media/films".to_owned());
    let (plan, steps) = visit(&asks("music", "ann"), &mut world);
    assert!(plan.is_clear(), "{plan:?}");
    assert!(!steps.is_empty());
    assert_eq!(kept_by(&world), "kept by DittoFSShare media/music");
    // When it comes again, it finds another keeper.
    world.absent.clear();
    let (plan, steps) = visit(&asks("films", "ann"), &mut world);
    assert!(plan.is_clear() && steps.is_empty(), "{plan:?} {steps:?}");
    assert_eq!(kept_by(&world), "kept by DittoFSShare media/music");
}

#[test]
fn an_account_that_a_share_of_another_namespace_keeps_is_a_conflict() {
    let mut world = empty();
    let mut films = asks("films", "ann");
    films.namespace = "else".to_owned();
    visit(&films, &mut world);
    let (plan, steps) = visit(&asks("music", "ann"), &mut world);
    assert!(steps.is_empty(), "{steps:?}");
    assert_eq!(plan.access.unwrap().reason, Reason::NameConflict);
}

#[test]
fn of_several_that_ask_for_an_account_the_first_by_name_takes_it_over() {
    let mut world = empty();
    let mut films = asks("films", "ann");
    visit(&films, &mut world);
    visit(&asks("third", "another"), &mut world);
    visit(&asks("music", "ann"), &mut world);
    films.goal = Goal::Remove;
    visit(&films, &mut world);
    // Not this one, although it is the first to look.
    let (plan, steps) = visit(&asks("third", "another"), &mut world);
    assert!(steps.is_empty(), "{steps:?}");
    assert_eq!(plan.access.unwrap().reason, Reason::AccountDiffers);
    visit(&asks("music", "ann"), &mut world);
    assert_eq!(kept_by(&world), "kept by DittoFSShare media/music");
    // One that is not in Kubernetes any more takes nothing over.
    world.absent.insert("media/music".to_owned());
    let (plan, steps) = visit(&asks("third", "another"), &mut world);
    assert!(plan.is_clear() && steps.len() == 2, "{plan:?} {steps:?}");
    assert_eq!(kept_by(&world), "kept by DittoFSShare media/third");
}
