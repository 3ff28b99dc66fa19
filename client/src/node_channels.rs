//! Open channels to shard nodes, by identity and address: the map says both.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use holdfast_certs::{Dialer, ExpectedServer};
use tonic::transport::Channel;

use crate::{error::Error, map::Replica};

/// Most channels kept: a client talks to a few homes, whose groups have a handful of replicas each.
const MAX_CHANNELS: usize = 64;

/// Channels that reconnect by themselves.
pub(crate) struct NodeChannels {
    dialer: Dialer,
    open: Mutex<BTreeMap<Replica, Channel>>,
}

impl NodeChannels {
    pub(crate) fn new(dialer: Dialer) -> Self {
        Self { dialer, open: Mutex::default() }
    }

    pub(crate) fn channel(&self, action: &str, replica: &Replica) -> Result<Channel, Error> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = open.get(replica) {
            return Ok(channel.clone());
        }
        if open.len() >= MAX_CHANNELS {
            open.clear();
        }
        let channel = self.dialer.channel(&replica.address, ExpectedServer::Node(replica.node));
        let channel = channel.map_err(|error| Error::dial(action, error))?;
        open.insert(replica.clone(), channel.clone());
        Ok(channel)
    }
}
