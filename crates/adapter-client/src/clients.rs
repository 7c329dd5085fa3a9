//! Who uses the shares now.

use jiff::Timestamp;
use serde::Deserialize;

use crate::{
    adapters::AdapterType,
    client::Client,
    error::Error,
    route::{Access, Route},
    wire::{Milliseconds, list},
};

pub(crate) static LIST: Route = Route::get("clients.list", "/api/v1/clients", Access::Admin);
pub(crate) static DISCONNECT: Route = Route::delete(
    "clients.disconnect",
    "/api/v1/clients/{client}",
    Access::Admin,
);
pub(crate) static MOUNTS: Route = Route::get("clients.mounts", "/api/v1/mounts", Access::Admin);
pub(crate) static ADAPTER_MOUNTS: Route = Route::get(
    "clients.adapter_mounts",
    "/api/v1/adapters/{type}/mounts",
    Access::Admin,
);
pub(crate) static DURABLE_HANDLES: Route = Route::get(
    "clients.durable_handles",
    "/api/v1/durable-handles",
    Access::Admin,
);
pub(crate) static CLOSE_DURABLE_HANDLE: Route = Route::delete(
    "clients.close_durable_handle",
    "/api/v1/durable-handles/{handle}",
    Access::Admin,
);

/// A connection.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ConnectedClient {
    /// Its ID, such as `nfs-5`.
    pub client_id: String,
    /// Its protocol.
    pub protocol: AdapterType,
    /// Address and port of the client, or of what stands in between. An NFS client is listed from
    /// its connection on, an SMB client from its login on.
    pub address: String,
    /// Who it is; empty until it has said so.
    #[serde(default)]
    pub user: String,
    /// Since when.
    pub connected_at: Timestamp,
    /// When it last asked something.
    pub last_activity: Timestamp,
    /// Shares it uses.
    #[serde(default, deserialize_with = "list")]
    pub shares: Vec<String>,
    /// More, for NFS.
    pub nfs: Option<NfsClient>,
    /// More, for SMB.
    pub smb: Option<SmbClient>,
}

/// A client that speaks NFS.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct NfsClient {
    /// `3`, `4.0`, `4.1`.
    pub version: String,
    /// How it says who it is.
    pub auth_flavor: String,
    /// Numeric user ID.
    pub uid: u32,
    /// Numeric group ID.
    pub gid: u32,
}

/// A client that speaks SMB.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SmbClient {
    /// Its session.
    pub session_id: u64,
    /// Dialect; empty until it is negotiated.
    pub dialect: String,
    /// Windows domain.
    #[serde(default)]
    pub domain: String,
    /// Whether messages are signed.
    pub signed: bool,
    /// Whether they are encrypted.
    pub encrypted: bool,
}

/// An NFSv3 mount.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Mount {
    /// Address of the client.
    pub client_addr: String,
    /// Its protocol.
    pub protocol: AdapterType,
    /// Name of the share.
    pub share_name: String,
    /// Since when.
    pub mounted_at: Timestamp,
}

/// A file that an SMB client holds open without a connection.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct DurableHandle {
    /// Its ID.
    pub id: String,
    /// SMB file ID, in hexadecimal.
    pub file_id: String,
    /// The file.
    pub path: String,
    /// Name of the share.
    pub share_name: String,
    /// Who holds it.
    pub username: String,
    /// Whether it is of the second version of durable handles.
    pub is_v2: bool,
    /// When the file was opened.
    pub created_at: Timestamp,
    /// When the connection ended.
    pub disconnected_at: Timestamp,
    /// How long it is held.
    #[serde(rename = "timeout_ms")]
    pub timeout: Milliseconds,
    /// How long it is still held; 0 when it is overdue.
    #[serde(rename = "remaining_ms")]
    pub remaining: Milliseconds,
}

/// Calls for clients of the shares, for role admin (server contract 3.17). See [`Client::clients`].
#[derive(Clone, Copy, Debug)]
pub struct Clients<'a>(&'a Client);

impl Client {
    /// Who uses the shares now.
    #[must_use]
    pub fn clients(&self) -> Clients<'_> {
        Clients(self)
    }
}

impl Clients<'_> {
    /// All connections.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list(&self) -> Result<Vec<ConnectedClient>, Error> {
        self.0.call_list(LIST.at(&[])).await
    }

    /// The connections of a protocol, of a share (with its leading slash), or of both.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list_of(
        &self,
        protocol: Option<&AdapterType>,
        share: Option<&str>,
    ) -> Result<Vec<ConnectedClient>, Error> {
        let mut request = LIST.at(&[]);
        if let Some(protocol) = protocol {
            request = request.query("protocol", protocol.as_str());
        }
        if let Some(share) = share {
            request = request.query("share", share);
        }
        self.0.call_list(request).await
    }

    /// Ends a connection.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn disconnect(&self, id: &str) -> Result<(), Error> {
        self.0.call_empty(DISCONNECT.at(&[id])).await
    }

    /// NFSv3 mounts. Other clients are not in this list, and one that went away without a word
    /// stays: see [`Clients::list`].
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn mounts(&self) -> Result<Vec<Mount>, Error> {
        self.0.call_list(MOUNTS.at(&[])).await
    }

    /// As [`Clients::mounts`], of one adapter.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn adapter_mounts(&self, kind: &AdapterType) -> Result<Vec<Mount>, Error> {
        self.0.call_list(ADAPTER_MOUNTS.at(&[kind.as_str()])).await
    }

    /// Files that SMB clients hold open without a connection.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn durable_handles(&self) -> Result<Vec<DurableHandle>, Error> {
        self.0.call_list(DURABLE_HANDLES.at(&[])).await
    }

    /// Closes such a file.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn close_durable_handle(&self, id: &str) -> Result<(), Error> {
        self.0.call_empty(CLOSE_DURABLE_HANDLE.at(&[id])).await
    }
}
