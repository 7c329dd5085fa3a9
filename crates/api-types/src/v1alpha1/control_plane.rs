//! `spec.controlPlane`: the REST API.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::ports;
use crate::reference::ObjectName;

/// The server's REST API: port and TLS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.clientCASecretName) || has(self.certSecretName)").message("clientCASecretName (mutual TLS) needs certSecretName, the server's own certificate"))]
pub struct ControlPlane {
    /// TCP port of the API, 1 to 65535. The server runs without privileges: choose one above 1023.
    #[serde(default = "api_port")]
    #[schemars(range(min = 1, max = 65535), extend("format" = "int32"))]
    #[x_kube(validation = Rule::new("self != 12049 && self != 1445").message("12049 and 1445 are the server's NFS and SMB ports: choose another API port"))]
    pub port: u16,
    /// The API is served over TLS by something in front of the pod, such as a mesh: clients use https.
    #[serde(default)]
    pub tls: bool,
    /// Secret of type kubernetes.io/tls with the API's certificate (tls.crt, tls.key). The server then speaks TLS itself and takes a renewed certificate without a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert_secret_name: Option<ObjectName>,
    /// Secret with the CA (ca.crt) that signs client certificates. With it every client must present one, the operator's other controllers included (clientCertSecretName).
    #[serde(
        default,
        rename = "clientCASecretName",
        skip_serializing_if = "Option::is_none"
    )]
    pub client_ca_secret_name: Option<ObjectName>,
    /// Secret of type kubernetes.io/tls with the certificate (tls.crt, tls.key) that the operator's other controllers present to an API with mutual TLS. A change does not restart the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_cert_secret_name: Option<ObjectName>,
}

fn api_port() -> u16 {
    ports::API
}

impl Default for ControlPlane {
    fn default() -> Self {
        ControlPlane {
            port: ports::API,
            tls: false,
            cert_secret_name: None,
            client_ca_secret_name: None,
            client_cert_secret_name: None,
        }
    }
}
