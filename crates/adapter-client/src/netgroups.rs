//! Netgroups: addresses that may mount with NFSv3. NFSv4 and SMB clients are not held back by them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    client::Client,
    error::Error,
    route::{Access, Route},
    wire::{list, words},
};

pub(crate) static LIST: Route = Route::get(
    "netgroups.list",
    "/api/v1/adapters/nfs/netgroups",
    Access::Admin,
);
pub(crate) static GET: Route = Route::get(
    "netgroups.get",
    "/api/v1/adapters/nfs/netgroups/{netgroup}",
    Access::Admin,
);
pub(crate) static CREATE: Route = Route::post(
    "netgroups.create",
    "/api/v1/adapters/nfs/netgroups",
    Access::Admin,
);
pub(crate) static DELETE: Route = Route::delete(
    "netgroups.delete",
    "/api/v1/adapters/nfs/netgroups/{netgroup}",
    Access::Admin,
);
pub(crate) static ADD_MEMBER: Route = Route::post(
    "netgroups.add_member",
    "/api/v1/adapters/nfs/netgroups/{netgroup}/members",
    Access::Admin,
);
pub(crate) static REMOVE_MEMBER: Route = Route::delete(
    "netgroups.remove_member",
    "/api/v1/adapters/nfs/netgroups/{netgroup}/members/{member}",
    Access::Admin,
);

/// A netgroup.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Netgroup {
    /// UUID.
    pub id: String,
    /// Name, unique.
    pub name: String,
    /// Its addresses.
    #[serde(default, deserialize_with = "list")]
    pub members: Vec<NetgroupMember>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

words! {
    /// How an address is written.
    NetgroupMemberType {
        /// One address.
        Ip = "ip",
        /// A network.
        Cidr = "cidr",
        /// A name.
        Hostname = "hostname",
    }
}

/// An address in a netgroup.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct NetgroupMember {
    /// UUID.
    pub id: String,
    /// How it is written.
    #[serde(rename = "type")]
    pub kind: NetgroupMemberType,
    /// The address.
    pub value: String,
}

#[derive(Serialize)]
struct Name<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct NewNetgroupMember<'a> {
    r#type: &'a NetgroupMemberType,
    value: &'a str,
}

/// Calls for netgroups, for role admin (server contract 3.13). See [`Client::netgroups`].
#[derive(Clone, Copy, Debug)]
pub struct Netgroups<'a>(&'a Client);

impl Client {
    /// Addresses that may mount with NFSv3.
    #[must_use]
    pub fn netgroups(&self) -> Netgroups<'_> {
        Netgroups(self)
    }
}

impl Netgroups<'_> {
    /// All netgroups.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list(&self) -> Result<Vec<Netgroup>, Error> {
        self.0.call_list(LIST.at(&[])).await
    }

    /// One netgroup.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn get(&self, name: &str) -> Result<Netgroup, Error> {
        self.0.call(GET.at(&[name])).await
    }

    /// Makes an empty netgroup, which admits nobody.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the name is taken; [`Error::Invalid`] without a name.
    pub async fn create(&self, name: &str) -> Result<Netgroup, Error> {
        self.0.call(CREATE.at(&[]).json(&Name { name })).await
    }

    /// Removes a netgroup.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] while a share names it.
    pub async fn delete(&self, name: &str) -> Result<(), Error> {
        self.0.call_empty(DELETE.at(&[name])).await
    }

    /// Adds an address. The server does not notice one that is there already.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Invalid`] for an address that is none.
    pub async fn add_member(
        &self,
        name: &str,
        kind: &NetgroupMemberType,
        value: &str,
    ) -> Result<NetgroupMember, Error> {
        self.0
            .call(ADD_MEMBER.at(&[name]).json(&NewNetgroupMember {
                r#type: kind,
                value,
            }))
            .await
    }

    /// Removes an address; also succeeds when there is none with this ID.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn remove_member(&self, name: &str, id: &str) -> Result<(), Error> {
        self.0.call_empty(REMOVE_MEMBER.at(&[name, id])).await
    }
}
