//! Command line and environment of every controller binary.

use std::{net::SocketAddr, str::FromStr, time::Duration};

use clap::{Args, ValueEnum};

use crate::Scope;

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object per line.
    #[default]
    Json,
    /// Lines for people.
    Text,
}

/// Where `/metrics`, `/healthz` and `/readyz` are served; `none` or the empty
/// text turns the HTTP server off, port 0 picks a free port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpAddress(pub Option<SocketAddr>);

impl FromStr for HttpAddress {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim() {
            "" | "none" => Ok(Self(None)),
            address => address.parse().map(|address| Self(Some(address))),
        }
    }
}

/// Settings shared by all controller binaries. Every flag can also be given as
/// the environment variable named in its help; the flag wins.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// Namespace to serve; repeat or separate by commas. None: the whole cluster.
    #[arg(
        long = "namespace",
        env = "DITTOFS_OPERATOR_NAMESPACE",
        value_delimiter = ','
    )]
    pub namespaces: Vec<String>,

    /// Path of a kubeconfig file. Default: $KUBECONFIG, ~/.kube/config, then the service account.
    #[arg(long, env = "DITTOFS_OPERATOR_KUBECONFIG")]
    pub kubeconfig: Option<std::path::PathBuf>,

    /// Context of the kubeconfig file. Default: its current context.
    #[arg(long, env = "DITTOFS_OPERATOR_CONTEXT")]
    pub context: Option<String>,

    /// How log lines are written.
    #[arg(
        long,
        env = "DITTOFS_OPERATOR_LOG_FORMAT",
        value_enum,
        default_value = "json"
    )]
    pub log_format: LogFormat,

    /// Log filter, such as `info` or `warn,server_controller=debug`.
    #[arg(long, env = "DITTOFS_OPERATOR_LOG_LEVEL", default_value = "info")]
    pub log_level: String,

    /// Objects reconciled at the same time. Default: the binary's own.
    #[arg(long, env = "DITTOFS_OPERATOR_CONCURRENCY", value_parser = clap::value_parser!(u16).range(1..))]
    pub concurrency: Option<u16>,

    /// DNS domain of the cluster.
    #[arg(
        long,
        env = "DITTOFS_OPERATOR_CLUSTER_DOMAIN",
        default_value = "cluster.local"
    )]
    pub cluster_domain: String,

    /// Address of /metrics, /healthz and /readyz; `none` turns them off.
    #[arg(
        long,
        env = "DITTOFS_OPERATOR_HTTP_ADDRESS",
        default_value = "0.0.0.0:8080"
    )]
    pub http_address: HttpAddress,

    /// Wait for a leader lease before doing anything.
    #[arg(
        long,
        env = "DITTOFS_OPERATOR_LEADER_ELECT",
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true",
        action = clap::ArgAction::Set
    )]
    pub leader_elect: bool,

    /// Name of the Lease. Default: the name of the binary.
    #[arg(long, env = "DITTOFS_OPERATOR_LEASE_NAME")]
    pub lease_name: Option<String>,

    /// Namespace of the Lease. Default: the namespace of the pod, else `default`.
    #[arg(long, env = "DITTOFS_OPERATOR_LEASE_NAMESPACE")]
    pub lease_namespace: Option<String>,

    /// How long others wait for a silent leader; renewed every third of it.
    #[arg(long, env = "DITTOFS_OPERATOR_LEASE_DURATION", default_value = "15s", value_parser = duration)]
    pub lease_duration: Duration,

    /// Time limit of one Kubernetes API request; watches are not cut by it.
    #[arg(long, env = "DITTOFS_OPERATOR_API_TIMEOUT", default_value = "30s", value_parser = duration)]
    pub api_timeout: Duration,
}

impl Settings {
    /// Where this process looks for its objects: the namespaces named, without
    /// empty names and duplicates, or the cluster when none is named.
    #[must_use]
    pub fn scope(&self) -> Scope {
        Scope::from_names(self.namespaces.iter().map(String::as_str))
    }
}

impl Default for Settings {
    /// What an empty command line and environment give.
    fn default() -> Self {
        Self {
            namespaces: Vec::new(),
            kubeconfig: None,
            context: None,
            log_format: LogFormat::Json,
            log_level: "info".to_owned(),
            concurrency: None,
            cluster_domain: "cluster.local".to_owned(),
            http_address: HttpAddress(Some(SocketAddr::from(([0, 0, 0, 0], 8080)))),
            leader_elect: false,
            lease_name: None,
            lease_namespace: None,
            lease_duration: Duration::from_secs(15),
            api_timeout: Duration::from_secs(30),
        }
    }
}

/// Parses a positive duration such as `15s`, `2m` or `1h30m`.
fn duration(text: &str) -> Result<Duration, String> {
    let signed: jiff::SignedDuration = text
        .parse()
        .map_err(|error: jiff::Error| error.to_string())?;
    match Duration::try_from(signed) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("the duration must be positive".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        settings: Settings,
    }

    fn parse(arguments: &[&str]) -> Settings {
        Cli::try_parse_from(std::iter::once(&"binary").chain(arguments))
            .unwrap()
            .settings
    }

    #[test]
    fn an_empty_command_line_is_the_default() {
        assert_eq!(
            format!("{:?}", parse(&[])),
            format!("{:?}", Settings::default())
        );
    }

    #[test]
    fn namespaces_are_repeated_or_separated_by_commas() {
        let settings = parse(&["--namespace", "a,b", "--namespace", "c", "--namespace", ""]);
        assert_eq!(
            settings.scope(),
            Scope::Namespaces(vec!["a".into(), "b".into(), "c".into()])
        );
        assert_eq!(parse(&[]).scope(), Scope::Cluster);
    }

    #[test]
    fn the_http_server_can_be_turned_off_or_take_a_free_port() {
        assert_eq!(
            parse(&["--http-address", "none"]).http_address,
            HttpAddress(None)
        );
        assert_eq!(
            parse(&["--http-address", ""]).http_address,
            HttpAddress(None)
        );
        let free = parse(&["--http-address", "127.0.0.1:0"]).http_address;
        assert_eq!(free.0.map(|address| address.port()), Some(0));
    }

    #[test]
    fn leader_election_is_a_flag_and_a_value() {
        assert!(parse(&["--leader-elect"]).leader_elect);
        assert!(!parse(&["--leader-elect=false"]).leader_elect);
    }

    #[test]
    fn durations_carry_units_and_are_positive() {
        assert_eq!(
            parse(&["--lease-duration", "1m30s"]).lease_duration,
            Duration::from_secs(90)
        );
        assert!(Cli::try_parse_from(["binary", "--api-timeout", "0s"]).is_err());
        assert!(Cli::try_parse_from(["binary", "--api-timeout=-3s"]).is_err());
    }
}
