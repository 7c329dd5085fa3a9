//! Connections from Secrets, complete and not.

use serde_json::{Value, json};

use super::*;

const PEM: &str = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n";

fn source(database: Value) -> Source {
    let spec = json!({"storage": {"metadataSize": "1Gi"}, "database": database});
    crate::source("files", &serde_json::from_value(spec).unwrap(), false).unwrap()
}

fn look<'s>(secrets: &'s Value, secret: &str, key: &str) -> Lookup<'s> {
    match secrets.get(secret) {
        None => Lookup::NoSecret,
        Some(values) => match values.get(key).and_then(Value::as_str) {
            Some(value) => Lookup::Value(value.as_bytes()),
            None => Lookup::NoKey,
        },
    }
}

fn found(database: Value, secrets: &Value) -> Result<Connection, Vec<Flaw>> {
    let read = |secret: &str, key: &str| look(secrets, secret, key);
    connection("files", &source(database), read).map(Option::unwrap)
}

fn flaws(database: Value, secrets: Value) -> Vec<Reason> {
    let flaws = found(database, &secrets).unwrap_err();
    flaws.iter().map(|flaw| flaw.reason).collect()
}

fn complete() -> Value {
    json!({"host": "db", "database": "files", "user": "u", "password": "p"})
}

fn variables(connection: &Connection) -> Vec<String> {
    let variables = connection.wiring.variables.iter();
    variables
        .map(|variable| {
            let name = variable
                .name
                .trim_start_matches("DITTOFS_DATABASE_POSTGRES_");
            match &variable.origin {
                Origin::Text(text) => format!("{name}={text}"),
                Origin::Secret {
                    reference,
                    optional,
                } => format!(
                    "{name}<{}/{}{}",
                    reference.name,
                    reference.key,
                    if *optional { "?" } else { "" }
                ),
            }
        })
        .collect()
}

#[test]
fn the_older_field_hands_every_key_on_as_before() {
    let older = json!({"postgresSecretRef": {"name": "pg", "key": "k"}});
    let connection = found(older, &json!({"pg": complete()})).unwrap();
    assert_eq!(
        variables(&connection),
        [
            "HOST<pg/host",
            "PORT<pg/port?",
            "DATABASE<pg/database",
            "USER<pg/user",
            "PASSWORD<pg/password",
            "SSLMODE<pg/sslmode?"
        ]
    );
    assert_eq!(connection.wiring.ca, None);
}

#[test]
fn other_operators_names_of_keys_are_taken() {
    let secret = json!({"host": "db", "port": "6432", "dbname": "files", "username": "u", "password": "p", "sslrootcert": PEM});
    let connection = found(json!({"secret": {"name": "pg"}}), &json!({"pg": secret})).unwrap();
    assert_eq!(
        variables(&connection),
        [
            "HOST<pg/host",
            "PORT<pg/port?",
            "DATABASE<pg/dbname",
            "USER<pg/username",
            "PASSWORD<pg/password",
            "SSLMODE=verify-full",
            "SSL_ROOT_CERT=/database-ca/ca.crt"
        ]
    );
    assert_eq!(connection.parts.port, 6432);
    let restart: Vec<&str> = connection
        .restart
        .iter()
        .map(|reference| reference.key.0.as_str())
        .collect();
    assert_eq!(
        restart,
        [
            "host",
            "port",
            "dbname",
            "username",
            "password",
            "sslrootcert"
        ]
    );
}

#[test]
fn tls_is_asked_for_unless_somebody_says_otherwise() {
    let mode = |spec: Value, key: Option<&str>| {
        let mut secret = complete();
        if let Some(mode) = key {
            secret["sslmode"] = mode.into();
        }
        let secrets = json!({"pg": secret, "ca": {"ca.crt": PEM}});
        found(json!({"secret": spec}), &secrets)
            .unwrap()
            .parts
            .sslmode
    };
    let ca = json!({"name": "ca", "key": "ca.crt"});
    assert_eq!(mode(json!({"name": "pg"}), None), SslMode::Require);
    assert_eq!(
        mode(json!({"name": "pg", "caSecretRef": ca}), None),
        SslMode::VerifyFull
    );
    assert_eq!(
        mode(json!({"name": "pg"}), Some("disable")),
        SslMode::Disable
    );
    assert_eq!(
        mode(
            json!({"name": "pg", "sslmode": "verify-ca", "caSecretRef": ca}),
            Some("disable")
        ),
        SslMode::VerifyCa
    );
}

#[test]
fn a_dsn_reaches_the_pod_by_a_secret_of_the_operators() {
    let secrets = json!({"pg": {"dsn": "postgres://u:p%40ss@db:6432/files?sslmode=require"}});
    let dsn = json!({"secret": {"name": "pg", "dsnKey": "dsn"}});
    let connection = found(dsn, &secrets).unwrap();
    assert_eq!(
        variables(&connection)[4],
        "PASSWORD<files-database/password"
    );
    assert_eq!(connection.secret, "files-database");
    let kept = derived(&connection.parts);
    let value = |key: &str| kept[key].expose_secret();
    assert_eq!(
        (value("password"), value("port"), value("sslmode")),
        ("p@ss", "6432", "require")
    );
    assert_eq!(connection.restart, [SecretKeyRef::new("pg", "dsn")]);
}

#[test]
fn everything_that_is_missing_is_said_at_once() {
    let secret = json!({"secret": {"name": "pg"}});
    assert_eq!(flaws(secret.clone(), json!({})), [Reason::SecretMissing]);
    let half = json!({"pg": {"host": "db", "password": ""}});
    assert_eq!(
        flaws(secret.clone(), half),
        [
            Reason::SecretKeyMissing,
            Reason::SecretKeyMissing,
            Reason::SecretInvalid
        ]
    );
    let mut odd = complete();
    odd["port"] = "many".into();
    odd["sslmode"] = "sometimes".into();
    assert_eq!(
        flaws(secret, json!({"pg": odd})),
        [Reason::SecretInvalid, Reason::SecretInvalid]
    );
    let dsn = json!({"secret": {"name": "pg", "dsnKey": "dsn"}});
    assert_eq!(
        flaws(dsn.clone(), json!({"pg": {"dsn": "postgres://db/files"}})),
        [Reason::DSNInvalid]
    );
    assert_eq!(
        flaws(dsn, json!({"pg": {"dsn": "mysql://db"}})),
        [Reason::DSNInvalid]
    );
}

#[test]
fn a_managed_database_gives_its_name_by_the_spec_and_its_ca_as_a_file() {
    let secrets = json!({
        "files-postgres-pguser-dittofs": {"host": "h", "port": "5432", "user": "dittofs", "password": "p", "dbname": "other"},
        "files-postgres-cluster-cert": {"ca.crt": PEM, "tls.key": "k"},
    });
    let percona = json!({"percona": {"databaseName": "mine"}});
    let connection = found(percona.clone(), &secrets).unwrap();
    assert_eq!(variables(&connection)[2], "DATABASE=mine");
    assert_eq!(
        connection.wiring.ca,
        Some(SecretKeyRef::new("files-postgres-cluster-cert", "ca.crt"))
    );
    assert_eq!(
        flaws(percona, json!({})),
        [Reason::SecretMissing, Reason::SecretMissing]
    );
}

#[test]
fn credentials_of_backups_are_looked_at_and_are_no_part_of_the_connection() {
    let backup = json!({"enabled": true, "bucket": "b", "endpoint": "e", "credentialsSecretRef": {"name": "s3"}});
    let percona = json!({"percona": {"backup": backup}});
    let said = |secret: Value| {
        let mut secrets = json!({
            "files-postgres-pguser-dittofs": {"host": "h", "user": "dittofs", "password": "p"},
            "files-postgres-cluster-cert": {"ca.crt": PEM},
        });
        if secret.is_object() {
            secrets["s3"] = secret;
        }
        assert!(found(percona.clone(), &secrets).is_ok());
        backups(&source(percona.clone()), |name, key| {
            look(&secrets, name, key)
        })
    };
    let missing = said(Value::Null).unwrap();
    assert_eq!(missing.reason, Reason::SecretMissing);
    assert!(
        missing.message.contains("s3.conf") && missing.message.contains("backups"),
        "{missing:?}"
    );
    for incomplete in [json!({}), json!({"s3.conf": "[global]\nrepo1-s3-key=a\n"})] {
        assert_eq!(said(incomplete).unwrap().reason, Reason::SecretInvalid);
    }
    let whole = "[global]\nrepo1-s3-key=a\nrepo1-s3-key-secret=b\n";
    assert_eq!(said(json!({ "s3.conf": whole })), None);
}
