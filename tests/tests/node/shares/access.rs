//! Who may do what: squash modes, read only, permissions of users and groups.

use anyhow::{Context, Result, ensure};
use cluster_tests::clients::{Nfs, Refusal, Smb};
use cluster_tests::shares::{self, SHARE, Stage, becomes, ready_made};
use cluster_tests::{Outcome, Pods, scenario};
use serde_json::json;

use super::{ANONYMOUS, PASSWORD, ann, gets, open, refused, told};

/// Owner and group of a new file of this user.
async fn owner(nfs: &Nfs, id: u32, file: &str) -> Result<(u32, u32)> {
    let client = nfs.by(id);
    gets("writing", async || client.write(file, b"x").await).await?;
    let entries = gets("listing", async || client.list().await).await?;
    let entry = entries.into_iter().find(|entry| entry.name == file);
    let entry = entry.with_context(|| format!("{file} is not in the list"))?;
    Ok((entry.uid, entry.gid))
}

#[test]
fn every_squash_mode_makes_the_files_belong_to_whom_it_says() -> Outcome {
    scenario("squash", Pods::Run, async |world| {
        let stage = Stage::set(world, json!({})).await?;
        let nfs = shares::nfs(&ready_made(world, SHARE, open()).await?)?;
        let nobody = (65534, 65534);
        let (root, user) = ((0, 0), (1000, 1000));
        for (squash, of_root, of_user) in [
            ("none", root, user),
            ("root_to_admin", root, user),
            ("root_to_guest", nobody, user),
            ("all_to_admin", root, root),
            ("all_to_guest", nobody, nobody),
        ] {
            becomes(world, SHARE, json!({"access": {"nfs": {"squash": squash}}})).await?;
            let found = owner(&nfs, 0, &format!("{squash}-0")).await?;
            ensure!(found == of_root, "{squash}: root is {found:?}");
            let found = owner(&nfs, 1000, &format!("{squash}-1000")).await?;
            ensure!(found == of_user, "{squash}: user 1000 is {found:?}");
        }
        let ids = json!({"anonymousUID": 4000, "anonymousGID": 4001});
        becomes(world, SHARE, json!({"access": {"nfs": ids}})).await?;
        let found = owner(&nfs, 1000, "anonymous").await?;
        ensure!(found == (4000, 4001), "the anonymous user is {found:?}");
        // Not declared any more: the server's own default.
        let access = json!({"nfs": {"squash": null, "anonymousUID": null, "anonymousGID": null}});
        becomes(world, SHARE, json!({ "access": access })).await?;
        let found = owner(&nfs, 0, "default-0").await?;
        ensure!(found == nobody, "by default root is {found:?}");
        let found = owner(&nfs, 1000, "default-1000").await?;
        ensure!(found == user, "by default user 1000 is {found:?}");
        stage.shares.quiet().await
    })
}

#[test]
fn a_share_that_becomes_read_only_takes_nothing_more_from_anybody() -> Outcome {
    scenario("read-only", Pods::Run, async |world| {
        let _stage = Stage::set(world, json!({})).await?;
        let found = ready_made(world, SHARE, open()).await?;
        let (nfs, smb) = (shares::nfs(&found)?.by(ANONYMOUS), shares::smb(&found)?);
        gets("writing over NFS", async || nfs.write("a", b"a").await).await?;
        gets("writing over SMB", async || smb.write("b", b"b").await).await?;

        // The server remembers for minutes what an NFSv3 client may do: no waiting here.
        becomes(world, SHARE, json!({"readOnly": true})).await?;
        let answer = told(async || nfs.write("c", b"c").await).await?;
        ensure!(answer == Err(Refusal::Denied), "over NFS: {answer:?}");
        let answer = told(async || smb.write("d", b"d").await).await?;
        ensure!(answer == Err(Refusal::Denied), "over SMB: {answer:?}");
        let text = gets("reading over NFS", async || nfs.read("b").await).await?;
        ensure!(text == b"b", "{text:?}");
        let text = gets("reading over SMB", async || smb.read("a").await).await?;
        ensure!(text == b"a", "{text:?}");

        becomes(world, SHARE, json!({"readOnly": false})).await?;
        let answer = told(async || nfs.write("c", b"c").await).await?;
        ensure!(answer == Ok(()), "over NFS: {answer:?}");
        let answer = told(async || smb.write("d", b"d").await).await?;
        ensure!(answer == Ok(()), "over SMB: {answer:?}");
        Ok(())
    })
}

/// What somebody may do.
#[derive(Clone, Copy, Debug)]
struct May {
    read: bool,
    write: bool,
}

/// Tries both protocols as somebody, right after the share was ready.
async fn may(nfs: &Nfs, smb: &Smb, file: &str, expected: May) -> Result<()> {
    let right = |allowed: bool, refusal: Option<Refusal>| match (allowed, refusal) {
        (true, None) | (false, Some(Refusal::Denied)) => Ok(()),
        (allowed, refusal) => Err(anyhow::anyhow!("allowed {allowed}, but {refusal:?}")),
    };
    let May { read, write } = expected;
    let answer = told(async || nfs.read("shared").await).await?;
    right(read, answer.err()).context("reading over NFS")?;
    let answer = told(async || smb.read("shared").await).await?;
    right(read, answer.err()).context("reading over SMB")?;
    let (over_nfs, over_smb) = (format!("{file}-nfs"), format!("{file}-smb"));
    let answer = told(async || nfs.write(&over_nfs, b"x").await).await?;
    right(write, answer.err()).context("writing over NFS")?;
    let answer = told(async || smb.write(&over_smb, b"x").await).await?;
    right(write, answer.err()).context("writing over SMB")
}

#[test]
fn a_user_may_do_what_the_permission_says() -> Outcome {
    scenario("permission", Pods::Run, async |world| {
        let stage = Stage::set(world, json!({})).await?;
        world.secret("ann", json!({"password": PASSWORD})).await?;
        let users = json!([ann("read-write"), {"name": "admin", "permission": "admin"}]);
        let spec = json!({"access": {"users": users}});
        let found = ready_made(world, SHARE, spec).await?;
        let nfs = shares::nfs(&found)?.by(1000);
        let smb = shares::smb(&found)?.by("ann", PASSWORD);
        gets("the first file", async || nfs.write("shared", b"x").await).await?;
        gets("SMB", async || smb.list().await).await?;
        for (permission, read, write) in [
            ("read", true, false),
            ("read-write", true, true),
            ("none", false, false),
            ("admin", true, true),
        ] {
            let users = json!([ann(permission), {"name": "admin", "permission": "admin"}]);
            becomes(world, SHARE, json!({"access": {"users": users}})).await?;
            let expected = May { read, write };
            may(&nfs, &smb, permission, expected)
                .await
                .context(permission)?;
        }
        // Taken out of the list: what everybody may, here nothing. Others keep theirs.
        let users = json!([{"name": "admin", "permission": "admin"}]);
        becomes(world, SHARE, json!({"access": {"users": users}})).await?;
        refused("over NFS", &Refusal::Denied, async || {
            nfs.read("shared").await
        })
        .await?;
        let answer = told(async || nfs.write("removed", b"x").await).await?;
        ensure!(answer == Err(Refusal::Denied), "over NFS: {answer:?}");
        // Her account was kept for this share alone.
        let answer = told(async || smb.read("shared").await).await?;
        ensure!(answer == Err(Refusal::NoAccount), "over SMB: {answer:?}");
        let permissions = stage.admin.get("/shares/films/permissions").await?;
        ensure!(
            permissions == json!([{"type": "user", "name": "admin", "level": "admin"}]),
            "{permissions}"
        );
        Ok(())
    })
}

#[test]
fn shares_of_a_namespace_keep_one_account_until_the_last_lets_it_go() -> Outcome {
    scenario("one-account", Pods::Run, async |world| {
        let stage = Stage::set(world, json!({})).await?;
        let admin = &stage.admin;
        world.secret("ann", json!({"password": PASSWORD})).await?;
        world
            .secret("else", json!({"password": "hidden-otherwise"}))
            .await?;
        let spec = |policy: &str| json!({"deletionPolicy": policy, "access": {"users": [ann("read-write")]}});
        let kept_by = async |name: &str| {
            let what = format!("{name} keeps the account");
            let owner = format!("kept by DittoFSShare {}/{name}", world.namespace);
            shares::answers(admin, "/users/ann", &what, |user| {
                user["display_name"] == owner
            })
            .await
        };
        ready_made(world, SHARE, spec("Delete")).await?;
        let music = ready_made(world, "music", spec("Retain")).await?;
        kept_by(SHARE).await?;
        let music = shares::smb(&music)?;
        gets("ann uses the other share", async || {
            music.by("ann", PASSWORD).write("a", b"a").await
        })
        .await?;

        // With another Secret the first one wins, and the permission is given all the same.
        let mut other = ann("read-write");
        other["passwordSecretRef"] = json!({"name": "else", "key": "password"});
        let other = json!({"deletionPolicy": "Delete", "access": {"users": [other]}});
        shares::make(world, "other", other).await?;
        let message = shares::condition(world, "other", "AccessApplied", "False", "AccountDiffers");
        let message = message.await?;
        ensure!(
            message.contains(&format!("{}/{SHARE}", world.namespace)),
            "{message}"
        );
        let other = shares::smb(&shares::get(world, "other").await?)?;
        gets("ann has one password", async || {
            other.by("ann", PASSWORD).list().await
        })
        .await?;
        stage.shares.quiet().await?;
        let before = admin.get("/users/ann").await?;

        // The first lets go: the next by name takes over, here the one with the same Secret.
        shares::delete(world, SHARE).await?;
        kept_by("music").await?;
        let after = admin.get("/users/ann").await?;
        ensure!(after["id"] == before["id"], "{before} became {after}");
        shares::ready(world, "music").await?;
        shares::condition(world, "other", "AccessApplied", "False", "AccountDiffers").await?;
        let new = "another-hidden-password";
        let patch = kube::api::Patch::Merge(json!({"stringData": {"password": new}}));
        world
            .api::<k8s_openapi::api::core::v1::Secret>()
            .patch("ann", &cluster_tests::world::somebody(), &patch)
            .await?;
        gets("the password follows its Secret", async || {
            music.by("ann", new).list().await
        })
        .await?;

        // Its share is retained, but nobody keeps the account: the one that was told of a difference does.
        shares::delete(world, "music").await?;
        kept_by("other").await?;
        shares::ready(world, "other").await?;
        gets("another password", async || {
            other.by("ann", "hidden-otherwise").list().await
        })
        .await?;
        // The retained share still gives her a permission.
        shares::delete(world, "other").await?;
        admin.get("/users/ann").await?;
        ready_made(world, "music", json!({"access": {"users": []}})).await?;
        shares::change(
            world,
            "music",
            json!({"spec": {"deletionPolicy": "Delete"}}),
        )
        .await?;
        stage.shares.quiet().await
    })
}

#[test]
fn a_group_of_the_server_may_do_what_its_permission_says() -> Outcome {
    scenario("group", Pods::Run, async |world| {
        let stage = Stage::set(world, json!({})).await?;
        let admin = &stage.admin;
        admin
            .post("/groups", json!({"name": "team", "gid": 3000}))
            .await?;
        let bob = json!({"username": "bob", "password": PASSWORD, "role": "user", "uid": 2000, "groups": ["team"]});
        admin.post("/users", bob).await?;
        let groups = |permission: &str| json!({"access": {"groups": [{"name": "team", "permission": permission}]}});
        let found = ready_made(world, SHARE, groups("read-write")).await?;
        let nfs = shares::nfs(&found)?.by_member(2000, 3000);
        let smb = shares::smb(&found)?.by("bob", PASSWORD);
        gets("the first file", async || nfs.write("shared", b"x").await).await?;
        gets("SMB", async || smb.list().await).await?;
        for (permission, read, write) in [("read", true, false), ("read-write", true, true)] {
            becomes(world, SHARE, groups(permission)).await?;
            let expected = May { read, write };
            may(&nfs, &smb, permission, expected)
                .await
                .context(permission)?;
        }
        becomes(world, SHARE, json!({"access": {"groups": null}})).await?;
        let nothing = May {
            read: false,
            write: false,
        };
        may(&nfs, &smb, "removed", nothing).await?;

        // A name that the server does not know is said, and nothing else is held up by it.
        let users = json!([{"name": "nobody-here", "permission": "read"}]);
        let spec = json!({"spec": {"access": {"users": users, "defaultPermission": "read"}}});
        shares::change(world, SHARE, spec).await?;
        let message = shares::fails(world, SHARE, "AccessApplied");
        let message = message.await?;
        ensure!(message.contains("nobody-here"), "{message}");
        gets("everybody reads", async || nfs.read("shared").await).await?;
        refused("nobody writes", &Refusal::Denied, async || {
            nfs.write("y", b"y").await
        })
        .await
    })
}
