//! Principals, SIDs, and where users come from.

use std::time::Duration;

use adapter_client::{
    Applied, Error, GoDuration, KerberosConfig, LdapConfig, LdapTls, MachineAccount,
    NewIdentityMapping,
};
use serde_json::{Value, json};

use crate::{
    dfs::free_port,
    rig::{Rig, conflict, invalid, not_found},
};

pub(crate) async fn identity_mappings(rig: &Rig) {
    let admin = rig.admin.identity_mappings();
    let new = NewIdentityMapping {
        provider_name: "kerberos".into(),
        principal: "nfs/host.example.org@EXAMPLE.ORG".into(),
        username: "user".into(),
    };
    let made = rig
        .ask(async |c| c.identity_mappings().create(&new).await)
        .await
        .unwrap();
    assert_eq!(
        (&made.principal, &made.username),
        (&new.principal, &new.username)
    );
    conflict(admin.create(&new).await);
    let empty = NewIdentityMapping {
        principal: String::new(),
        ..new.clone()
    };
    assert_eq!(invalid(admin.create(&empty).await), "Principal is required");
    // The account need not exist.
    let nobody = NewIdentityMapping {
        username: "nobody".into(),
        principal: "x@Y".into(),
        ..new.clone()
    };
    admin.create(&nobody).await.unwrap();
    let all = rig
        .ask(async |c| c.identity_mappings().list().await)
        .await
        .unwrap();
    assert_eq!(all.len(), 2);
    assert!(all.contains(&made), "{all:?}");
    let of_user = rig
        .ask(async |c| c.identity_mappings().of_user("user").await)
        .await
        .unwrap();
    assert_eq!(of_user, [made]);
    assert_eq!(admin.of_user("stranger").await.unwrap(), []);
    assert_eq!(admin.list_of("kerberos").await.unwrap(), all);
    assert_eq!(admin.list_of("ldap").await.unwrap(), []);
    // The principal has a slash and stays one segment.
    rig.ask(async |c| {
        c.identity_mappings()
            .delete("kerberos", &new.principal)
            .await
    })
    .await
    .unwrap();
    not_found(admin.delete("kerberos", &new.principal).await);
    not_found(admin.delete("ldap", "x@Y").await);

    assert_eq!(
        rig.ask(async |c| c.identity_mappings().sids().await)
            .await
            .unwrap(),
        []
    );
    not_found(
        rig.ask(async |c| c.identity_mappings().delete_sid("S-1-5-21-1-2-3-4").await)
            .await,
    );
}

fn ldap() -> LdapConfig {
    LdapConfig {
        enabled: false,
        url: format!("ldap://127.0.0.1:{}", free_port()),
        start_tls: false,
        allow_plaintext: true,
        base_dn: "dc=example,dc=org".into(),
        bind_dn: "cn=reader,dc=example,dc=org".into(),
        bind_password: Some("ldap-password".into()),
        user_attr: "uid".into(),
        realm: "EXAMPLE.ORG".into(),
        idmap: "rid".into(),
        nested_groups: true,
        timeout: Some(GoDuration(Duration::from_secs(2))),
        max_group_results: 50,
        tls: LdapTls {
            ca_cert_file: "/ca.crt".into(),
            min_version: "1.3".into(),
            ..LdapTls::default()
        },
    }
}

fn kerberos() -> KerberosConfig {
    KerberosConfig {
        enabled: false,
        keytab_path: "/nowhere/krb5.keytab".into(),
        service_principal: "nfs/host@EXAMPLE.ORG".into(),
        realm: "EXAMPLE.ORG".into(),
        netbios_domain: "EXAMPLE".into(),
        dns_domain: "example.org".into(),
        krb5_conf: "/nowhere/krb5.conf".into(),
        max_clock_skew: Some(GoDuration(Duration::from_secs(300))),
        context_ttl: None,
        max_contexts: 100,
        machine_account: MachineAccount {
            enabled: false,
            account_name: "DFS$".into(),
            keytab_path: String::new(),
            dc_addresses: vec!["127.0.0.1".into()],
            secret: Some("machine-password".into()),
        },
    }
}

pub(crate) async fn identity_providers(rig: &Rig) {
    let admin = rig.admin.identity_providers();
    let known = rig
        .ask(async |c| c.identity_providers().list().await)
        .await
        .unwrap();
    let kinds: Vec<_> = known
        .iter()
        .map(|p| (p.kind.as_str(), p.enabled, p.configured))
        .collect();
    assert_eq!(kinds, [("ldap", false, false), ("kerberos", false, false)]);
    assert_eq!(
        not_found(admin.config::<LdapConfig>().await),
        "Identity provider not configured"
    );
    not_found(admin.config::<KerberosConfig>().await);

    let (stored, applied) = rig
        .ask(async |c| c.identity_providers().put_config(&ldap()).await)
        .await
        .unwrap();
    assert_eq!(applied, Applied::Live);
    let got = rig
        .ask(async |c| c.identity_providers().config::<LdapConfig>().await)
        .await
        .unwrap();
    for config in [&stored, &got] {
        let wanted = ldap();
        assert!(config.bind_password.is_none(), "it is never shown");
        assert_eq!(
            (&config.base_dn, &config.bind_dn, &config.user_attr),
            (&wanted.base_dn, &wanted.bind_dn, &wanted.user_attr)
        );
        assert_eq!(
            (config.timeout, config.max_group_results, &config.tls),
            (wanted.timeout, 50, &wanted.tls)
        );
        assert_eq!(
            (
                config.allow_plaintext,
                config.nested_groups,
                config.idmap.as_str()
            ),
            (true, true, "rid")
        );
        assert!(!format!("{config:?}").contains("ldap-password"));
    }
    // No password keeps the stored one; nothing else in the path of a second write does.
    let keep = LdapConfig {
        bind_password: None,
        nested_groups: false,
        ..ldap()
    };
    assert!(!admin.put_config(&keep).await.unwrap().0.nested_groups);
    let bad = LdapConfig {
        enabled: true,
        url: "gopher://ldap-password".into(),
        ..ldap()
    };
    let refused = invalid(admin.put_config(&bad).await);
    assert!(!refused.contains("ldap-password"), "{refused}");

    let (stored, applied) = rig
        .ask(async |c| c.identity_providers().put_config(&kerberos()).await)
        .await
        .unwrap();
    assert_eq!(applied, Applied::AtRestart);
    assert!(stored.machine_account.secret.is_none());
    let got = admin.config::<KerberosConfig>().await.unwrap();
    assert_eq!(
        (got.realm.as_str(), got.max_contexts, got.context_ttl),
        ("EXAMPLE.ORG", 100, None)
    );
    assert_eq!(got.max_clock_skew, kerberos().max_clock_skew);
    assert_eq!(got.machine_account.dc_addresses, ["127.0.0.1"]);
    assert!(!format!("{:?}", kerberos()).contains("machine-password"));
    let bad = KerberosConfig {
        realm: "a b".into(),
        ..kerberos()
    };
    invalid(admin.put_config(&bad).await);
    assert!(
        admin
            .list()
            .await
            .unwrap()
            .iter()
            .all(|provider| provider.configured)
    );

    // That it does not work is the answer, no error.
    let test = rig
        .ask(async |c| {
            c.identity_providers()
                .test(&LdapConfig {
                    enabled: true,
                    ..ldap()
                })
                .await
        })
        .await
        .unwrap();
    assert!(
        !test.ok && !test.stage.is_empty() && !test.message.is_empty(),
        "{test:?}"
    );
    let test = admin.test(&kerberos()).await.unwrap();
    assert_eq!((test.ok, test.stage.as_str()), (false, "keytab"));

    // There is no account in a domain, and no route.
    let error = rig.admin.netlogon().status().await.unwrap_err();
    assert!(matches!(error, Error::Protocol { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("the server has no route GET /api/v1/netlogon/status"),
        "{error}"
    );

    let path = |what| format!("/api/v1/identity-providers/zz/{what}");
    assert_eq!(
        rig.raw_admin("GET", &path("config"), Value::Null).await,
        404
    );
    assert_eq!(rig.raw_admin("PUT", &path("config"), json!({})).await, 404);
    assert_eq!(rig.raw_admin("POST", &path("test"), json!({})).await, 404);
}

pub(crate) async fn netlogon(rig: &Rig) {
    let status = rig
        .ask(async |c| c.netlogon().status().await)
        .await
        .unwrap();
    assert!(
        status.enabled && !status.joined && !status.channel_connected,
        "{status:?}"
    );
    assert_eq!(
        (status.account_name.as_str(), status.realm.as_str()),
        ("DFS$", "EXAMPLE.ORG")
    );
    assert_eq!(
        (
            status.netbios_domain.as_str(),
            status.dc_addresses.as_slice()
        ),
        ("EXAMPLE", ["127.0.0.1".to_owned()].as_slice())
    );
    assert_eq!(
        (
            status.rotation_enabled,
            status.rotation_interval,
            status.last_rotation
        ),
        (false, None, None)
    );
    assert!(!format!("{status:?}").contains("s3cret-of-dfs"));
    let refused = conflict(rig.ask(async |c| c.netlogon().rotate().await).await);
    assert!(!refused.contains("s3cret-of-dfs"), "{refused}");
}
